package canonjson

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// AppendCanonical appends a valid JSON value in canonical form: see
// [AppendObject]. Unlike a [Decoder], it has no bounds and takes values as other
// programs write them. The depth of the value takes stack.
func AppendCanonical(dst, raw []byte) []byte {
	s := Scan(raw)
	return form{}.append(dst, &s)
}

// AppendNormal appends a valid JSON value in its normal form: the canonical
// form, but with one spelling for each number, so that 1, 1.0 and 1e0 are the
// same bytes. Two values have the same normal form if and only if their
// contents are equal and their numbers have equal values. This is for
// comparing with systems that keep numbers by value, such as PostgreSQL's
// jsonb, not for storing.
//
// A number becomes its significant digits as an integer, with an exponent
// unless that is 0: 15e-1 for 1.50. So the normal form is hardly longer than
// the value. The depth of the value takes stack.
func AppendNormal(dst, raw []byte) []byte {
	s := Scan(raw)
	return form{byValue: true}.append(dst, &s)
}

// form is a form in which a value can be written.
type form struct {
	byValue bool // numbers of equal values are the same bytes
}

func (f form) append(dst []byte, s *Scanner) []byte {
	switch s.Peek() {
	case Object:
		return f.appendObject(dst, s)
	case Array:
		dst = append(dst, '[')
		for i := range s.Elements {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = f.append(dst, s)
		}
		return append(dst, ']')
	default:
		v := s.Value()
		switch {
		case v.Kind == String:
			return AppendString(dst, v.Text())
		case v.Kind == Number && f.byValue:
			return appendByValue(dst, v.Raw)
		default:
			return append(dst, v.Raw...)
		}
	}
}

// appendObject writes the members one after another and sorts them when
// the object is complete, if they were not in order.
func (f form) appendObject(dst []byte, s *Scanner) []byte {
	type member struct {
		name       string
		start, end int // in dst, with a comma at the end
	}
	var members []member
	sorted := true
	dst = append(dst, '{')
	for name := range s.Members {
		m := member{name: name, start: len(dst)}
		dst = append(AppendString(dst, name), ':')
		dst = append(f.append(dst, s), ',')
		m.end = len(dst)
		sorted = sorted && (len(members) == 0 || members[len(members)-1].name < name)
		members = append(members, m)
	}
	if len(members) == 0 {
		return append(dst, '}')
	}
	if !sorted {
		slices.SortStableFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
		start := members[0].start
		for _, m := range members {
			start = min(start, m.start)
		}
		written := bytes.Clone(dst[start:])
		dst = dst[:start]
		for i, m := range members {
			if i+1 == len(members) || members[i+1].name != m.name { // of several, the last counts
				dst = append(dst, written[m.start-start:m.end-start]...)
			}
		}
	}
	dst[len(dst)-1] = '}'
	return dst
}

func appendByValue(dst, number []byte) []byte {
	d := decimalOf(text(number, true))
	digits := strings.Replace(d.mantissa, ".", "", 1)
	significant := strings.TrimLeft(digits, "0")
	point := d.point - (len(digits) - len(significant))
	significant = strings.TrimRight(significant, "0")
	if significant == "" {
		return append(dst, '0')
	}
	if d.negative {
		dst = append(dst, '-')
	}
	dst = append(dst, significant...)
	if exponent := point - len(significant); exponent != 0 {
		dst = strconv.AppendInt(append(dst, 'e'), int64(exponent), 10)
	}
	return dst
}

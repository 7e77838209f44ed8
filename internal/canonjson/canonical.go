package canonjson

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"trackway"
)

// AppendObject appends the properties, sorted by name and unique, as a JSON
// object in canonical form: no white space, unique members sorted by the bytes
// of their names at every depth, strings escaped as by [AppendString], numbers
// as they were sent. Two objects in canonical form are the same bytes if and
// only if their contents are equal. Numbers are compared by their spelling: 1
// and 1.0 differ.
func AppendObject(dst []byte, properties []trackway.Property) []byte {
	dst = append(dst, '{')
	for i := range properties {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, properties[i].Name)
		dst = append(dst, ':')
		dst = append(dst, properties[i].Value...)
	}
	return append(dst, '}')
}

// SplitObject is the inverse of [AppendObject]: it returns the members of an
// object in canonical form, in order. Names and values are parts of obj, which
// must not be changed afterwards. Empty input is an empty object. It panics if
// obj is not an object, which is a bug of ours.
func SplitObject(obj []byte) []trackway.Property {
	if len(obj) == 0 {
		return nil
	}
	var properties []trackway.Property
	s := Scanner{b: obj, base: 1}
	for name := range s.Members {
		properties = append(properties, trackway.Property{Name: name, Value: s.Value().Raw})
	}
	if s.End(); s.bad {
		panic("bug: SplitObject of something that is not an object")
	}
	return properties
}

// writer writes valid JSON in canonical form, which is never longer. It is a
// second pass, for the values that need it. The zero value is ready to use. One
// writer can write many values and keeps its allocated memory.
//
// It writes an object in the order of its input and sorts it when it is
// complete, so each level of nesting costs a copy of its content and no memory.
//
// REQUIRES: the value is within the bounds, which limit the recursion and the
// number of members that are sorted together.
type writer struct {
	Scanner
	dst   []byte
	parts []part // members of all unfinished objects, the innermost last
	moved []byte // members in order, on their way back to dst
}

// part is a written member: places in dst.
type part struct{ start, value, end uint32 }

// write appends the canonical form of a value. It allocates for dst only if dst
// has less room than the length of the value.
func (w *writer) write(dst, raw []byte) []byte {
	w.Scanner = Scan(raw)
	w.dst = dst
	w.value()
	dst, w.dst = w.dst, nil
	return dst
}

func (w *writer) value() {
	switch Kind(w.peek()) {
	case Object:
		w.object()
	case Array:
		w.dst = append(w.dst, '[')
		for i := range w.Elements {
			if i > 0 {
				w.dst = append(w.dst, ',')
			}
			w.value()
		}
		w.dst = append(w.dst, ']')
	default:
		v := w.Scanner.Value()
		if v.Canonical {
			w.dst = append(w.dst, v.Raw...)
		} else {
			w.dst = appendCanonicalString(w.dst, v.Raw[1:len(v.Raw)-1])
		}
	}
}

// object writes an object. Each member ends in a comma until the bracket
// replaces the last one.
func (w *writer) object() {
	first, start, sorted := len(w.parts), len(w.dst)+1, true
	w.dst = append(w.dst, '{')
	w.open('{')
	for w.next('}') {
		p := part{start: uint32(len(w.dst))}
		raw, _ := w.name()
		w.dst = append(appendCanonicalString(w.dst, raw), ':')
		p.value = uint32(len(w.dst))
		if n := len(w.parts); sorted && n > first {
			sorted = compareNames(w.nameOf(w.parts[n-1]), w.nameOf(p)) < 0
		}
		w.value()
		w.dst = append(w.dst, ',')
		p.end = uint32(len(w.dst))
		w.push(p)
	}
	if !sorted {
		w.sort(w.parts[first:])
	}
	w.parts = w.parts[:first]
	if len(w.dst) == start {
		w.dst = append(w.dst, '}')
	} else {
		w.dst[len(w.dst)-1] = '}'
	}
}

// push adds a part. Beyond a few parts, it makes room at once for all that this
// value can have.
func (w *writer) push(p part) {
	if len(w.parts) == cap(w.parts) {
		const few = 64
		more := (len(w.b)-w.i)/shortestMember + 1
		if cap(w.parts) == 0 {
			more = min(more, few)
		}
		w.parts = append(make([]part, 0, len(w.parts)+more), w.parts...)
	}
	w.parts = append(w.parts, p)
}

// nameOf returns the name of a part, without its quotes.
func (w *writer) nameOf(p part) []byte { return w.dst[p.start+1 : p.value-2] }

// sort sorts the parts at the end of dst by name. Of several with the same
// name, it keeps only the last.
func (w *writer) sort(parts []part) {
	start := parts[0].start
	slices.SortFunc(parts, func(a, b part) int {
		if c := compareNames(w.nameOf(a), w.nameOf(b)); c != 0 {
			return c
		}
		return int(a.start) - int(b.start)
	})
	if cap(w.moved) < len(w.dst)-int(start) {
		w.moved = make([]byte, 0, len(w.b)) // enough for the whole value
	}
	w.moved = w.moved[:0]
	for i, p := range parts {
		if i+1 == len(parts) || !bytes.Equal(w.nameOf(p), w.nameOf(parts[i+1])) {
			w.moved = append(w.moved, w.dst[p.start:p.end]...)
		}
	}
	w.dst = append(w.dst[:start], w.moved...)
}

// compareNames compares names in canonical form by their unescaped bytes, which
// sorts them by character.
func compareNames(a, b []byte) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] && a[i] != '\\' {
		i++
	}
	if bytes.IndexByte(a[i:], '\\') < 0 && bytes.IndexByte(b[i:], '\\') < 0 {
		return bytes.Compare(a[i:], b[i:])
	}
	for i > 0 && i < len(a) && !utf8.RuneStart(a[i]) {
		i--
	}
	a, b = a[i:], b[i:]
	for len(a) > 0 && len(b) > 0 {
		charA, n := firstChar(a)
		charB, m := firstChar(b)
		if charA != charB {
			return int(charA) - int(charB)
		}
		a, b = a[n:], b[m:]
	}
	return len(a) - len(b)
}

// firstChar returns the first character of a string's content and its length in
// bytes.
func firstChar(s []byte) (char rune, n int) {
	if s[0] == '\\' {
		return escapedRune(s)
	}
	return utf8.DecodeRune(s)
}

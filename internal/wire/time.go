package wire

import (
	"time"

	"trackway"
)

// aTime says what a time looks like.
const aTime = "a number of seconds since 1970 or a date and time such as 2018-08-05T12:20:25.5Z"

// timeField returns the time that a field holds: a number of seconds since 1970, rounded to the nearest microsecond, or a
// string as for parseDateTime. Milliseconds are not guessed: as seconds they lie outside of the accepted years. A string
// of digits is refused, because it could as well be a date.
func timeField(field string, v value) (trackway.Micros, *trackway.Error) {
	switch v.kind {
	case numberKind:
		t, ok := decimalOf(text(v.raw, true)).millionths()
		return within(field, t, ok)
	case stringKind:
		t, ok := parseDateTime(v.text())
		if !ok {
			return 0, invalid(field, "Field '"+field+"': expected "+aTime+".")
		}
		return within(field, t, true)
	default:
		return 0, unexpected(field, aTime, v.kind)
	}
}

// ageField returns the time that lies as many seconds before received as a field holds. It may be
// below zero: the clock of a device may have been set back in between.
func ageField(field string, v value, received trackway.Micros) (trackway.Micros, *trackway.Error) {
	if v.kind != numberKind {
		return 0, unexpected(field, "a number of seconds", v.kind)
	}
	age, ok := decimalOf(text(v.raw, true)).millionths()
	return within(field, int64(received)-age, ok)
}

// within returns the time that is so many microseconds behind the epoch, unless it lies outside of the accepted years or
// ok is false.
func within(field string, micros int64, ok bool) (trackway.Micros, *trackway.Error) {
	t := trackway.Micros(micros)
	if !ok || t < trackway.MinTime || t > trackway.MaxTime {
		return 0, invalid(field, "Field '"+field+"': expected a time between the years 1970 and 2200 (numbers are seconds).")
	}
	return t, nil
}

// parseDateTime reads a date and time as RFC 3339 (section 5.6) writes them, more loosely where clients do: a space for
// the T, one digit for month, day or hour, no offset (which is UTC), and +0100 or, as databases do, +01 for +01:00. Fractions of a second are
// rounded to the nearest microsecond. Seconds of 60 are refused.
func parseDateTime(s string) (micros int64, ok bool) {
	p := parser{s: s, ok: true}
	year := p.digits(4, 4, 9999)
	p.oneOf("-")
	month := p.digits(1, 2, 12)
	p.oneOf("-")
	day := p.digits(1, 2, 31)
	p.oneOf("Tt ")
	hour := p.digits(1, 2, 23)
	p.oneOf(":")
	minute := p.digits(2, 2, 59)
	p.oneOf(":")
	second := p.digits(2, 2, 59)
	fraction := p.fraction()
	offset := p.offset()
	if !p.ok || p.s != "" {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute-offset, second, 0, time.UTC)
	if date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC); date.Day() != day || date.Month() != time.Month(month) {
		return 0, false
	}
	return t.Unix()*1e6 + fraction, true
}

// parser takes a string apart from its beginning. Once something is not as expected, ok is false.
type parser struct {
	s  string
	ok bool
}

// digits takes least to most digits and returns their value, which must not exceed limit.
func (p *parser) digits(least, most, limit int) int {
	n, i := 0, 0
	for ; i < most && i < len(p.s) && isDigit(p.s[i]); i++ {
		n = n*10 + int(p.s[i]-'0')
	}
	p.s = p.s[i:]
	p.ok = p.ok && i >= least && n <= limit
	return n
}

// oneOf takes one byte of those in set, and returns it.
func (p *parser) oneOf(set string) byte {
	for i := range len(set) {
		if p.s != "" && p.s[0] == set[i] {
			p.s = p.s[1:]
			return set[i]
		}
	}
	p.ok = false
	return 0
}

// fraction takes an optional fraction of a second, and returns it in microseconds.
func (p *parser) fraction() int64 {
	if p.s == "" || p.s[0] != '.' {
		return 0
	}
	n := 1
	for n < len(p.s) && isDigit(p.s[n]) {
		n++
	}
	p.ok = p.ok && n > 1
	micros, _ := decimal{mantissa: p.s[:n]}.millionths()
	p.s = p.s[n:]
	return micros
}

// offset takes an optional offset from UTC, and returns it in minutes.
func (p *parser) offset() int {
	if p.s == "" {
		return 0
	}
	sign := p.oneOf("Zz+-")
	if sign == 'Z' || sign == 'z' {
		return 0
	}
	hours := p.digits(2, 2, 23)
	minutes := hours * 60
	if p.s != "" {
		if p.s[0] == ':' {
			p.s = p.s[1:]
		}
		minutes += p.digits(2, 2, 59)
	}
	if sign == '-' {
		return -minutes
	}
	return minutes
}

// Package iso8601 parses dates and times as clients write them. It is the only
// parser of written times: bodies, queries, flags, configuration and imports
// all use it, so a time that one of them accepts is accepted everywhere.
//
// It does not parse numbers of seconds and has no limits on years, because
// these differ by place.
package iso8601

import (
	"strings"
	"time"

	"trackway"
)

// Parse returns the time in text, rounded to the nearest microsecond, halves
// up. It returns false if text is not a time. The accepted forms are those of
// ISO 8601 (2004, sections 4.1.2.2, 4.2 and 4.3.2), and some more that clients
// write:
//
//   - A date is extended (2018-08-05, where month and day may have one digit)
//     or
//     basic (20180805).
//   - A time of day follows after a T or one space: extended (12:20:25, where
//     the hour may have one digit) or basic (122025). Seconds may be left out,
//     and so may minutes. Seconds may have a fraction after a point or a comma.
//   - An offset follows, after at most one space: Z, UTC, +02:00, +0200 or +02.
//     Letters may be in lower case. Without an offset, the time is UTC.
//   - An extended date may stand alone: it means its first moment in UTC.
//   - 24:00:00 is the first moment of the next day. A leap second (23:59:60
//     UTC)
//     is the first moment of the next day too, as in POSIX.
//
// A text of digits only is refused, since it could be a number of seconds. Also
// refused are dates by week (2018-W31-7) or by day of the year (2018-217),
// fractions of minutes or hours, expanded years (+002018), and names of zones
// other than UTC.
//
// Cost: no allocation. The time is linear in the length of the text, and
// nothing is read beyond the first error.
func Parse(text string) (trackway.Micros, bool) {
	p := parser{s: text, ok: true}
	year, month, day, extended := p.date()
	var at clock
	if p.s != "" || !extended {
		at = p.clock()
	}
	if !p.ok || p.s != "" || !at.valid() {
		return 0, false
	}
	midnight := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if midnight.Day() != day || midnight.Month() != time.Month(month) {
		return 0, false
	}
	return trackway.Micros((midnight.Unix()+int64(at.seconds()))*1e6 + at.micros), true
}

// clock is a time of day.
type clock struct {
	hour, minute, second int
	micros               int64 // of the fraction, up to 1 000 000
	offset               int   // from UTC, in minutes
}

// seconds returns how many seconds after midnight in UTC the clock shows,
// without the fraction.
func (c *clock) seconds() int { return (c.hour*60+c.minute-c.offset)*60 + c.second }

// valid reports whether a clock can show this time: hour 24 exists only as the
// end of a day, and second 60 only as the last of a day in UTC.
func (c *clock) valid() bool {
	const day = 24 * 60 * 60
	if c.hour == 24 && (c.minute != 0 || c.second != 0 || c.micros != 0) {
		return false
	}
	return c.second < 60 || (c.seconds()%day+day)%day == 0
}

// parser takes a text apart from its beginning. If something unexpected comes,
// it sets ok to false.
type parser struct {
	s  string
	ok bool
}

// date parses the date, and reports whether it is extended.
func (p *parser) date() (year, month, day int, extended bool) {
	year = p.digits(4, 4, 9999)
	if extended = p.take("-"); !extended {
		return year, p.digits(2, 2, 12), p.digits(2, 2, 31), false
	}
	month = p.digits(1, 2, 12)
	p.ok = p.take("-") && p.ok
	return year, month, p.digits(1, 2, 31), true
}

// clock parses the time of day, with the separator before it.
func (p *parser) clock() (c clock) {
	p.ok = (p.take("T") || p.take("t") || p.take(" ")) && p.ok
	const oneDigit = 1
	if len(p.s) > oneDigit && p.s[oneDigit] == ':' {
		c.hour = p.digits(1, 1, 9)
	} else {
		c.hour = p.digits(2, 2, 24)
	}
	colon := p.take(":")
	if colon || p.digit() {
		c.minute = p.digits(2, 2, 59)
		if colon && p.take(":") || !colon && p.digit() {
			c.second = p.digits(2, 2, 60)
			c.micros = p.fraction()
		}
	}
	c.offset = p.offset()
	return c
}

// offset parses an optional offset from UTC, and returns it in minutes.
func (p *parser) offset() int {
	if p.s == "" {
		return 0
	}
	p.take(" ")
	if p.take("Z") || p.take("z") || p.takeUTC() {
		return 0
	}
	sign := 1
	if p.take("-") {
		sign = -1
	} else {
		p.ok = p.take("+") && p.ok
	}
	minutes := p.digits(2, 2, 23) * 60
	if p.s != "" {
		p.take(":")
		minutes += p.digits(2, 2, 59)
	}
	return sign * minutes
}

func (p *parser) takeUTC() bool {
	const utc = "UTC"
	if len(p.s) != len(utc) || !strings.EqualFold(p.s, utc) {
		return false
	}
	p.s = ""
	return true
}

// fraction parses an optional fraction of a second, and returns it in
// microseconds, rounded.
func (p *parser) fraction() (micros int64) {
	if !p.take(".") && !p.take(",") {
		return 0
	}
	p.ok = p.ok && p.digit()
	for unit := int64(1e6); p.digit(); p.s = p.s[1:] {
		digit := int64(p.s[0] - '0')
		if unit == 1 {
			micros += digit / 5 // the first dropped digit decides
		}
		if unit /= 10; unit > 0 {
			micros += digit * unit
		}
	}
	return micros
}

// digits parses least to most digits and returns their value, which must not
// exceed limit.
func (p *parser) digits(least, most, limit int) int {
	n, i := 0, 0
	for ; i < most && p.digit(); i++ {
		n = n*10 + int(p.s[0]-'0')
		p.s = p.s[1:]
	}
	p.ok = p.ok && i >= least && n <= limit
	return n
}

// digit reports whether a digit comes next.
func (p *parser) digit() bool { return p.s != "" && '0' <= p.s[0] && p.s[0] <= '9' }

// take consumes s if it comes next, and reports whether it did.
func (p *parser) take(s string) (taken bool) {
	p.s, taken = strings.CutPrefix(p.s, s)
	return taken
}

// Package value reads single fields of bodies, and has the errors of fields
// that are not as expected. The formats share it.
package value

import (
	"strconv"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/excerpt"
	"trackway/internal/iso8601"
)

// ATime describes a valid time.
const ATime = "a number of seconds since 1970 or a date and time such as 2018-08-05T12:20:25.5Z"

// Time returns the time of a field: a number of seconds since 1970,
// rounded to the nearest microsecond, or a string as for [iso8601.Parse]. It
// does not guess milliseconds: as seconds they lie outside of the accepted
// years. It refuses a string of digits, because that could also be a date.
func Time(field string, v canonjson.Value) (trackway.Micros, *trackway.Error) {
	switch v.Kind {
	case canonjson.Number:
		t, ok := canonjson.Millionths(v.Raw)
		return Within(field, t, ok)
	case canonjson.String:
		t, ok := iso8601.Parse(v.Text())
		if !ok {
			return 0, Expected(field, ATime)
		}
		return Within(field, int64(t), true)
	default:
		return 0, Unexpected(field, ATime, v.Kind)
	}
}

// Within returns the time that is micros after the epoch. It returns an error
// if ok is false or the time lies outside of the accepted years.
func Within(field string, micros int64, ok bool) (trackway.Micros, *trackway.Error) {
	t := trackway.Micros(micros)
	if !ok || t < trackway.MinTime || t > trackway.MaxTime {
		return 0, Expected(field, "a time between the years 1970 and 2200 (numbers are seconds)")
	}
	return t, nil
}

// ID returns the value of an identifier: a string, or a number, which becomes
// plain decimals, so that 1000, 1000.0 and 1e3 are one id. An absent value is
// an empty id. It refuses half a surrogate pair, because that would permanently
// merge two customers.
func ID(field string, v canonjson.Value) (string, *trackway.Error) {
	switch {
	case v.Absent():
		return "", nil
	case v.Kind == canonjson.String && v.HasHalfPair():
		return "", Expected(field, `text, got half a surrogate pair (\ud800 to \udfff)`)
	case v.Kind == canonjson.String:
		return v.Text(), nil
	case v.Kind == canonjson.Number:
		id, ok := canonjson.PlainDecimal(v.Raw, canonjson.MaxDigits)
		if !ok {
			return "", Beyond(field, canonjson.TooLong)
		}
		return id, nil
	}
	return "", Unexpected(field, "a string or a number", v.Kind)
}

// Expected returns the error for a field with an unexpected value.
func Expected(field, what string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.Expected, What: what}
}

// Unexpected returns the error for a field with a value of a kind other than
// the expected one ("an object").
func Unexpected(field, what string, got canonjson.Kind) *trackway.Error {
	return Expected(field, what+", got "+got.String())
}

// Required returns the error for a field that is absent.
func Required(field string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.Required}
}

// TooMany returns the error for a field that holds too many parts.
func TooMany(field string, limit int, parts string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.TooMany, Limit: limit, What: parts}
}

// Beyond returns the error for a field whose value exceeds a bound.
func Beyond(field string, f canonjson.Fault) *trackway.Error {
	switch f {
	case canonjson.TooDeep:
		return Expected(field, "at most "+strconv.Itoa(canonjson.MaxDepth)+" levels of arrays and objects")
	case canonjson.TooWide:
		return Expected(field, "at most "+strconv.Itoa(canonjson.MaxMembers)+" members in an object")
	case canonjson.TooLong:
		return Expected(field, "numbers of at most "+strconv.Itoa(canonjson.MaxDigits)+" digits")
	}
	return Expected(field, "numbers below 1.8e308, with exponents of at least -"+strconv.Itoa(canonjson.MaxExponent))
}

// Problem returns the error for a field that is not a valid object, or nil.
func Problem(field string, p canonjson.Problem) *trackway.Error {
	switch p.Fault {
	case canonjson.None:
		return nil
	case canonjson.NotObject:
		return Unexpected(field, "an object", p.Kind)
	case canonjson.TooMany:
		return TooMany(field, canonjson.MaxMembers, "members")
	case canonjson.TooLarge:
		return &trackway.Error{Code: trackway.TooLarge, Field: field, Reason: trackway.LongJSON, Limit: trackway.MaxEventBytes, Got: p.Bytes}
	}
	return Beyond(field+"."+Shown(p.Name), p.Fault)
}

// maxShown is how many bytes of a client's name an error repeats.
const maxShown = 64

// Shown returns s, shortened if it is too long to be repeated in an error.
func Shown(s string) string { return excerpt.Of(s, maxShown) }

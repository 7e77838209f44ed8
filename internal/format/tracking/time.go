package tracking

import (
	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/iso8601"
)

// aTime describes a valid time.
const aTime = "a number of seconds since 1970 or a date and time such as 2018-08-05T12:20:25.5Z"

// timeField returns the time of a field: a number of seconds since 1970,
// rounded to the nearest microsecond, or a string as for [iso8601.Parse]. It
// does not guess milliseconds: as seconds they lie outside of the accepted
// years. It refuses a string of digits, because that could also be a date.
func timeField(field string, v canonjson.Value) (trackway.Micros, *trackway.Error) {
	switch v.Kind {
	case canonjson.Number:
		t, ok := canonjson.Millionths(v.Raw)
		return within(field, t, ok)
	case canonjson.String:
		t, ok := iso8601.Parse(v.Text())
		if !ok {
			return 0, expected(field, aTime)
		}
		return within(field, int64(t), true)
	default:
		return 0, unexpected(field, aTime, v.Kind)
	}
}

// ageField returns the time that lies as many seconds before received as the
// field says. The age may be negative: the clock of a device may have been set
// back in between.
func ageField(field string, v canonjson.Value, received trackway.Micros) (trackway.Micros, *trackway.Error) {
	if v.Kind != canonjson.Number {
		return 0, unexpected(field, "a number of seconds", v.Kind)
	}
	age, ok := canonjson.Millionths(v.Raw)
	return within(field, int64(received)-age, ok)
}

// within returns the time that is micros after the epoch. It returns an error
// if ok is false or the time lies outside of the accepted years.
func within(field string, micros int64, ok bool) (trackway.Micros, *trackway.Error) {
	t := trackway.Micros(micros)
	if !ok || t < trackway.MinTime || t > trackway.MaxTime {
		return 0, expected(field, "a time between the years 1970 and 2200 (numbers are seconds)")
	}
	return t, nil
}

package tracking

import (
	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
)

// ageField returns the time that lies as many seconds before received as the
// field says. The age may be negative: the clock of a device may have been set
// back in between.
func ageField(field string, v canonjson.Value, received trackway.Micros) (trackway.Micros, *trackway.Error) {
	if v.Kind != canonjson.Number {
		return 0, value.Unexpected(field, "a number of seconds", v.Kind)
	}
	age, ok := canonjson.Millionths(v.Raw)
	return value.Within(field, int64(received)-age, ok)
}

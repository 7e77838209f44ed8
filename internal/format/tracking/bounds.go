package tracking

import (
	"strconv"

	"trackway"
	"trackway/internal/canonjson"
)

// Bounds on what a command holds besides values.
const (
	maxIDs            = 1024    // ids of one command, of all names together
	maxCommandIDBytes = 1 << 10 // bytes of command_id, which is answered as it was sent
)

// beyond returns the error for a field whose value exceeds a bound.
func beyond(field string, f canonjson.Fault) *trackway.Error {
	var expected string
	switch f {
	case canonjson.TooDeep:
		expected = "at most " + strconv.Itoa(canonjson.MaxDepth) + " levels of arrays and objects"
	case canonjson.TooWide:
		expected = "at most " + strconv.Itoa(canonjson.MaxMembers) + " members in an object"
	case canonjson.TooLong:
		expected = "numbers of at most " + strconv.Itoa(canonjson.MaxDigits) + " digits"
	case canonjson.OutOfDouble:
		expected = "numbers below 1.8e308, with exponents of at least -" + strconv.Itoa(canonjson.MaxExponent)
	default:
		panic("bug: there is no fault")
	}
	return invalid(field, "Field '"+field+"': expected "+expected+".")
}

// problem returns the error for a field that is not an object as it should be,
// nil if it is.
func problem(field string, p canonjson.Problem) *trackway.Error {
	switch p.Fault {
	case canonjson.None:
		return nil
	case canonjson.NotObject:
		return unexpected(field, "an object", p.Kind)
	case canonjson.TooMany:
		return invalid(field, "Field '"+field+"': at most "+strconv.Itoa(canonjson.MaxMembers)+" members.")
	case canonjson.TooLarge:
		return &trackway.Error{
			Code: trackway.TooLarge, Field: field,
			Msg: "Field '" + field + "': expected at most " + strconv.Itoa(trackway.MaxEventBytes) + " bytes of JSON, got " + strconv.Itoa(p.Bytes) + ".",
		}
	}
	return beyond(field+"."+shown(p.Name), p.Fault)
}

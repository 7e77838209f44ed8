package tracking

import (
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/excerpt"
)

// texts are the sentences for the domain's reasons. They are a part of the
// contract: clients show them, and some clients search for them.
var texts = map[trackway.Code]string{
	trackway.Expected:      "Field '{field}': expected {what}.",
	trackway.Required:      "Field '{field}' is required.",
	trackway.Empty:         "Field '{field}' is empty.",
	trackway.TooMany:       "Field '{field}': at most {limit} {what}.",
	trackway.OverValues:    "Field '{field}': expected at most {limit}, got more.",
	trackway.LongText:      "Field '{field}': expected at most {limit} bytes, got {got}.",
	trackway.LongJSON:      "Field '{field}': expected at most {limit} bytes of JSON, got {got}.",
	trackway.LongName:      "Field '{field}': expected names of at most {limit} bytes, got one of {got}.",
	trackway.LargeEvent:    "An event may have at most {limit} bytes, this one has {got}.",
	trackway.Nobody:        "At least one id should be specified.",
	trackway.MergeNames:    "Field '{field}': an event of type merge may name at most {limit} identifiers.",
	trackway.OtherValue:    "Field '{field}': the customer that the other identifiers lead to has another '{what}' already.",
	trackway.OtherCustomer: "Field '{field}': the identifiers lead to different customers, which cannot be merged because each has its own '{what}'.",
	trackway.Robs:          "Field '{field}': the ids belong to {got} other customers, and can be taken from at most {limit} at once.",
	trackway.Merges:        "Field '{field}': the ids lead to {got} customers, and at most {limit} can be merged at once.",
	trackway.Moves:         "Field '{field}': the customers to be merged into another have {got} properties together, and at most {limit} can be merged at once.",
	trackway.Full:          "Field 'properties': the customer has {limit} properties, the most there may be; {got} new ones were not added, such as {what}.",
}

// Text returns an error as clients read it, a whole sentence.
func Text(err *trackway.Error) string {
	if err.Reason == "" {
		return err.Msg
	}
	values := strings.NewReplacer("{field}", err.Field, "{limit}", strconv.Itoa(err.Limit), "{got}", strconv.Itoa(err.Got), "{what}", err.What)
	return values.Replace(texts[err.Reason])
}

var (
	errJSON = &trackway.Error{Code: trackway.Invalid, Msg: "Invalid JSON"}

	// errNobody belongs to the data API.
	errNobody = &trackway.Error{Code: trackway.Invalid, Field: idsField, Msg: "Must specify at least one customer ID"}
)

// expected returns the error for a field with an unexpected value.
func expected(field, what string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.Expected, What: what}
}

// unexpected returns the error for a field with a value of a kind other than
// the expected one ("an object").
func unexpected(field, what string, got canonjson.Kind) *trackway.Error {
	return expected(field, what+", got "+got.String())
}

// required returns the error for a field that is absent.
func required(field string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.Required}
}

// tooMany returns the error for a field that holds too many parts.
func tooMany(field string, limit int, parts string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.TooMany, Limit: limit, What: parts}
}

// sentence returns an error of this format only, in its own words.
func sentence(field, msg string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Msg: msg}
}

// beyond returns the error for a field whose value exceeds a bound.
func beyond(field string, f canonjson.Fault) *trackway.Error {
	switch f {
	case canonjson.TooDeep:
		return expected(field, "at most "+strconv.Itoa(canonjson.MaxDepth)+" levels of arrays and objects")
	case canonjson.TooWide:
		return expected(field, "at most "+strconv.Itoa(canonjson.MaxMembers)+" members in an object")
	case canonjson.TooLong:
		return expected(field, "numbers of at most "+strconv.Itoa(canonjson.MaxDigits)+" digits")
	}
	return expected(field, "numbers below 1.8e308, with exponents of at least -"+strconv.Itoa(canonjson.MaxExponent))
}

// problem returns the error for a field that is not a valid object, or nil.
func problem(field string, p canonjson.Problem) *trackway.Error {
	switch p.Fault {
	case canonjson.None:
		return nil
	case canonjson.NotObject:
		return unexpected(field, "an object", p.Kind)
	case canonjson.TooMany:
		return tooMany(field, canonjson.MaxMembers, "members")
	case canonjson.TooLarge:
		return &trackway.Error{Code: trackway.TooLarge, Field: field, Reason: trackway.LongJSON, Limit: trackway.MaxEventBytes, Got: p.Bytes}
	}
	return beyond(field+"."+shown(p.Name), p.Fault)
}

// maxShown is how many bytes of a client's name an error repeats.
const maxShown = 64

// shown returns s, shortened if it is too long to be repeated in an error.
func shown(s string) string { return excerpt.Of(s, maxShown) }

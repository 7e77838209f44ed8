package tracking

import (
	"strconv"
	"strings"

	"trackway"
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

// sentence returns an error of this format only, in its own words.
func sentence(field, msg string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Msg: msg}
}

package trackway

import "strings"

// Code is a word about an [Error], for programs: its kind, or its reason. Kinds
// are part of the API's contract: new ones may come, but none is renamed.
type Code string

// The kinds. One table in internal/api maps them to HTTP statuses.
const (
	Invalid      Code = "invalid"      // the request, or a field of it, is not what was expected
	Unidentified Code = "unidentified" // the credentials are missing, unusable or unknown
	Forbidden    Code = "forbidden"    // the caller is known, but not allowed to do this
	NotFound     Code = "not_found"    // it does not exist
	Conflict     Code = "conflict"     // it contradicts what is stored
	TooLarge     Code = "too_large"    // larger than is accepted
	Unsupported  Code = "unsupported"  // an encoding or media type that the server does not understand
	Overloaded   Code = "overloaded"   // no room at the moment: try again
	Internal     Code = "internal"     // our fault
)

// The reasons say what is wrong with the field of an [Error]. They are not
// sentences: each format has its own wording for them (internal/format), with
// the values that the comments name.
const (
	Expected   Code = "expected"    // the field holds something other than What
	Required   Code = "required"    // the field is absent
	Empty      Code = "empty"       // the field is present, but empty
	TooMany    Code = "too_many"    // more than Limit of What in the field
	OverValues Code = "over_values" // more than Limit values of one identifier
	LongText   Code = "long_text"   // Got bytes of text, at most Limit
	LongJSON   Code = "long_json"   // Got bytes of JSON, at most Limit
	LongName   Code = "long_name"   // a property's name of Got bytes, at most Limit
	LargeEvent Code = "large_event" // an event of Got bytes, at most Limit
	Nobody     Code = "nobody"      // no identifier says who it is about
	MergeNames Code = "merge_names" // an event of type merge names more than Limit identifiers

	// The next reasons are about identifiers that contradict each other, or
	// what is stored. OtherValue: the customer already has another value of the
	// hard identifier What. OtherCustomer: the customers cannot be merged,
	// because each has its own value of it.

	OtherValue    Code = "other_value"
	OtherCustomer Code = "other_customer"
	Robs          Code = "robs"   // would take identifiers from Got other customers, at most Limit at once
	Merges        Code = "merges" // would merge Got customers, at most Limit at once
	Moves         Code = "moves"  // would move Got properties, at most Limit at once

	// Full: the customer has Limit properties, the maximum. Got new ones, such
	// as What, were not added.

	Full Code = "full"
)

// Error is an error that the caller of the API may see. It never holds a key, a
// secret, or the value of a property.
type Error struct {
	Code   Code
	Field  string // the field at fault, such as customer_ids.cookie; empty if it is about no single field
	Reason Code   // what is wrong with it
	Limit  int    // the maximum
	Got    int    // the actual number
	What   string // what was expected, or what the reason names

	// Msg is a whole sentence that replaces Reason. It is for errors of a
	// single interface of the server, about keys, bodies or overload.
	Msg string
}

// Error returns a text for logs. Callers get the wording of their format.
func (e *Error) Error() string {
	if e.Msg != "" {
		return e.Msg
	}
	return strings.TrimSpace(e.Field + " " + string(e.Reason) + " " + e.What)
}

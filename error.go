package trackway

import "strings"

// Code is a word about an [Error], for programs: its kind, or its reason. Kinds
// are contract: they are added to, never renamed.
type Code string

// The kinds. One table in internal/api maps them to HTTP statuses.
const (
	Invalid      Code = "invalid"      // the request, or a field of it, is not what was expected
	Unidentified Code = "unidentified" // no usable credentials, or unknown ones
	Forbidden    Code = "forbidden"    // known, but not allowed
	NotFound     Code = "not_found"    // there is no such thing
	Conflict     Code = "conflict"     // it contradicts what is stored
	TooLarge     Code = "too_large"    // larger than is accepted
	Unsupported  Code = "unsupported"  // an encoding or media type that is not understood
	Overloaded   Code = "overloaded"   // no room at the moment: try again
	Internal     Code = "internal"     // our fault
)

// The reasons say what is wrong with the field of an [Error]. They carry no
// words: each format says them in its own (internal/format), with the values
// that the comments name.
const (
	Expected   Code = "expected"    // the field holds something else: What was expected
	Required   Code = "required"    // the field is absent
	Empty      Code = "empty"       // the field is there, and empty
	TooMany    Code = "too_many"    // more than Limit of What in the field
	OverValues Code = "over_values" // more than Limit values of one identifier
	LongText   Code = "long_text"   // Got bytes of text, at most Limit
	LongJSON   Code = "long_json"   // Got bytes of JSON, at most Limit
	LongName   Code = "long_name"   // a property's name of Got bytes, at most Limit
	LargeEvent Code = "large_event" // an event of Got bytes, at most Limit
	Nobody     Code = "nobody"      // no identifier says whom it is about
	MergeNames Code = "merge_names" // an event of type merge names more than Limit identifiers

	// Identifiers that contradict each other, or what is stored. A customer has
	// another value of the hard identifier What already; customers may not be
	// merged, because each has its own value of it.

	OtherValue    Code = "other_value"
	OtherCustomer Code = "other_customer"
	Robs          Code = "robs"   // taken from Got other customers, at most Limit at once
	Merges        Code = "merges" // would merge Got customers, at most Limit at once
	Moves         Code = "moves"  // would move Got properties, at most Limit at once

	// Full: the customer has Limit properties, the most there may be. Got new
	// ones, such as What, were not added.

	Full Code = "full"
)

// Error is an error that the caller of the API may see. It never holds a key, a
// secret, or the value of a property.
type Error struct {
	Code   Code
	Field  string // the field at fault, such as customer_ids.cookie; empty if it is none in particular
	Reason Code   // what is wrong with it
	Limit  int    // the most there may be
	Got    int    // how many there were
	What   string // what was expected, or is named

	// Msg is a whole sentence in place of a Reason, for what only one interface
	// of the server says: about keys, bodies, overload.
	Msg string
}

// Error is for logs. A caller gets the words of its format.
func (e *Error) Error() string {
	if e.Msg != "" {
		return e.Msg
	}
	return strings.TrimSpace(e.Field + " " + string(e.Reason) + " " + e.What)
}

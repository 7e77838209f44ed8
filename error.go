package trackway

// Code is the kind of an [Error], for programs. Codes are contract: they are added to, never renamed.
type Code string

// The codes. Which HTTP status each is answered with stands in one table, in internal/api.
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

// Error is an error that the caller of the API may see. It never holds a key, a secret, or the value of a property.
type Error struct {
	Code  Code
	Field string // the field that is at fault, such as customer_ids.cookie; empty when it is none in particular
	Msg   string // a whole sentence that names the field and what was expected
}

func (e *Error) Error() string { return e.Msg }

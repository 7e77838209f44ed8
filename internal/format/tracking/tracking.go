// Package tracking is the tracking API's JSON: it decodes request bodies into
// commands of the domain, and writes their results. It also decodes the data
// API's bodies, which name customers in the same way.
//
// The package knows the form of fields, not their permitted content. It does
// not know a project's identifiers, does not require the fields that a command
// must have (internal/ingest does both), and neither reads nor writes HTTP
// (internal/api). It reads no clock. All functions are pure and safe for
// concurrent use. Package canonjson reads the body, and commands are parts of
// it, so it must not be changed as long as they are used.
//
// # Errors
//
// Every error is a *trackway.Error whose code is trackway.Invalid, or
// trackway.TooLarge for properties that are too long. Field is empty exactly if
// the body as a whole was not understood: it is not JSON, or not an object. Any
// other error is about the field that it names.
//
// Bounds are those of canonjson, on each value. So single commands, batches and
// lines of a file accept the same values, and a command that exceeds a bound
// fails alone.
//
// # Decisions
//
// Null stands for an absent field everywhere, except as a property's value,
// where it is a value. The last of two members of the same name wins, even if
// it is an error. Unknown fields are ignored. Half a surrogate pair in an id is
// refused: it would permanently merge two customers.
package tracking

// The names of the commands that change something, in a batch and in paths.
const (
	Customers = "customers"        // update a customer's properties
	Events    = "customers/events" // add an event
	Clicks    = "campaigns/clicks" // add the event campaign_click
)

// systemTime is the command that only asks for the time.
const systemTime = "system/time"

// clickType is the type of the event that a click is stored as.
const clickType = "campaign_click"

// Bounds on what a command holds besides values.
const (
	maxIDs            = 1024    // ids of one command, of all names together
	maxCommandIDBytes = 1 << 10 // bytes of command_id, which the answer repeats unchanged
)

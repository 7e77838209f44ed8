// Package tracking is the tracking API's JSON: it decodes request bodies into
// commands of the domain, and writes what became of them. It has the data API's
// bodies, too, which name customers in the same way.
//
// The package knows what a field looks like, not what it may hold: it does not
// know a project's identifiers, does not ask for those fields that a command must
// have (internal/ingest does both), and neither reads nor writes HTTP
// (internal/api). It reads no clock. All functions are pure and safe for
// concurrent use. A body is read by package canonjson: commands are parts of it,
// so it must not be changed once it was decoded.
//
// # Errors
//
// Every error is a *trackway.Error whose code is trackway.Invalid, or
// trackway.TooLarge for properties that are too long. Field is empty exactly if
// the body as a whole was not understood: it is not JSON, or not an object. Any
// other error is about the field that it names.
//
// Bounds are those of canonjson, on each value, so that single commands, batches
// and lines of a file accept the same ones, and a command that exceeds a bound
// fails alone.
//
// # Decisions
//
// Null stands for an absent field everywhere, except as a property's value, where
// it is a value. The last of two members of the same name wins, errors included.
// Unknown fields are ignored. Half a surrogate pair in an id is refused: it would
// make one customer of two, for good.
package tracking

import (
	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/excerpt"
)

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

// maxShown is how many bytes of a name that a client made up are repeated in an error.
const maxShown = 64

var errJSON = invalid("", "Invalid JSON")

// invalid returns an error about a field; a field of "" is the whole body.
func invalid(field, msg string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Msg: msg}
}

// unexpected returns the error for a field that holds something else than what was expected there ("an object").
func unexpected(field, expected string, got canonjson.Kind) *trackway.Error {
	return invalid(field, "Field '"+field+"': expected "+expected+", got "+got.String()+".")
}

// required returns the error for a field that is absent.
func required(field string) *trackway.Error {
	return invalid(field, "Field '"+field+"' is required.")
}

// empty returns the error for a field that is there and holds nothing, which
// its sender would not find by reading that it is required.
func empty(field string) *trackway.Error {
	return invalid(field, "Field '"+field+"' is empty: expected at least one element.")
}

// shown returns s, or its beginning where it is too long to be repeated in an error.
func shown(s string) string { return excerpt.Of(s, maxShown) }

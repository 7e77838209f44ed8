// Package wire is the tracking API's JSON: request bodies become commands of the domain, and what became of them becomes
// answers.
//
// Its one idea: a body is read once, strictly, and not copied. A small scanner checks RFC 8259 to the letter while the
// values are taken from it; names, strings and property values are parts of the body itself wherever they already have the
// form in which they are kept. So a body belongs to its request, must not be changed once it was decoded, and lives as long
// as anything that was decoded from it; copy what outlives the request.
//
// The package knows what a field looks like, not what it may hold: it does not know a project's identifiers, does not ask
// for those fields that a command must have (internal/ingest does both), and neither reads nor writes HTTP (internal/api).
// It reads no clock. All functions are pure and safe for concurrent use.
//
// # Errors
//
// Every error is a *trackway.Error whose code is trackway.Invalid, or trackway.TooLarge for properties that are too long.
// Field is empty exactly where the body as a whole was not understood (it is not JSON, or not an object): that is answered
// by [AppendMessage]. Any other error is about the field it names.
//
// # Bounds
//
// Depth, members, digits and length are bounded on the value, so that single commands, batches and lines of a file accept
// the same ones, and a command over a bound fails alone. Scanning checks them before anything is collected or rewritten:
// what decoding allocates is a small factor of the body, whatever it holds (package cost), and depth takes no stack.
//
// # Decisions
//
// Null stands for an absent field everywhere, except as a property's value, where it is a value. The last of two members of the
// same name wins, errors included. Fields that are not known are ignored.
//
// Half a surrogate pair becomes U+FFFD in every text but an id, also in the types of events and the names of properties, and
// alike where these are asked for. Two of them that differed in nothing else become one, which costs at most a distinction that
// no reader could have shown; to refuse them would cost what came with them. Ids would make one customer of two, for good.
package wire

import (
	"trackway"
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

// invalid returns an error about a field; a field of "" is the whole body.
func invalid(field, msg string) *trackway.Error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Msg: msg}
}

// unexpected returns the error for a field that holds something else than what was expected there ("an object").
func unexpected(field, expected string, got kind) *trackway.Error {
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

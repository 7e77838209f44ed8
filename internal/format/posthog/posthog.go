// Package posthog is the JSON that PostHog's clients send to capture events:
// the server SDKs to /batch/, posthog-js to /e/. It decodes bodies into
// commands of the domain, and writes the answers. It also has the answers to
// the questions that these clients ask besides: which feature flags, and which
// features of the page, are enabled. Here, none are.
//
// The package knows the form of messages, not a project's rules
// (internal/ingest). It neither reads nor writes HTTP (internal/api), and reads
// no clock. Commands are parts of the body, which must not be changed as long
// as they are used.
//
// # Who a message is about
//
// PostHog has one kind of id, distinct_id, for users and for devices. Here it
// is the project's user identifier, which is hard, unless the message says that
// nobody has signed in: then it is the project's device identifier, which is
// soft. See [message.isAnonymous].
//
// # Commands of a message
//
// $identify, $set and $set_once update a customer and are no events.
// $create_alias connects two ids. $merge_dangerously is refused, because a
// merge of two users who have signed in cannot be undone. All other messages
// are events of their own name, which may also update the customer ($set,
// $set_once, $unset).
package posthog

import (
	"trackway"
	"trackway/internal/format"
	"trackway/internal/format/value"
)

// MaxMessages is how many messages one body may have. Server SDKs send at most
// 100 or 250, unless they are told otherwise.
const MaxMessages = 1000

// maxPerMessage is how many commands a message can become: an event, two
// updates each by $set and $set_once, and one by $unset.
const maxPerMessage = 6

// Bounds on what the answer repeats.
const (
	maxUUIDBytes = 64 // of a message's id
	maxReported  = 20 // rejected messages that the answer lists
)

// Capture is the format of bodies with messages.
var Capture = &format.Format{
	Name: "capture", Decode: Decode, Results: results, Refusal: refusal, Text: Text, AnySite: true,
	Commands: maxPerMessage * MaxMessages, Takes: Takes,
}

// Disabled is the format of questions about features. Script is the format of
// those whose answer is a script.
var (
	Disabled = &format.Format{Refusal: refusal, Text: Text, AnySite: true}
	Script   = &format.Format{Refusal: refusal, Text: Text, AnySite: true, Media: []string{"text/javascript; charset=utf-8"}}
)

// The names of messages that are not plain events.
const (
	identify         = "$identify"
	set              = "$set"
	setOnce          = "$set_once"
	unset            = "$unset"
	createAlias      = "$create_alias"
	mergeDangerously = "$merge_dangerously"
	groupIdentify    = "$groupidentify"
)

// event is the label of messages that are events.
const event = "capture"

var errNoName = value.Required("event")

var errJSON = &trackway.Error{Code: trackway.Invalid, Msg: "The body is not JSON, or not a message or a batch of messages."}

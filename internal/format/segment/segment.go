// Package segment is the JSON of Segment's HTTP tracking API, which the SDKs of
// RudderStack and Jitsu speak, too. It decodes messages into commands of the
// domain, and writes their results.
//
// A message says who did what: track, page, screen and group become events,
// identify sets properties of a customer, and alias adds an identifier. The
// user's id and the anonymous id are the identifiers that the project names for
// them. Null is an absent field. Unknown fields are ignored.
//
// # Times
//
// A message happened at its timestamp, or else at its originalTimestamp, or
// else now. Segment instead computes the time from the moment when the message
// was sent, so that a wrong clock does no harm. But each try to send a message
// would then give it another time. So this package corrects a time only if the
// client's clock, by sentAt, differs from the server's by more than five
// minutes. It notes the original time, so that the store recognizes the message
// whatever its time is.
//
// The package neither reads nor writes HTTP. It reads no clock. All functions
// are pure and safe for concurrent use.
package segment

import (
	"trackway"
	"trackway/internal/format"
)

// Types of messages, which are also the last parts of paths.
const (
	Track    = "track"
	Identify = "identify"
	Page     = "page"
	Screen   = "screen"
	Group    = "group"
	Alias    = "alias"
)

// Types of the events that messages without a name of their own become.
const (
	pageType   = "page_visit"
	screenType = "screen_view"
	groupType  = "group"
)

// MaxMessages is how many messages a batch may have.
const MaxMessages = 2500

// Batch is the format of a batch, and Import that of a batch of old messages,
// whose times are never corrected. The answer to a strict one names each
// message that was refused.
var (
	Batch        = batchFormat("batch", decodeBatch, batchResults)
	StrictBatch  = batchFormat("batch", decodeBatch, strictResults)
	Import       = batchFormat("import", decodeImport, batchResults)
	StrictImport = batchFormat("import", decodeImport, strictResults)
)

// Settings is the format of the settings document.
var Settings = &format.Format{Refusal: refusal, Text: Text, AnySite: true}

func batchFormat(name string, decode decodeFunc, results resultsFunc) *format.Format {
	return &format.Format{
		Name: name, Decode: decode, Results: results, Refusal: refusal, Text: Text, AnySite: true, Commands: MaxMessages,
	}
}

type (
	decodeFunc  = func(*trackway.Project, []byte, trackway.Micros) (*format.Batch, *trackway.Error)
	resultsFunc = func(*format.Batch, trackway.Micros) (int, []byte, *trackway.Error)
)

// Single returns the format of a message of a type that is sent alone.
func Single(typ string) *format.Format {
	return &format.Format{
		Name: typ,
		Decode: func(p *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
			return decodeSingle(p, typ, body, received)
		},
		Results: singleResult, Refusal: refusal, Text: Text, AnySite: true,
	}
}

// Package otlp is the OpenTelemetry protocol for logs over HTTP, in its two
// encodings: protocol buffers and JSON (opentelemetry.io/docs/specs/otlp,
// version 1). It decodes the log records that are events into commands of the
// domain, and writes the answers.
//
// A record is an event if it has a name: event_name, or else the attribute
// event.name, as SDKs of 2024 and before write it. Other records are rejected.
// The sender learns their number (partial success), and does not repeat them.
//
// # Who a record is about
//
// The attributes enduser.id or user.id hold the user's id, which becomes the
// project's user identifier. The attributes device.id and session.id become
// values of its device identifier. A project may name other attributes. All of
// them may stand in the record or in its resource. They are not among the
// event's properties, because an erasure finds ids only where identifiers are.
//
// # Properties
//
// The record's attributes are properties of the event. So are, unless there is
// an attribute of the same name: body, severity_text, severity_number,
// trace_id, span_id, and the objects resource and scope with the attributes of
// these.
//
// # Times
//
// A record happened at time_unix_nano, or else at observed_time_unix_nano, or
// else now. Times are kept to the microsecond.
//
// The package neither reads nor writes HTTP (internal/api). It reads no clock.
// Commands are parts of the body, or of what was decoded from it.
package otlp

import (
	"trackway"
	"trackway/internal/format"
	"trackway/internal/format/value"
)

// MaxRecords is the maximum number of log records in one body. A Collector
// sends 8192 at a time, unless it is configured otherwise.
const MaxRecords = 10_000

const (
	// maxShared bounds the attributes of a resource or a scope, in bytes of
	// JSON, because they become a part of each event.
	maxShared = trackway.MaxValueBytes

	// maxTotal bounds the events of a body together, in bytes of JSON.
	maxTotal = trackway.MaxCommands * trackway.MaxEventBytes
)

// Proto and JSON are the formats of log records, by their encoding. The answers
// are in the same encoding.
var (
	Proto = &format.Format{
		Name: label, Decode: decodeProto, Results: protoResults, Refusal: protoRefusal, Text: Text, AnySite: true,
		Commands: MaxRecords, Takes: protoTakes, Media: []string{"application/x-protobuf"},
	}
	JSON = &format.Format{
		Name: label, Decode: decodeJSON, Results: jsonResults, Refusal: jsonRefusal, Text: Text, AnySite: true, Commands: MaxRecords, Takes: jsonTakes,
	}
)

// label is shown to people as the kind of a command.
const label = "log record"

// Names of attributes that are not properties.
const (
	eventName = "event.name" // before there was a field for it
	recordUID = "log.record.uid"
)

// The names of attributes that hold ids, unless the project has others.
var (
	usualUser   = []string{"enduser.id", "user.id"}
	usualDevice = []string{"device.id", "session.id"}
)

var (
	errProto   = &trackway.Error{Code: trackway.Invalid, Msg: "The body is not an ExportLogsServiceRequest in the encoding of protocol buffers."}
	errJSON    = &trackway.Error{Code: trackway.Invalid, Msg: "The body is not an ExportLogsServiceRequest in JSON."}
	errRecords = &trackway.Error{Code: trackway.TooLarge, Field: "log_records", Reason: trackway.TooMany, Limit: MaxRecords, What: "records in a request"}
	errTotal   = &trackway.Error{Code: trackway.TooLarge, Field: "log_records", Reason: trackway.LongJSON, Limit: maxTotal, Got: maxTotal + 1}
	errNoText  = value.Expected("event_name", "text in UTF-8")
	errNoName  = &trackway.Error{Code: trackway.Invalid, Field: "event_name", Reason: trackway.Required}
)

package otlp

import (
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
	"trackway/internal/format/tracking"
)

// rejected returns how many records were rejected, and a sentence about them.
// If none was rejected, the sentence is "".
func rejected(b *format.Batch) (n int, message string) {
	var first *trackway.Error
	for i := range b.Results {
		if err := b.Results[i].Err; err != nil {
			if n++; first == nil {
				first = err
			}
		}
	}
	if n == 0 {
		return 0, ""
	}
	return n, strconv.Itoa(n) + " of " + strconv.Itoa(len(b.Results)) + " log records were rejected. The first: " + Text(first)
}

// jsonResults returns the answer to a batch in JSON: an
// ExportLogsServiceResponse, which is empty if all records were accepted. The
// sender must not repeat rejected ones.
//
//	{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"…"}}
func jsonResults(b *format.Batch, _ trackway.Micros) (int, []byte, *trackway.Error) {
	n, message := rejected(b)
	if n == 0 {
		return http.StatusOK, []byte("{}"), nil
	}
	dst := strconv.AppendInt([]byte(`{"partialSuccess":{"rejectedLogRecords":"`), int64(n), 10)
	dst = canonjson.AppendString(append(dst, `","errorMessage":`...), message)
	return http.StatusOK, append(dst, "}}"...), nil
}

// protoResults returns the same answer as a protocol buffer.
func protoResults(b *format.Batch, _ trackway.Micros) (int, []byte, *trackway.Error) {
	n, message := rejected(b)
	if n == 0 {
		return http.StatusOK, nil, nil
	}
	partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(n))
	partial = protowire.AppendString(protowire.AppendTag(partial, 2, protowire.BytesType), message)
	return http.StatusOK, protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial), nil
}

// Codes of google.rpc.Status.
const (
	invalidArgument  = 3
	permissionDenied = 7
	exhausted        = 8
	internal         = 13
	unavailable      = 14
	unauthenticated  = 16
)

func codeOf(err *trackway.Error) uint64 {
	switch err.Code {
	case trackway.Unidentified:
		return unauthenticated
	case trackway.Forbidden:
		return permissionDenied
	case trackway.TooLarge:
		return exhausted
	case trackway.Overloaded:
		return unavailable
	case trackway.Internal:
		return internal
	}
	return invalidArgument
}

// statusOf returns the HTTP status of a refusal. A client drops the records
// after any status but 429, 502, 503 and 504, so a failure of this server is a
// 503 and not a 500.
func statusOf(status int, err *trackway.Error) int {
	switch err.Code {
	case trackway.Internal:
		return http.StatusServiceUnavailable
	case trackway.Unsupported:
		return http.StatusBadRequest
	}
	return status
}

// jsonRefusal returns the answer to a refused call in JSON: a
// google.rpc.Status.
//
//	{"code":16,"message":"Access key not found"}
func jsonRefusal(status int, err *trackway.Error) (int, []byte) {
	dst := strconv.AppendUint([]byte(`{"code":`), codeOf(err), 10)
	dst = canonjson.AppendString(append(dst, `,"message":`...), Text(err))
	return statusOf(status, err), append(dst, '}')
}

// protoRefusal returns the same answer as a protocol buffer.
func protoRefusal(status int, err *trackway.Error) (int, []byte) {
	dst := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), codeOf(err))
	dst = protowire.AppendString(protowire.AppendTag(dst, 2, protowire.BytesType), Text(err))
	return statusOf(status, err), dst
}

// Text returns an error as a whole sentence for clients, with the names of
// fields that they know.
func Text(err *trackway.Error) string {
	own := *err
	field, rest, _ := strings.Cut(err.Field, ".")
	switch field {
	case "customer_ids":
		if err.Reason == trackway.Nobody {
			return "The record needs an attribute with an id of a user or a device: enduser.id, user.id, session.id or device.id, unless the project names others."
		}
		own.Field = "user.id, session.id or device.id"
	case "event_type":
		own.Field = "event_name"
	case "properties":
		own.Field = strings.TrimSuffix("attributes."+rest, ".")
	case "timestamp":
		own.Field = "time_unix_nano"
	}
	return tracking.Text(&own)
}

package tracking

import (
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
)

// AppendTime appends the answer to system/time.
//
//	{"errors":[],"success":true,"time":1533663283.894375}
func AppendTime(dst []byte, now trackway.Micros) []byte {
	dst = append(dst, `{"errors":[],"success":true,"time":`...)
	return append(now.AppendSeconds(dst), '}')
}

// appendBatch appends the answer to a batch: a result for each command, in
// order, with its command_id if there is one. Commands that ask for the time
// get end.
//
//	{
//		"results":[{"success":true,"command_id":"a"}],
//		"start_time":1533663283.5,"end_time":1533663283.75,"success":true
//	}
func appendBatch(dst []byte, b *format.Batch, end trackway.Micros) []byte {
	dst = append(dst, `{"results":[`...)
	for i := range b.Results {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch {
		case b.Results[i].Err != nil:
			dst = appendErrors(append(dst, `{"success":false`...), b.Results[i].Err)
		case b.Commands[i].Kind == trackway.Nothing:
			dst = end.AppendSeconds(append(dst, `{"success":true,"time":`...))
		default:
			dst = append(dst, `{"success":true`...)
		}
		if id := b.Labels[i].ID; id != nil {
			dst = append(append(dst, `,"command_id":`...), id...)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `],"start_time":`...)
	dst = b.Received.AppendSeconds(dst)
	dst = append(dst, `,"end_time":`...)
	dst = end.AppendSeconds(dst)
	return append(dst, `,"success":true}`...)
}

// appendErrors appends the member "errors", always an array of strings.
func appendErrors(dst []byte, err *trackway.Error) []byte {
	dst = canonjson.AppendString(append(dst, `,"errors":[`...), Text(err))
	return append(dst, ']')
}

// appendRefusal appends the answer to a refused call, in the shape for its
// kind. If a command or a question is at fault:
//
//	{"success":false,"errors":["At least one id should be specified."]}
//
// If the whole body was not understood:
//
//	{"success":false,"message":"Invalid JSON"}
func appendRefusal(dst []byte, err *trackway.Error) []byte {
	if err.Field == "" && err.Code != trackway.Forbidden {
		return append(canonjson.AppendString(append(dst, `{"success":false,"message":`...), Text(err)), '}')
	}
	return append(appendErrors(append(dst, `{"success":false`...), err), '}')
}

// AppendFieldError appends the answer to a failed request for reading. The
// message has the name of the faulty field, up to its first dot, or _global if
// the error names no field.
//
//	{"success":false,"errors":{"customer_ids":["Must specify at least one customer ID"]}}
func AppendFieldError(dst []byte, err *trackway.Error) []byte {
	field, _, _ := strings.Cut(err.Field, ".")
	if field == "" {
		field = "_global"
	}
	dst = canonjson.AppendString(append(dst, `{"success":false,"errors":{`...), field)
	dst = canonjson.AppendString(append(dst, `:[`...), Text(err))
	return append(dst, "]}}"...)
}

// AppendErased appends the answer to an erasure that was just requested, which
// has this number.
func AppendErased(dst []byte, id uint64) []byte {
	dst = strconv.AppendUint(append(dst, `{"success":true,"erasure":{"id":"`...), id, 10)
	return append(dst, `","state":"scheduled"}}`...)
}

// AppendStatus appends the answer to a request that never reached a route, or
// found no room: 404, 405, 413, 415, 503.
//
//	{"errors":{"code":404,"description":"There is no such page."}}
func AppendStatus(dst []byte, code int, description string) []byte {
	dst = strconv.AppendInt(append(dst, `{"errors":{"code":`...), int64(code), 10)
	dst = canonjson.AppendString(append(dst, `,"description":`...), description)
	return append(dst, "}}"...)
}

// AppendEvent appends an event as readers get it.
//
//	{"type":"purchase","timestamp":1533495544.343536,"properties":{"total":7.99}}
func AppendEvent(dst []byte, e *trackway.Event) []byte {
	dst = canonjson.AppendString(append(dst, `{"type":`...), e.Type)
	dst = e.Time.AppendSeconds(append(dst, `,"timestamp":`...))
	dst = append(dst, `,"properties":`...)
	if len(e.Properties) == 0 {
		return append(dst, "{}}"...)
	}
	return append(append(dst, e.Properties...), '}')
}

package tracking

import (
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
)

// AppendResult appends the answer to a single call: success if err is nil, else its message.
//
//	{"errors":[],"success":true}
//	{"success":false,"errors":["At least one id should be specified."]}
func AppendResult(dst []byte, err *trackway.Error) []byte {
	if err != nil {
		return append(appendErrors(append(dst, `{"success":false`...), err), '}')
	}
	return append(dst, `{"errors":[],"success":true}`...)
}

// AppendTime appends the answer to system/time.
//
//	{"errors":[],"success":true,"time":1533663283.894375}
func AppendTime(dst []byte, now trackway.Micros) []byte {
	dst = append(dst, `{"errors":[],"success":true,"time":`...)
	return append(now.AppendSeconds(dst), '}')
}

// AppendBatch appends the answer to a batch: a result for each item, in order, with its command_id where there is one.
// Items that ask for the time are told end.
//
//	{"results":[{"success":true,"command_id":"a"}],"start_time":1533663283.5,"end_time":1533663283.75,"success":true}
func AppendBatch(dst []byte, items []Item, start, end trackway.Micros) []byte {
	dst = append(dst, `{"results":[`...)
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = items[i].append(dst, end)
	}
	dst = append(dst, `],"start_time":`...)
	dst = start.AppendSeconds(dst)
	dst = append(dst, `,"end_time":`...)
	dst = end.AppendSeconds(dst)
	return append(dst, `,"success":true}`...)
}

func (it *Item) append(dst []byte, now trackway.Micros) []byte {
	switch {
	case it.Err != nil:
		dst = appendErrors(append(dst, `{"success":false`...), it.Err)
	case it.Time:
		dst = now.AppendSeconds(append(dst, `{"success":true,"time":`...))
	default:
		dst = append(dst, `{"success":true`...)
	}
	if it.CommandID != nil {
		dst = append(append(dst, `,"command_id":`...), it.CommandID...)
	}
	return append(dst, '}')
}

// appendErrors appends the member "errors", always an array of strings.
func appendErrors(dst []byte, err *trackway.Error) []byte {
	dst = canonjson.AppendString(append(dst, `,"errors":[`...), Text(err))
	return append(dst, ']')
}

// AppendMessage appends the answer to a request whose body as a whole was not understood.
//
//	{"success":false,"message":"Invalid JSON"}
func AppendMessage(dst []byte, msg string) []byte {
	return append(canonjson.AppendString(append(dst, `{"success":false,"message":`...), msg), '}')
}

// AppendRefusal appends the answer to a request that was not let in.
//
//	{"success":false,"error":"Access key not found"}
func AppendRefusal(dst []byte, msg string) []byte {
	return append(canonjson.AppendString(append(dst, `{"success":false,"error":`...), msg), '}')
}

// AppendStatus appends the answer to a request that never reached a route, or found no room: 404, 405, 413, 415, 503.
//
//	{"errors":{"code":404,"description":"There is no such page."}}
func AppendStatus(dst []byte, code int, description string) []byte {
	dst = strconv.AppendInt(append(dst, `{"errors":{"code":`...), int64(code), 10)
	dst = canonjson.AppendString(append(dst, `,"description":`...), description)
	return append(dst, "}}"...)
}

// AppendFieldError appends the answer to a request for reading that failed: the message under the name of the field at
// fault, without what follows its first dot, or under _global if it is none in particular.
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

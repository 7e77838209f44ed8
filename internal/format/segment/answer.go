package segment

import (
	"net/http"
	"strconv"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
)

var success = []byte(`{"success":true}`)

// singleResult answers a message that was sent alone. The call is refused if
// the message was.
func singleResult(b *format.Batch, _ trackway.Micros) (int, []byte, *trackway.Error) {
	return http.StatusOK, success, b.Results[0].Err
}

// batchResults answers a batch. It reports success, because the good messages
// are stored. Clients do not read more of the answer, and would send a refused
// message again and again.
func batchResults(*format.Batch, trackway.Micros) (int, []byte, *trackway.Error) {
	return http.StatusOK, success, nil
}

// strictResults answers a batch with the errors of its messages, if there are
// any.
//
//	{"success":false,"errors":[{"index":1,"messageId":"m2","error":"…"}]}
func strictResults(b *format.Batch, _ trackway.Micros) (int, []byte, *trackway.Error) {
	var answer []byte
	for i := range b.Results {
		err := b.Results[i].Err
		if err == nil {
			continue
		}
		if answer == nil {
			answer = append(answer, `{"success":false,"errors":[`...)
		} else {
			answer = append(answer, ',')
		}
		answer = strconv.AppendInt(append(answer, `{"index":`...), int64(i), 10)
		if id := b.Labels[i].ID; len(id) > 0 && len(id) <= maxMessageID && id[0] == '"' {
			answer = append(append(answer, `,"messageId":`...), id...)
		}
		answer = append(canonjson.AppendString(append(answer, `,"error":`...), Text(err)), '}')
	}
	if answer == nil {
		return http.StatusOK, success, nil
	}
	return http.StatusBadRequest, append(answer, "]}"...), nil
}

// refusal answers a refused call. Clients for Java and Go would send a call
// again after a 413, for ever, so a body that is not accepted is a bad one.
//
//	{"success":false,"error":"Invalid JSON"}
func refusal(status int, err *trackway.Error) (int, []byte) {
	switch status {
	case http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		status = http.StatusBadRequest
	}
	return status, append(canonjson.AppendString([]byte(`{"success":false,"error":`), Text(err)), '}')
}

// AppendSettings appends the settings document, from which SDKs learn where to
// send messages. host is the name under which the caller reaches this server.
// The rate of 0 keeps analytics-next from sending statistics about itself to
// Segment.
func AppendSettings(dst []byte, key, host, protocol string) []byte {
	dst = canonjson.AppendString(append(dst, `{"integrations":{"Segment.io":{"apiKey":`...), key)
	dst = canonjson.AppendString(append(dst, `,"apiHost":`...), host+"/v1")
	dst = canonjson.AppendString(append(dst, `,"protocol":`...), protocol)
	return append(dst, `}},"metrics":{"sampleRate":0}}`...)
}

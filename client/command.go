package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The limits of the tracking API and of a request.
// openapi/vectors/batching.json has them too.
const (
	maxCommands  = 50
	maxTypeBytes = 256
	maxDataBytes = 800_000
	maxBodyBytes = 512 << 10 // proxies commonly accept up to 1 MB
	gzipFrom     = 1 << 10   // bytes of a body; for smaller ones gzip costs more than it saves
)

// IDs are the identifiers of a customer: name to value. A value is a string or
// a number; identifiers of devices may also be a list of strings. A nil or
// empty value is fine beside another one: the server ignores values that
// identify nobody.
type IDs map[string]any

// Properties are facts about a customer or an event: name to any value that
// encoding/json can write.
type Properties map[string]any

// data is the content of a command. It is encoded once, in the caller's call,
// so a retry sends the same bytes.
type data struct {
	IDs        IDs         `json:"customer_ids"`
	Type       string      `json:"event_type,omitempty"`
	Properties Properties  `json:"properties,omitempty"`
	Timestamp  json.Number `json:"timestamp,omitempty"`
	Updated    json.Number `json:"update_timestamp,omitempty"`
}

// encode returns the command as it appears in a batch.
func encode(name string, d data) ([]byte, error) {
	if err := checkIDs(d.IDs); err != nil {
		return nil, err
	}
	body, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if err := checkSize(len(body)); err != nil {
		return nil, err
	}
	command := make([]byte, 0, len(name)+len(body)+len(`{"name":"","data":}`))
	command = append(command, `{"name":"`...)
	command = append(command, name...)
	command = append(command, `","data":`...)
	return append(append(command, body...), '}'), nil
}

// checkIDs refuses commands that every server would refuse: those in which each
// value is empty or white space. It also refuses text that is not UTF-8:
// encoding/json would change it, and two customers could become one.
func checkIDs(ids IDs) error {
	someone := false
	for name, value := range ids {
		is, err := namesSomeone(value)
		if err != nil {
			return fmt.Errorf("identifier %q: %w", name, err)
		}
		someone = someone || is
	}
	if !someone {
		return errors.New("at least one identifier of the customer is needed")
	}
	return nil
}

// namesSomeone reports whether a value can identify a customer.
func namesSomeone(value any) (bool, error) {
	switch v := value.(type) {
	case nil:
		return false, nil
	case string:
		if !utf8.ValidString(v) {
			return false, errors.New("the text is not UTF-8")
		}
		return strings.TrimSpace(v) != "", nil
	case []string:
		return anyNamesSomeone(v)
	case []any:
		return anyNamesSomeone(v)
	case bool, int, int64, uint64, float64, json.Number:
		return true, nil
	}
	text, err := json.Marshal(value) // a type of the caller's: its JSON decides
	if err != nil {
		return true, nil //nolint:nilerr // encoding the whole command reports it
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		return false, err
	}
	switch plain.(type) {
	case nil, string, []any:
		return namesSomeone(plain)
	}
	return true, nil
}

func anyNamesSomeone[T any](values []T) (someone bool, err error) {
	for _, v := range values {
		is, err := namesSomeone(v)
		if err != nil {
			return false, err
		}
		someone = someone || is
	}
	return someone, nil
}

// checkSize refuses commands that every server would refuse: data of more than
// 800 000 bytes.
func checkSize(dataBytes int) error {
	if dataBytes > maxDataBytes {
		return fmt.Errorf("the command has %d bytes of JSON, at most %d", dataBytes, maxDataBytes)
	}
	return nil
}

func checkType(eventType string) error {
	if eventType == "" || len(eventType) > maxTypeBytes {
		return fmt.Errorf("the event's type must have 1 to %d bytes, it has %d", maxTypeBytes, len(eventType))
	}
	return nil
}

const (
	bodyStart = `{"commands":[`
	bodyEnd   = `]}`
)

// appendBody appends the body of a batch.
func appendBody(b []byte, commands [][]byte) []byte {
	b = append(b, bodyStart...)
	for i, command := range commands {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, command...)
	}
	return append(b, bodyEnd...)
}

// room is how much still fits into a batch.
type room struct{ commands, bytes int }

func newRoom(commands int) room { return room{commands, maxBodyBytes - len(bodyStart) - len(bodyEnd)} }

// take reports whether a command of the given size fits into the batch, and
// reduces the room. The first command always fits.
func (r *room) take(size int, first bool) bool {
	if !first {
		size++ // the comma
	}
	if r.commands == 0 || !first && size > r.bytes {
		return false
	}
	r.commands--
	r.bytes -= size
	return true
}

// backStep tells a clock that was set back from one that jitters: it is the
// smallest step back, in microseconds, that counts as set.
const backStep = 1_000_000 // µs

// stamps gives each call a time of its own.
type stamps struct{ last int64 }

// next returns the time of a call made now, in microseconds since 1970. This is
// the clock's time, or the microsecond after the last call if the clock has not
// moved on. The server treats two events that are equal to the microsecond as
// one.
func (s *stamps) next(clock int64) int64 {
	if clock <= s.last && s.last-clock < backStep {
		clock = s.last + 1
	}
	s.last = clock
	return clock
}

// seconds formats a time as the API does: in seconds with up to six decimals.
func seconds(micros int64) json.Number {
	b := strconv.AppendInt(nil, micros/1e6, 10)
	if fraction := micros % 1e6; fraction != 0 {
		b = append(b, '.')
		for unit := int64(1e5); fraction > 0; unit /= 10 {
			b = append(b, byte('0'+fraction/unit))
			fraction %= unit
		}
	}
	return json.Number(b)
}

// checkTime refuses times that every server would refuse.
func checkTime(t time.Time) error {
	if y := t.UTC().Year(); y < 1970 || y > 2200 {
		return fmt.Errorf("the time is in the year %d, it must be in 1970 to 2200", y)
	}
	return nil
}

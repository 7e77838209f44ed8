package posthog

import (
	"bytes"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
	"trackway/internal/format/value"
)

// Decode decodes a body for a project: a message, an array of messages, or an
// object with such an array called batch. The JSON may be sent as a form, which
// Decode decodes in place. An error means that no message may be carried out.
// The error of a single message is in its result.
//
// A message becomes one command or a few: see the package's comment. Its uuid
// is the id of its event. Decode does not correct times by sent_at, because
// each try of a request would then get another time.
func Decode(p *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
	d := decoder{Decoder: canonjson.Decode(plain(body)), project: p, received: received, batch: &format.Batch{Received: received}}
	switch d.Peek() {
	case canonjson.Array:
		d.messages()
	case canonjson.Object:
		d.top()
	default:
		return nil, errJSON
	}
	d.End()
	switch {
	case d.Bad(), d.foreign:
		return nil, errJSON
	case d.sent > MaxMessages:
		return nil, &trackway.Error{
			Code: trackway.TooLarge, Field: "batch", Reason: trackway.TooMany, Limit: MaxMessages, What: "messages",
		}
	}
	return d.batch, nil
}

// decoder decodes the messages of one body.
type decoder struct {
	canonjson.Decoder

	project  *trackway.Project
	received trackway.Micros
	batch    *format.Batch
	sent     int  // number of messages in the body
	foreign  bool // the batch, or one of the messages, is something else
	ids      []trackway.Identifier
}

// top reads the object that is the whole body.
func (d *decoder) top() {
	var m message
	isBatch := false
	for name := range d.Members {
		if name != "batch" {
			d.field(&m, name)
			continue
		}
		isBatch = true
		d.messages()
	}
	if !isBatch && !d.Bad() {
		d.sent = 1
		d.add(&m)
	}
}

const bytesPerMessage = 256 // of a body, at least: a guess that saves growing

// messages reads an array of messages. If there was an earlier array, it drops
// those messages, because the last of equal names wins.
func (d *decoder) messages() {
	d.batch.Clear()
	d.sent, d.foreign = 0, d.Peek() != canonjson.Array
	if d.foreign {
		d.Value()
		return
	}
	for i := range d.Elements {
		d.sent = i + 1
		if i >= MaxMessages || d.foreign {
			d.Value()
			continue
		}
		if d.Peek() != canonjson.Object {
			d.Value()
			d.foreign = true
			continue
		}
		var m message
		for name := range d.Members {
			d.field(&m, name)
		}
		if d.Bad() {
			return
		}
		d.add(&m)
	}
}

// grow makes room for the commands of one more message.
func (d *decoder) grow() {
	if n := len(d.batch.Commands); n+maxPerMessage > cap(d.batch.Commands) {
		d.batch.Grow(max(n+maxPerMessage, min(2*n, maxPerMessage*MaxMessages), min(MaxMessages, d.Left()/bytesPerMessage)))
	}
}

// message holds what one message says. Its values are judged once the whole
// message was read.
type message struct {
	event      canonjson.Value
	distinctID canonjson.Value
	uuid       canonjson.Value
	timestamp  canonjson.Value
	offset     canonjson.Value // milliseconds ago
	properties []trackway.Property
	set        []trackway.Property // beside the properties, not in them
	setOnce    []trackway.Property
	length     int // of the properties, as they were sent
	err        *trackway.Error

	// What [message.sort] finds among the properties.

	innerID   []byte // distinct_id
	anonID    []byte // $anon_distinct_id
	alias     []byte
	deviceID  []byte // $device_id
	innerSet  []byte
	innerOnce []byte
	unset     []byte
	anonymous bool // nobody has signed in, it says
	python    bool // PostHog's SDK for Python has sent it
	groupType []byte
	groupKey  []byte
}

// field reads the value of a message's member.
func (d *decoder) field(m *message, name string) {
	switch name {
	case "event":
		m.event = d.Value()
	case "distinct_id":
		m.distinctID = d.Value()
	case "uuid":
		m.uuid = d.Value()
	case "timestamp":
		m.timestamp = d.Value()
	case "offset":
		m.offset = d.Value()
	case "properties":
		d.Peek()
		start := d.At()
		m.properties = d.object(m, name)
		m.length = d.At() - start
	case set:
		m.set = d.object(m, name)
	case setOnce:
		m.setOnce = d.object(m, name)
	default:
		d.Value()
	}
}

// object reads an object of properties.
func (d *decoder) object(m *message, name string) []trackway.Property {
	properties, p := d.Properties()
	if p.Fault != canonjson.None && m.err == nil {
		m.err = value.Problem(name, p)
	}
	return properties
}

// sort notes the properties that describe the message and not the event. It
// removes keys, updates and ids of people from m, because an erasure looks for
// ids only among identifiers.
func (m *message) sort() {
	kept := m.properties[:0]
	for _, p := range m.properties {
		keep := true
		switch p.Name {
		case "distinct_id":
			m.innerID, keep = p.Value, false
		case "token", "api_key": // no key belongs into stored data
			keep = false
		case set:
			m.innerSet, keep = p.Value, false
		case setOnce:
			m.innerOnce, keep = p.Value, false
		case unset:
			m.unset, keep = p.Value, false
		case "alias":
			m.alias = p.Value
		case "$anon_distinct_id":
			m.anonID, keep = p.Value, false
		case "$device_id":
			m.deviceID, keep = p.Value, false
		case "$user_id":
			keep = false
		case "$group_key":
			m.groupKey = p.Value
		case "$group_type":
			m.groupType = p.Value
		case "$is_identified", "$process_person_profile":
			m.anonymous = m.anonymous || string(p.Value) == "false"
		case "$lib":
			m.python = string(p.Value) == `"posthog-python"`
		}
		if keep {
			kept = append(kept, p)
		}
	}
	m.properties = kept
}

// isAnonymous reports whether a message is about somebody who has not signed
// in. Either the message says so, or its distinct_id is the id of the device or
// of a group: SDKs make one up to send $groupidentify.
func (m *message) isAnonymous(name, id string) bool {
	switch {
	case m.anonymous, m.deviceID != nil && id == textOf(m.deviceID):
		return true
	case name == groupIdentify:
		return id == "$"+textOf(m.groupType)+"_"+textOf(m.groupKey)
	}
	return false
}

// time returns when a message happened, and whether the client chose that time.
func (m *message) time(received trackway.Micros) (trackway.Micros, bool, *trackway.Error) {
	switch {
	case !m.timestamp.Absent():
		t, err := value.Time("timestamp", m.timestamp)
		return t, true, err
	case m.offset.Absent():
		return received, false, nil
	case m.offset.Kind != canonjson.Number:
		return 0, false, value.Unexpected("offset", "a number of milliseconds", m.offset.Kind)
	}
	millionths, ok := canonjson.Millionths(m.offset.Raw)
	t, err := value.Within("offset", int64(received)-millionths/1000, ok)
	return t, false, err // another time at each try
}

// id returns the message's own id in canonical form, or nil if it has none.
func (m *message) id() ([]byte, *trackway.Error) {
	switch {
	case m.uuid.Absent(), string(m.uuid.Raw) == `""`:
		return nil, nil
	case m.uuid.Kind != canonjson.String:
		return nil, value.Unexpected("uuid", "a string", m.uuid.Kind)
	case len(m.uuid.Raw) > maxUUIDBytes:
		return nil, &trackway.Error{Code: trackway.Invalid, Field: "uuid", Reason: trackway.LongJSON, Limit: maxUUIDBytes, Got: len(m.uuid.Raw)}
	}
	if !m.uuid.Canonical {
		return canonjson.AppendString(nil, m.uuid.Text()), nil
	}
	return m.uuid.Raw, nil
}

// textOf returns the text of a canonical JSON string or number, or "" for any
// other value.
func textOf(canonical []byte) string {
	id, _ := idIn("", canonical)
	return id
}

// withoutNulls drops properties that are null. SDKs send dozens of these for
// values that a page does not know.
func withoutNulls(properties []trackway.Property) []trackway.Property {
	kept := properties[:0]
	for _, p := range properties {
		if !bytes.Equal(p.Value, null) {
			kept = append(kept, p)
		}
	}
	return kept
}

var null = []byte("null")

// membersOf returns the members of a canonical object that are not null. An
// object that sets properties has no other kind of value.
func membersOf(name string, object []byte) ([]trackway.Property, *trackway.Error) {
	if object == nil || bytes.Equal(object, null) {
		return nil, nil
	}
	s := canonjson.Scan(object)
	if s.Peek() != canonjson.Object {
		return nil, value.Unexpected("properties."+name, "an object", s.Value().Kind)
	}
	properties := make([]trackway.Property, 0, min(bytes.Count(object, []byte{','})+1, canonjson.MaxMembers))
	for name := range s.Members {
		if v := s.Value(); v.Kind != canonjson.Null {
			properties = append(properties, trackway.Property{Name: name, Value: v.Raw})
		}
	}
	return properties, nil
}

// namesIn returns the strings of a canonical array as properties that are null.
func namesIn(array []byte) ([]trackway.Property, *trackway.Error) {
	if array == nil || bytes.Equal(array, null) {
		return nil, nil
	}
	s := canonjson.Scan(array)
	if s.Peek() != canonjson.Array {
		return nil, value.Unexpected("properties."+unset, "an array", s.Value().Kind)
	}
	names := make([]trackway.Property, 0, min(bytes.Count(array, []byte{','})+1, trackway.MaxProperties))
	for range s.Elements {
		v := s.Value()
		switch {
		case v.Kind != canonjson.String:
			return nil, value.Unexpected("properties."+unset, "names in the array", v.Kind)
		case len(names) == trackway.MaxProperties:
			return nil, &trackway.Error{
				Code: trackway.Invalid, Field: "properties." + unset, Reason: trackway.TooMany, Limit: trackway.MaxProperties, What: "names",
			}
		}
		names = append(names, trackway.Property{Name: v.Text(), Value: null})
	}
	return ordered(names), nil
}

package segment

import (
	"bytes"
	"cmp"
	"slices"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
)

// contextProperty is the property that holds the context of an event.
const contextProperty = "context"

// decoder decodes the messages of one body. Their parts are in a few shared
// slices.
type decoder struct {
	canonjson.Decoder

	project  *trackway.Project
	received trackway.Micros
	ids      []trackway.Identifier
	joined   []trackway.Property // properties of events, with those that the message itself adds
}

func newDecoder(p *trackway.Project, body []byte, received trackway.Micros) decoder {
	return decoder{Decoder: canonjson.Decode(body), project: p, received: received}
}

// message holds the fields of a message that count. The type, which may follow
// them, decides how, so that they are judged later.
type message struct {
	typ, event, name, category               canonjson.Value
	userID, anonymousID, previousID, groupID canonjson.Value
	timestamp, original, sentAt, messageID   canonjson.Value
	context                                  canonjson.Value
	contextFault, nameFault, categoryFault   canonjson.Fault
	properties, traits                       []trackway.Property
	propertiesErr, traitsErr                 *trackway.Error
	propertiesLength, traitsLength           int // as they were sent
}

// message reads an object into m. After a syntax error, m is meaningless.
func (d *decoder) message(m *message) {
	for name := range d.Members {
		switch name {
		case "type":
			m.typ = d.Value()
		case "event":
			m.event = d.Value()
		case "name":
			m.name, m.nameFault = d.Kept()
		case "category":
			m.category, m.categoryFault = d.Kept()
		case "userId":
			m.userID = d.Value()
		case "anonymousId":
			m.anonymousID = d.Value()
		case "previousId":
			m.previousID = d.Value()
		case "groupId":
			m.groupID = d.Value()
		case "timestamp":
			m.timestamp = d.Value()
		case "originalTimestamp":
			m.original = d.Value()
		case "sentAt":
			m.sentAt = d.Value()
		case "messageId":
			m.messageID = d.Value()
		case "context":
			m.context, m.contextFault = d.Kept()
		case "properties":
			m.properties, m.propertiesLength, m.propertiesErr = d.object(name)
		case "traits":
			m.traits, m.traitsLength, m.traitsErr = d.object(name)
		default:
			d.Value()
		}
	}
}

// object reads the members of an object, and returns its length as sent.
func (d *decoder) object(name string) ([]trackway.Property, int, *trackway.Error) {
	d.Peek()
	start := d.At()
	members, p := d.Properties()
	return members, d.At() - start, value.Problem(name, p)
}

// command makes a command of the given type from a message, and says when it
// happened. If it returns an error, only the identifiers and the event's type
// are filled in, as far as they were understood.
func (d *decoder) command(m *message, typ string) (c trackway.Command, at when, err *trackway.Error) {
	c.Received = d.received
	c.IDs, err = d.identifiers(m, typ)
	if err == nil {
		at, err = m.when()
	}
	var kindErr *trackway.Error
	switch typ {
	case Track:
		c.Type, kindErr = eventName(m)
	case Page:
		c.Type = pageType
	case Screen:
		c.Type = screenType
	case Group:
		c.Type = groupType
	case Identify, Alias, "":
	default:
		kindErr = value.Expected("type", "one of "+Track+", "+Identify+", "+Page+", "+Screen+", "+Group+" and "+Alias+", got '"+value.Shown(typ)+"'")
	}
	if err = cmp.Or(kindErr, err, m.fault()); err != nil || typ == "" {
		return c, at, err
	}
	c.Kind = trackway.AddEvent
	switch typ {
	case Identify:
		c.Kind = trackway.UpdateCustomer
		c.Properties, c.Bytes, err = m.profile()
	case Alias:
		c.Kind = trackway.UpdateCustomer
		c.Unheld = d.previousUser(&c, m)
	default:
		d.event(&c, m, typ)
	}
	if err != nil {
		c.Kind, c.Properties = trackway.Nothing, nil
	}
	return c, at, err
}

// fault returns the first error of the message's values.
func (m *message) fault() *trackway.Error {
	switch {
	case m.propertiesErr != nil || m.traitsErr != nil:
		return cmp.Or(m.propertiesErr, m.traitsErr)
	case m.contextFault != canonjson.None:
		return value.Beyond("context", m.contextFault)
	case m.nameFault != canonjson.None:
		return value.Beyond("name", m.nameFault)
	case m.categoryFault != canonjson.None:
		return value.Beyond("category", m.categoryFault)
	case !m.context.Absent() && m.context.Kind != canonjson.Object:
		return value.Unexpected("context", "an object", m.context.Kind)
	case !m.messageID.Absent() && m.messageID.Kind != canonjson.String:
		return value.Unexpected("messageId", "a string", m.messageID.Kind)
	case len(m.messageID.Raw) > maxMessageID:
		return &trackway.Error{Code: trackway.Invalid, Field: "messageId", Reason: trackway.LongJSON, Limit: maxMessageID, Got: len(m.messageID.Raw)}
	}
	return nil
}

const maxMessageID = 1 << 10 // bytes of messageId, which a strict answer repeats

func eventName(m *message) (string, *trackway.Error) {
	name, err := text("event", m.event)
	if err == nil && name == "" {
		err = value.Required("event")
	}
	return name, err
}

// identifiers returns the ids of the person or device. The previous id of an
// alias becomes one of the ids of devices, and may lead to a customer that was
// anonymous. If the project has no identifier for devices, their ids are
// ignored. If it has none for users, a user's id is treated like that of a
// device.
func (d *decoder) identifiers(m *message, typ string) ([]trackway.Identifier, *trackway.Error) {
	const most = 3
	if cap(d.ids)-len(d.ids) < most {
		d.ids = make([]trackway.Identifier, 0, max(most, min(d.Left()/bytesPerMessage*most, 64*most)))
	}
	first := len(d.ids)
	add := func(name, field string, v canonjson.Value) *trackway.Error {
		id, err := value.ID(field, v)
		if err == nil && !v.Absent() && name != "" {
			d.ids = append(d.ids, trackway.Identifier{Name: name, Value: id}.Trimmed())
		}
		return err
	}
	err := add(d.project.Device, "anonymousId", m.anonymousID)
	if typ == Alias {
		err = cmp.Or(err, add(d.project.Device, "previousId", m.previousID))
	}
	err = cmp.Or(err, add(cmp.Or(d.project.User, d.project.Device), "userId", m.userID))
	return slices.Clip(d.ids[first:]), err
}

// previousUser returns the identifier for which previousId stands if it is the
// id of a user, or nil if the message itself names that identifier. No other
// customer may have it, because two users must not become one.
func (d *decoder) previousUser(c *trackway.Command, m *message) *trackway.Identifier {
	if d.project.User == "" || d.project.Device == "" {
		return nil
	}
	previous, err := value.ID("previousId", m.previousID)
	id := trackway.Identifier{Name: d.project.User, Value: previous, Hard: true}.Trimmed()
	is := func(own trackway.Identifier) bool { return own.Name == id.Name && own.Value == id.Value }
	if err != nil || id.Value == "" || slices.ContainsFunc(c.IDs, is) {
		return nil
	}
	return &id
}

// profile returns the traits of an identify as a customer's properties, without
// nulls. RudderStack's SDKs for browsers and phones have them in the context.
func (m *message) profile() ([]trackway.Property, int, *trackway.Error) {
	traits, length := m.traits, m.traitsLength
	if traits == nil && !m.context.Absent() {
		d := canonjson.Decode(m.context.Raw)
		for name := range d.Members {
			if name != "traits" {
				d.Value()
				continue
			}
			var p canonjson.Problem
			if traits, p = d.Properties(); p.Fault != canonjson.None {
				return nil, 0, value.Problem("context.traits", p)
			}
			length = len(m.context.Raw)
		}
	}
	return slices.DeleteFunc(traits, func(p trackway.Property) bool { return string(p.Value) == "null" }), length, nil
}

// event fills in the properties of an event: those of the message, its context,
// its id, and its own fields.
func (d *decoder) event(c *trackway.Command, m *message, typ string) {
	var room [5]trackway.Property
	own := room[:0] // sorted by name
	add := func(name string, v canonjson.Value) {
		if !v.Absent() {
			own = append(own, trackway.Property{Name: name, Value: d.Canonical(v)})
			c.Bytes += len(name) + len(`"":,`) + len(v.Raw)
		}
	}
	properties, length := m.properties, m.propertiesLength
	named := typ == Page || typ == Screen
	if named {
		add("category", m.category)
	}
	add(contextProperty, m.context)
	if last := len(own) - 1; !m.context.Absent() {
		own[last].Value = withoutTraits(own[last].Value)
	}
	if typ == Group {
		properties, length = m.traits, m.traitsLength
		add("group_id", m.groupID)
	}
	if m.hasID() {
		add(trackway.MessageID, m.messageID)
	}
	if named {
		add("name", m.name)
	}
	c.Bytes += max(length, len("{}")) + len(c.Type)
	c.Properties = d.with(properties, own...)
}

// hasID reports whether the message has an id.
func (m *message) hasID() bool { return !m.messageID.Absent() && len(m.messageID.Raw) > len(`""`) }

// with returns the properties and some more, which replace those of the same
// name. Both are sorted by name.
func (d *decoder) with(properties []trackway.Property, more ...trackway.Property) []trackway.Property {
	if len(more) == 0 {
		return properties
	}
	n := len(properties) + len(more)
	if cap(d.joined)-len(d.joined) < n {
		const perProperty = 40 // bytes of a body: a guess that saves growing
		d.joined = make([]trackway.Property, 0, max(n, min(n+d.Left()/perProperty, 1<<10)))
	}
	first := len(d.joined)
	for _, p := range properties {
		for len(more) > 0 && more[0].Name < p.Name {
			d.joined, more = append(d.joined, more[0]), more[1:]
		}
		if len(more) > 0 && more[0].Name == p.Name {
			continue // the message's own comes next
		}
		d.joined = append(d.joined, p)
	}
	d.joined = append(d.joined, more...)
	return slices.Clip(d.joined[first:])
}

func indexOf(properties []trackway.Property, name string) int {
	return slices.IndexFunc(properties, func(p trackway.Property) bool { return p.Name == name })
}

// withoutTraits returns a context without what it says of the customer, such as
// their email address. It is the customer's, and an erasure of personal
// properties would not find it in the context of each event. The context is in
// canonical form.
func withoutTraits(context []byte) []byte {
	if !bytes.Contains(context, []byte(`"traits":`)) {
		return context
	}
	members := canonjson.SplitObject(context)
	i := indexOf(members, "traits")
	if i < 0 {
		return context // it is deeper inside
	}
	return canonjson.AppendObject(make([]byte, 0, len(context)), slices.Delete(members, i, i+1))
}

// below returns an object with those members of another one that the first does
// not have. Both are in canonical form.
func below(object, other []byte) []byte {
	own, more := canonjson.SplitObject(object), canonjson.SplitObject(other)
	joined := make([]trackway.Property, 0, len(own)+len(more))
	for _, p := range own {
		for len(more) > 0 && more[0].Name < p.Name {
			joined, more = append(joined, more[0]), more[1:]
		}
		if len(more) > 0 && more[0].Name == p.Name {
			more = more[1:]
		}
		joined = append(joined, p)
	}
	joined = append(joined, more...)
	return canonjson.AppendObject(make([]byte, 0, len(object)+len(other)), joined)
}

// text returns the string of a field, or "" if it is absent.
func text(field string, v canonjson.Value) (string, *trackway.Error) {
	if v.Absent() {
		return "", nil
	}
	if v.Kind != canonjson.String {
		return "", value.Unexpected(field, "a string", v.Kind)
	}
	return v.Text(), nil
}

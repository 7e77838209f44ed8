package posthog

import (
	"cmp"
	"slices"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
	"trackway/internal/format/value"
)

// add adds the commands of a message to the batch, or a refused command.
func (d *decoder) add(m *message) {
	d.grow()
	uuid, err := m.id()
	label := format.Label{Name: event, ID: uuid}
	name, nameErr := nameOf(m.event)
	if name != "" && name[0] == '$' {
		label.Name = labelOf(name)
	}
	if err = cmp.Or(m.err, nameErr, err); err != nil {
		d.batch.Add(trackway.Command{Type: name}, err, label)
		return
	}
	m.sort()
	c := trackway.Command{Received: d.received}
	if c.IDs, err = d.identifiers(m, name); err == nil {
		c.Time, c.TimeGiven, err = m.time(d.received)
	}
	if name == createAlias {
		c.Unheld = d.otherUser(c.IDs)
	}
	var updates [maxPerMessage - 1]trackway.Command
	var n int
	if err == nil {
		n, err = d.updates(m, &c, &updates)
	}
	if err != nil {
		d.batch.Add(trackway.Command{IDs: c.IDs, Type: name}, err, label)
		return
	}
	switch name {
	case identify, set, setOnce, createAlias:
		if n == 0 { // it still says who is who
			updates[0], n = c, 1
			updates[0].Kind = trackway.UpdateCustomer
		}
	default:
		c.Kind, c.Type, c.Properties = trackway.AddEvent, name, withID(m.properties, uuid)
		c.Bytes = max(m.length, len("{}")) + len(name) + len(uuid)
		c.TimeVaries = !c.TimeGiven && uuid != nil
		d.batch.Add(c, nil, label)
	}
	for _, update := range updates[:n] {
		d.batch.Add(update, nil, label)
	}
}

// withID returns the properties of an event together with the id of its
// message, if it has one.
func withID(properties []trackway.Property, uuid []byte) []trackway.Property {
	if uuid == nil {
		return properties
	}
	p := trackway.Property{Name: trackway.MessageID, Value: uuid}
	i, found := slices.BinarySearchFunc(properties, p.Name, func(q trackway.Property, name string) int { return cmp.Compare(q.Name, name) })
	if found {
		properties[i] = p
		return properties
	}
	return slices.Insert(properties, i, p)
}

// nameOf returns the name of a message.
func nameOf(v canonjson.Value) (string, *trackway.Error) {
	switch {
	case v.Absent():
		return "", errNoName
	case v.Kind != canonjson.String:
		return "", value.Unexpected("event", "a string", v.Kind)
	case v.Text() == "":
		return "", &trackway.Error{Code: trackway.Invalid, Field: "event", Reason: trackway.Empty}
	}
	return v.Text(), nil
}

// labelOf returns what people are shown as the kind of a message.
func labelOf(name string) string {
	switch name {
	case identify, set, setOnce, createAlias, mergeDangerously, groupIdentify:
		return name
	}
	return event
}

// identifiers returns whom a message is about. The first one is the message's
// distinct_id.
func (d *decoder) identifiers(m *message, name string) ([]trackway.Identifier, *trackway.Error) {
	id, err := m.distinct()
	if err != nil {
		return nil, err
	}
	anonymous := m.isAnonymous(name, id)
	switch name {
	case mergeDangerously:
		return d.named(id, anonymous), &trackway.Error{
			Code: trackway.Invalid, Field: "event", Reason: trackway.Expected,
			What: createAlias + " to connect two ids: a merge of two users cannot be undone, and is refused",
		}
	case createAlias:
		return d.aliased(m, id, anonymous)
	case identify:
		anon, err := idIn("$anon_distinct_id", m.anonID)
		if err != nil || anon == "" || anon == id {
			return d.named(id, anonymous), err
		}
		return d.both(id, anon), nil
	}
	return d.named(id, anonymous), nil
}

// aliased returns the two ids that a message connects. One of them is the
// user's: it is distinct_id, or alias if distinct_id is anonymous. The SDK for
// Python writes the former id into distinct_id and the user's into alias, all
// others the other way round.
func (d *decoder) aliased(m *message, id string, anonymous bool) ([]trackway.Identifier, *trackway.Error) {
	alias, err := idIn("alias", m.alias)
	switch {
	case err != nil:
		return nil, err
	case alias == "":
		return d.named(id, anonymous), value.Required("properties.alias")
	case alias == id:
		return d.named(id, anonymous), nil
	case anonymous, m.python:
		return d.both(alias, id), nil
	}
	return d.both(id, alias), nil
}

// otherUser returns the identifier of the user that the second of two connected
// ids would be. If there is such a customer, the message is refused: two users
// must not become one. It returns nil if there is no second id.
func (d *decoder) otherUser(ids []trackway.Identifier) *trackway.Identifier {
	if len(ids) < 2 {
		return nil
	}
	return &d.list(trackway.Identifier{Name: d.project.User, Value: ids[1].Value, Hard: true}.Trimmed())[0]
}

// distinct returns the id of a message. "" means that it has none.
func (m *message) distinct() (string, *trackway.Error) {
	if m.distinctID.Absent() {
		return idIn("distinct_id", m.innerID)
	}
	return value.ID("distinct_id", m.distinctID)
}

// idIn returns the id in a canonical value, or "" for null or no value.
func idIn(field string, canonical []byte) (string, *trackway.Error) {
	if canonical == nil {
		return "", nil
	}
	s := canonjson.Scan(canonical)
	id, err := value.ID(field, s.Value())
	if err == nil && strings.ContainsRune(id, '\uFFFD') {
		err = value.Expected(field, "text, got half a surrogate pair") // or what is left of one
	}
	return id, err
}

// named returns the identifiers of a message about a user, or about somebody
// who has not signed in. A project may lack either kind of identifier.
func (d *decoder) named(id string, anonymous bool) []trackway.Identifier {
	name := d.project.User
	if anonymous || name == "" {
		name = cmp.Or(d.project.Device, name)
	}
	return d.list(trackway.Identifier{Name: name, Value: id})
}

// both returns the identifiers of a message that connects a user with an
// anonymous id. Without both kinds of identifier there is nothing to connect.
func (d *decoder) both(user, anon string) []trackway.Identifier {
	if d.project.User == "" || d.project.Device == "" {
		return d.named(user, false)
	}
	return d.list(trackway.Identifier{Name: d.project.User, Value: user}, trackway.Identifier{Name: d.project.Device, Value: anon})
}

// list returns the identifiers as a part of a slice that the body's messages
// share.
func (d *decoder) list(ids ...trackway.Identifier) []trackway.Identifier {
	if cap(d.ids)-len(d.ids) < len(ids) {
		d.ids = make([]trackway.Identifier, 0, len(ids)+min(MaxMessages, d.Left()/bytesPerMessage))
	}
	start := len(d.ids)
	d.ids = append(d.ids, ids...)
	return slices.Clip(d.ids[start:])
}

// updates writes into list the updates of the customer for which a message
// asks, and returns their number. c has what they share with the message's
// event.
func (d *decoder) updates(m *message, c *trackway.Command, list *[maxPerMessage - 1]trackway.Command) (n int, err *trackway.Error) {
	inner, err := membersOf(set, m.innerSet)
	if err != nil {
		return 0, err
	}
	innerOnce, err := membersOf(setOnce, m.innerOnce)
	if err != nil {
		return 0, err
	}
	gone, err := namesIn(m.unset)
	if err != nil {
		return 0, err
	}
	add := func(properties []trackway.Property, at trackway.Micros) {
		if len(properties) == 0 {
			return
		}
		u := *c
		u.Kind, u.Properties, u.Time = trackway.UpdateCustomer, properties, at
		list[n] = u
		n++
	}
	add(gone, c.Time)
	add(inner, c.Time)
	add(withoutNulls(m.set), c.Time) // which counts more
	add(withoutNulls(m.setOnce), d.once(c.Time))
	add(innerOnce, d.once(c.Time))
	return n, nil
}

// ordered sorts properties by name, in place. Of several with the same name, it
// keeps only the last.
func ordered(properties []trackway.Property) []trackway.Property {
	slices.SortStableFunc(properties, func(a, b trackway.Property) int { return cmp.Compare(a.Name, b.Name) })
	kept := properties[:0]
	for i, p := range properties {
		if i+1 == len(properties) || properties[i+1].Name != p.Name {
			kept = append(kept, p)
		}
	}
	return kept
}

// once returns the time of an update that sets properties only if they have no
// value. The store keeps a property if its value is newer. So such an update
// must be older than any other: its time is mapped to the years 1970 to 1998.
// Among such updates, the one that happened first must be the newest. Clocks
// may have only milliseconds, so if several in a body have the same time, the
// first one counts.
func (d *decoder) once(t trackway.Micros) trackway.Micros {
	const (
		from   = 1_420_070_400_000_000 // 2015-01-01, when there was no PostHog
		newest = 900_000_000_000_000   // 1998-07-09
	)
	first := newest - max(t-from, 0)
	return max(first-trackway.Micros(d.sent), trackway.MinTime)
}

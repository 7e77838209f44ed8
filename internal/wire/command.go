package wire

import (
	"cmp"
	"slices"
	"strconv"

	"trackway"
)

// DecodeCommand decodes the body of a single call; name is [Customers], [Events] or [Clicks]. The command's strings and
// values are parts of body, which must not be changed any more. Received is the time of receipt, which is the command's
// time where the client gave none.
//
// IDs and Type are empty where the client sent none, and of identifiers only names and values are filled in: what a command
// must have is ingest's to say. An id that is a number is its value in plain decimals, so that 1000, 1000.0 and 1e3 are one
// id. A Time that the client gave as an age was counted from the receipt and would differ when the call is repeated, so it
// does not count as given. With an error only IDs and Type are filled in, as far as they were understood.
func DecodeCommand(name string, body []byte, received trackway.Micros) (trackway.Command, *trackway.Error) {
	d := newDecoder(body, received)
	var f fields
	d.fields(&f)
	if d.end(); d.err != nil {
		return trackway.Command{}, d.err
	}
	return f.command(name, received)
}

// decoder decodes the commands of one body. What it collects for all of them lies in a few shared slices; a command takes
// its part of a slice once that is complete, and growing moves only what comes later.
type decoder struct {
	scanner
	received   trackway.Micros
	ids        []trackway.Identifier
	firstID    int // of the command that is read
	properties []trackway.Property
	rewritten  []byte // the values that were not in canonical form
	asSent     bool   // they are not rewritten: canonical form has no half of a surrogate pair, which an id must be looked at for
}

const (
	bytesPerProperty = 40      // of a body: a guess that saves growing
	maxGuess         = 1 << 10 // properties, and bytes of rewritten values, that are made room for unseen
)

func newDecoder(body []byte, received trackway.Micros) decoder {
	return decoder{
		scanner:    scanner{b: body},
		received:   received,
		ids:        make([]trackway.Identifier, 0, 2),
		properties: make([]trackway.Property, 0, min(len(body)/bytesPerProperty, maxGuess)),
	}
}

// fields is what a command's object holds. Which of it counts depends on the command's name, which in a batch may stand
// behind it; so values are judged later. Errors are kept per field because the last of several equal names wins.
type fields struct {
	ids           []trackway.Identifier
	idsErr        *trackway.Error
	properties    []trackway.Property
	propertiesErr *trackway.Error
	eventType     value
	oldType       value // "type", the old name of event_type
	timestamp     value
	update        value // "update_timestamp"
	age           value
	url           value
	bytes         int             // length of the object
	err           *trackway.Error // it is not an object
}

// fields reads a command's object into f, which is meaningless once d.err is set.
func (d *decoder) fields(f *fields) {
	d.peek()
	start := d.i
	for name := range d.members {
		switch name {
		case "customer_ids":
			f.ids, f.idsErr = d.identifiers()
		case "properties":
			f.properties, f.propertiesErr = d.object("properties")
		case "event_type":
			f.eventType = d.value()
		case "type":
			f.oldType = d.value()
		case "timestamp":
			f.timestamp = d.value()
		case "update_timestamp":
			f.update = d.value()
		case "age":
			f.age = d.value()
		case "url":
			f.url = d.value()
		default:
			d.value()
		}
	}
	f.bytes = d.i - start
}

// object reads the value of a field that is an object or null, as a list of its members.
func (d *decoder) object(field string) ([]trackway.Property, *trackway.Error) {
	if kind(d.peek()) != objectKind {
		if v := d.value(); !v.absent() {
			return nil, unexpected(field, "an object", v.kind)
		}
		return nil, nil
	}
	var room [usualMembers]trackway.Property
	members := room[:0]
	tooMany := false
	for name := range d.members {
		v := d.value()
		if d.err != nil {
			return nil, nil
		}
		if len(members) == maxMembers {
			tooMany = true
			continue // what follows must be JSON all the same
		}
		if !v.canonical && !d.asSent {
			v.raw = d.rewrite(v.raw)
		}
		members = append(members, trackway.Property{Name: name, Value: v.raw})
	}
	if tooMany {
		return nil, invalid(field, "Field '"+field+"': at most "+strconv.Itoa(maxMembers)+" members.")
	}
	start := len(d.properties)
	d.properties = appendSorted(d.properties, members)
	return slices.Clip(d.properties[start:]), nil
}

// rewrite returns the text of a value in canonical form.
func (d *decoder) rewrite(raw []byte) []byte {
	if d.rewritten == nil {
		d.rewritten = make([]byte, 0, min(len(d.b), maxGuess))
	}
	start := len(d.rewritten)
	d.rewritten = appendCanonical(d.rewritten, raw)
	return slices.Clip(d.rewritten[start:])
}

// command makes the command called name of the fields.
func (f *fields) command(name string, received trackway.Micros) (trackway.Command, *trackway.Error) {
	if err := cmp.Or(checkName(name), f.err, f.idsErr, f.propertiesErr); err != nil {
		return f.refused(), err
	}
	c := trackway.Command{
		Kind: trackway.AddEvent, IDs: f.ids, Properties: f.properties, Received: received, Bytes: f.bytes,
	}
	var err *trackway.Error
	switch name {
	case Customers:
		c.Kind = trackway.UpdateCustomer
	case Events:
		c.Type, err = f.typeOfEvent()
	case Clicks:
		c.Type, c.Anonymous = clickType, true
		c.Properties, err = f.withURL()
	}
	if err == nil {
		c.Time, c.TimeGiven, err = f.time(name, received)
	}
	if err != nil {
		return f.refused(), err
	}
	return c, nil
}

// refused returns what can be told of a command that cannot be carried out: whom it was about, and the event's type.
func (f *fields) refused() trackway.Command {
	c := trackway.Command{IDs: f.ids}
	if f.err == nil {
		c.Type, _ = f.typeOfEvent() // what is wrong with it is told by the error
	}
	return c
}

const known = Customers + ", " + Events + ", " + Clicks + " and, in a batch, " + systemTime

// checkName refuses the name of a command that there is not.
func checkName(name string) *trackway.Error {
	switch name {
	case Customers, Events, Clicks:
		return nil
	default:
		return invalid("name", "Unknown command '"+shown(name)+"': known are "+known+".")
	}
}

func (f *fields) typeOfEvent() (string, *trackway.Error) {
	if f.eventType.absent() {
		return stringField("type", f.oldType)
	}
	return stringField("event_type", f.eventType)
}

// withURL returns the properties with the click's own url among them, which replaces a property of that name.
func (f *fields) withURL() ([]trackway.Property, *trackway.Error) {
	if f.url.absent() {
		return f.properties, nil
	}
	url, err := stringField("url", f.url)
	if err != nil {
		return nil, err
	}
	p := trackway.Property{Name: "url", Value: f.url.raw}
	if !f.url.canonical {
		p.Value = AppendString(nil, url)
	}
	return appendSorted(nil, append(f.properties, p)), nil
}

// time returns when the command happened, and whether the client chose that time.
func (f *fields) time(name string, received trackway.Micros) (trackway.Micros, bool, *trackway.Error) {
	switch {
	case name == Customers && !f.update.absent():
		t, err := timeField("update_timestamp", f.update)
		return t, true, err
	case !f.timestamp.absent():
		t, err := timeField("timestamp", f.timestamp)
		return t, true, err
	case !f.age.absent():
		t, err := ageField("age", f.age, received)
		return t, false, err
	default:
		return received, false, nil
	}
}

// stringField returns the string that a field holds, "" if it is absent.
func stringField(field string, v value) (string, *trackway.Error) {
	if v.absent() {
		return "", nil
	}
	if v.kind != stringKind {
		return "", unexpected(field, "a string", v.kind)
	}
	return v.text(), nil
}

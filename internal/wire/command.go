package wire

import (
	"cmp"
	"slices"

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

// decoder decodes the commands of one body. What it collects for all of them lies in a few shared slices: a command takes its
// part of one once that is complete, and what does not fit begins a new one, so that nothing is moved or kept twice.
type decoder struct {
	scanner
	received  trackway.Micros
	ids       []trackway.Identifier
	firstID   int                 // of the command that is read
	kept      []trackway.Property // of all commands
	rewritten []byte              // the values that were not in canonical form
	spare     *spare              // nil until it is needed
}

// spare is what few commands need: memory that is used again for each value and each object.
type spare struct {
	rewriter
	many  []member // an object's, beyond a few
	order []entry  // the same
}

// spares returns d's spare memory.
func (d *decoder) spares() *spare {
	if d.spare == nil {
		d.spare = new(spare)
	}
	return d.spare
}

const (
	bytesPerProperty = 40      // of a body: a guess that saves growing
	maxGuess         = 1 << 10 // properties, and bytes of rewritten values, that are made room for unseen
)

func newDecoder(body []byte, received trackway.Micros) decoder {
	return decoder{
		scanner:  scanner{b: body},
		received: received,
		ids:      make([]trackway.Identifier, 0, 2),
		kept:     make([]trackway.Property, 0, min(len(body)/bytesPerProperty, maxGuess)),
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
	length        int             // of the properties, as they were sent
	err           *trackway.Error // it is not an object
}

// fields reads a command's object into f, which is meaningless once d.err is set.
func (d *decoder) fields(f *fields) {
	for name := range d.members {
		switch name {
		case "customer_ids":
			f.ids, f.idsErr = d.identifiers()
		case "properties":
			d.peek()
			start := d.i
			f.properties, f.propertiesErr = d.properties()
			f.length = d.i - start
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
}

// command makes the command called name of the fields.
func (f *fields) command(name string, received trackway.Micros) (trackway.Command, *trackway.Error) {
	if err := cmp.Or(checkName(name), f.err, f.idsErr, f.propertiesErr); err != nil {
		return f.refused(), err
	}
	c := trackway.Command{
		Kind: trackway.AddEvent, IDs: f.ids, Properties: f.properties, Received: received, Bytes: max(f.length, len("{}")),
	}
	var err *trackway.Error
	switch name {
	case Customers:
		c.Kind = trackway.UpdateCustomer
	case Events:
		c.Type, err = f.typeOfEvent()
	case Clicks:
		c.Type, c.Anonymous = clickType, len(f.ids) == 0
		c.Properties, err = f.withURL()
		c.Bytes += len(`"url":,`) + len(f.url.raw)
	}
	c.Bytes += len(c.Type)
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
	i, found := slices.BinarySearchFunc(f.properties, p.Name, func(q trackway.Property, name string) int {
		return cmp.Compare(q.Name, name)
	})
	behind := f.properties[i:]
	if found {
		behind = behind[1:]
	}
	with := make([]trackway.Property, 0, len(f.properties)+1)
	return append(append(append(with, f.properties[:i]...), p), behind...), nil
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

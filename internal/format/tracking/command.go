package tracking

import (
	"cmp"
	"slices"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
)

// DecodeCommand decodes the body of a single call; name is [Customers],
// [Events] or [Clicks]. The command's strings and values are parts of body,
// which must not be changed as long as they are used. Received is the time of
// receipt, which becomes the command's time if the client gave no time.
//
// IDs and Type are empty if the client did not send them. Identifiers have only
// names and values. Package ingest decides what a command must have. A numeric
// id becomes its value in plain decimals, so that 1000, 1000.0 and 1e3 are one
// id. A Time that the client gave as an age does not count as given: it was
// counted from the receipt and would differ when the call is repeated. If
// DecodeCommand returns an error, only IDs and Type are filled in, as far as
// they were understood.
func DecodeCommand(name string, body []byte, received trackway.Micros) (c trackway.Command, err *trackway.Error) {
	d := newDecoder(body, received)
	var f fields
	d.fields(&f)
	if d.End(); d.Bad() {
		return trackway.Command{}, errJSON
	}
	err = f.command(&c, name, received)
	return c, err
}

// decoder decodes the commands of one body. Their parts are in a few shared
// slices: see [canonjson.Decoder].
type decoder struct {
	canonjson.Decoder

	received trackway.Micros
	ids      []trackway.Identifier
	firstID  int               // of the current command
	old      *trackway.Project // that old clients' commands must name; nil: the commands are today's
}

func newDecoder(body []byte, received trackway.Micros) decoder {
	return decoder{Decoder: canonjson.Decode(body), received: received, ids: make([]trackway.Identifier, 0, 2)}
}

// bad returns the error for a malformed body.
func (d *decoder) bad() *trackway.Error {
	if d.Bad() {
		return errJSON
	}
	return nil
}

// fields holds the content of a command's object. The command's name, which may
// follow it in a batch, decides which fields count, so the values are judged
// later. Errors are kept per field because the last of several equal names
// wins.
type fields struct {
	ids           []trackway.Identifier
	idsErr        *trackway.Error
	properties    []trackway.Property
	propertiesErr *trackway.Error
	eventType     canonjson.Value
	oldType       canonjson.Value // "type", the old name of event_type
	timestamp     canonjson.Value
	update        canonjson.Value // "update_timestamp"
	age           canonjson.Value
	url           canonjson.Value
	length        int             // of the properties, as they were sent
	err           *trackway.Error // it is not an object
}

// fields reads a command's object into f. After a syntax error, f is
// meaningless.
func (d *decoder) fields(f *fields) {
	for name := range d.Members {
		switch name {
		case "customer_ids":
			f.ids, f.idsErr = d.identifiers()
		case "properties":
			d.Peek()
			start := d.At()
			var p canonjson.Problem
			f.properties, p = d.Properties()
			f.propertiesErr = value.Problem(propertiesField, p)
			f.length = d.At() - start
		case "event_type":
			f.eventType = d.Value()
		case "type":
			f.oldType = d.Value()
		case "timestamp":
			f.timestamp = d.Value()
		case "update_timestamp":
			f.update = d.Value()
		case "age":
			f.age = d.Value()
		case "url":
			f.url = d.Value()
		default:
			d.unknown(f, name)
		}
	}
}

// command makes the command called name from the fields, in c, which is empty.
// The command is made in its place, because it is large.
func (f *fields) command(c *trackway.Command, name string, received trackway.Micros) (err *trackway.Error) {
	if err := cmp.Or(checkName(name), f.err, f.idsErr, f.propertiesErr); err != nil {
		*c = f.refused()
		return err
	}
	c.Kind, c.IDs, c.Properties, c.Received, c.Bytes = trackway.AddEvent, f.ids, f.properties, received, max(f.length, len("{}"))
	switch name {
	case Customers:
		c.Kind = trackway.UpdateCustomer
	case Events:
		c.Type, err = f.typeOfEvent()
	case Clicks:
		c.Type, c.Anonymous = clickType, true
		c.Properties, err = f.withURL()
		c.Bytes += len(`"url":,`) + len(f.url.Raw)
	}
	c.Bytes += len(c.Type)
	if err == nil {
		c.Time, c.TimeGiven, err = f.time(name, received)
	}
	if err != nil {
		*c = f.refused()
	}
	return err
}

// refused returns the known parts of a command that cannot be carried out: its
// customer, and the event's type.
func (f *fields) refused() trackway.Command {
	c := trackway.Command{IDs: f.ids}
	if f.err == nil {
		c.Type, _ = f.typeOfEvent() // the command's error reports any problem with it
	}
	return c
}

const known = Customers + ", " + Events + ", " + Clicks + " and, in a batch, " + systemTime

// checkName refuses the name of an unknown command.
func checkName(name string) *trackway.Error {
	switch name {
	case Customers, Events, Clicks:
		return nil
	default:
		return sentence("name", "Unknown command '"+value.Shown(name)+"': known are "+known+".")
	}
}

func (f *fields) typeOfEvent() (string, *trackway.Error) {
	field, v := "event_type", f.eventType
	if v.Absent() {
		field, v = "type", f.oldType
	}
	name, err := stringField(field, v)
	if err == nil && name == "" && !v.Absent() {
		err = &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.Empty}
	}
	return name, err
}

// withURL returns the properties together with the click's own url, which
// replaces a property of that name.
func (f *fields) withURL() ([]trackway.Property, *trackway.Error) {
	if f.url.Absent() {
		return f.properties, nil
	}
	url, err := stringField("url", f.url)
	if err != nil {
		return nil, err
	}
	p := trackway.Property{Name: "url", Value: f.url.Raw}
	if !f.url.Canonical {
		p.Value = canonjson.AppendString(nil, url)
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

// time returns when the command happened, and whether the client chose that
// time.
func (f *fields) time(name string, received trackway.Micros) (trackway.Micros, bool, *trackway.Error) {
	switch {
	case name == Customers && !f.update.Absent():
		t, err := value.Time("update_timestamp", f.update)
		return t, true, err
	case !f.timestamp.Absent():
		t, err := value.Time("timestamp", f.timestamp)
		return t, true, err
	case !f.age.Absent():
		t, err := ageField("age", f.age, received)
		return t, false, err
	default:
		return received, false, nil
	}
}

// stringField returns the string of a field, or "" if it is absent.
func stringField(field string, v canonjson.Value) (string, *trackway.Error) {
	if v.Absent() {
		return "", nil
	}
	if v.Kind != canonjson.String {
		return "", value.Unexpected(field, "a string", v.Kind)
	}
	return v.Text(), nil
}

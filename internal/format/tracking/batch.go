package tracking

import (
	"cmp"
	"strconv"

	"trackway"
	"trackway/internal/canonjson"
)

// Item is one command of a batch, and in the end what became of it.
type Item struct {
	Name      string           // of the command; empty where it has none that is a string
	Command   trackway.Command // what to do; empty where Time is set, and as [DecodeCommand] says where Err is not nil
	CommandID []byte           // the client's command_id as it was sent, any JSON; nil: none
	Time      bool             // system/time: asks for the time only

	// Err says why the command is not understood. The caller of DecodeBatch puts here what else the command failed by; it
	// is what [AppendBatch] answers.
	Err *trackway.Error
}

// DecodeBatch decodes the body of a batch into its 1 to trackway.MaxCommands commands, in order, each as by
// [DecodeCommand]. An error says that none of them may be carried out, and is answered by [AppendMessage] whatever its
// field; what is wrong with one command is its item's error.
func DecodeBatch(body []byte, received trackway.Micros) ([]Item, *trackway.Error) {
	d := newDecoder(body, received)
	var b batch
	for name := range d.Members {
		if name == "commands" {
			d.batch(&b)
		} else {
			d.Value()
		}
	}
	d.End()
	if err := cmp.Or(d.bad(), b.err()); err != nil {
		return nil, err
	}
	return b.items, nil
}

// batch is the value of "commands".
type batch struct {
	items   []Item         // at most trackway.MaxCommands
	sent    int            // how many there are in the body
	kind    canonjson.Kind // of the value
	foreign bool           // an element is no object
}

// err returns why none of the commands may be carried out, if that is so.
func (b *batch) err() *trackway.Error {
	switch {
	case b.foreign:
		return errJSON
	case b.kind != canonjson.Array && b.kind != canonjson.Null && b.kind != 0:
		return unexpected("commands", "an array", b.kind)
	case b.sent == 0:
		return sentence("commands", "No commands")
	case b.sent > trackway.MaxCommands:
		return sentence("commands", "Too many commands: "+strconv.Itoa(b.sent)+", at most "+strconv.Itoa(trackway.MaxCommands))
	}
	return nil
}

const bytesPerItem = 128 // of a body, at least: a guess that saves growing

// batch reads the value of "commands" into b, and forgets one that came before: the last wins, in the same memory.
func (d *decoder) batch(b *batch) {
	*b = batch{items: b.items[:0], kind: d.Peek()}
	if b.kind != canonjson.Array {
		d.Value()
		return
	}
	for i := range d.Elements {
		b.sent = i + 1
		switch isObject := d.Peek() == canonjson.Object; {
		case isObject && i < trackway.MaxCommands:
			if len(b.items) == cap(b.items) {
				b.grow(d.Left())
			}
			b.items = append(b.items, d.item())
		case isObject:
			d.Value()
		default:
			d.Value()
			b.foreign = true
		}
	}
}

// grow makes room for the items in a number of bytes.
func (b *batch) grow(left int) {
	items := make([]Item, 0, min(trackway.MaxCommands, max(2*len(b.items), left/bytesPerItem+1)))
	b.items = append(items, b.items...)
}

// item reads one element of "commands".
func (d *decoder) item() (item Item) {
	var name canonjson.Value
	var idErr *trackway.Error
	var f fields
	for member := range d.Members {
		switch member {
		case "name":
			name = d.Value()
		case "command_id":
			item.CommandID, idErr = d.commandID()
		case "data":
			f = fields{}
			d.data(&f)
		default:
			d.Value()
		}
	}
	if d.Bad() {
		return item
	}
	command, err := stringField("name", name)
	item.Name = command
	switch {
	case err != nil || idErr != nil:
		item.Err = cmp.Or(err, idErr)
	case name.Absent():
		item.Err = required("name")
	case command == systemTime:
		item.Time = true
	default:
		item.Command, item.Err = f.command(command, d.received)
	}
	return item
}

// commandID reads the value of "command_id", which is answered as it was sent: so it is bounded like any value that comes back,
// and in length.
func (d *decoder) commandID() ([]byte, *trackway.Error) {
	const field = "command_id"
	v, fault := d.Kept()
	switch {
	case len(v.Raw) > maxCommandIDBytes:
		return nil, &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.LongJSON, Limit: maxCommandIDBytes, Got: len(v.Raw)}
	case fault != canonjson.None:
		return nil, beyond(field, fault)
	}
	return v.Raw, nil
}

// data reads the value of "data" into f. Null is a command that says nothing.
func (d *decoder) data(f *fields) {
	if d.Peek() == canonjson.Object {
		d.fields(f)
	} else if v := d.Value(); !v.Absent() {
		f.err = unexpected("data", "an object", v.Kind)
	}
}

package wire

import (
	"strconv"

	"trackway"
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
	for name := range d.members {
		if name == "commands" {
			b = d.batch()
		} else {
			d.value()
		}
	}
	d.end()
	switch {
	case d.err != nil:
		return nil, d.err
	case b.err != nil:
		return nil, b.err
	case b.sent == 0:
		return nil, invalid("commands", "No commands")
	case b.sent > trackway.MaxCommands:
		return nil, invalid("commands", "Too many commands: "+strconv.Itoa(b.sent)+", at most "+strconv.Itoa(trackway.MaxCommands))
	}
	return b.items, nil
}

// batch is the value of "commands".
type batch struct {
	items []Item // at most trackway.MaxCommands
	sent  int    // how many there are in the body
	err   *trackway.Error
}

const bytesPerCommand = 128 // of a body, at least: a guess that saves growing

func (d *decoder) batch() (b batch) {
	if kind(d.peek()) != arrayKind {
		if v := d.value(); !v.absent() {
			b.err = unexpected("commands", "an array", v.kind)
		}
		return b
	}
	b.items = make([]Item, 0, min(trackway.MaxCommands, len(d.b)/bytesPerCommand+1))
	for i := range d.elements {
		b.sent = i + 1
		switch isObject := kind(d.peek()) == objectKind; {
		case isObject && i < trackway.MaxCommands:
			b.items = append(b.items, d.item())
		case isObject:
			d.value()
		default:
			d.value()
			b.err = invalid("", "Invalid JSON")
		}
	}
	return b
}

// item reads one element of "commands".
func (d *decoder) item() (item Item) {
	var name value
	var f fields
	for member := range d.members {
		switch member {
		case "name":
			name = d.value()
		case "command_id":
			item.CommandID = d.value().raw
		case "data":
			f = fields{}
			d.data(&f)
		default:
			d.value()
		}
	}
	if d.err != nil {
		return item
	}
	command, err := stringField("name", name)
	item.Name = command
	switch {
	case err != nil:
		item.Err = err
	case name.absent():
		item.Err = required("name")
	case command == systemTime:
		item.Time = true
	default:
		item.Command, item.Err = f.command(command, d.received)
	}
	return item
}

// data reads the value of "data" into f. Null is a command that says nothing.
func (d *decoder) data(f *fields) {
	if kind(d.peek()) == objectKind {
		d.fields(f)
	} else if v := d.value(); !v.absent() {
		f.err = unexpected("data", "an object", v.kind)
	}
}

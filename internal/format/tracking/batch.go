package tracking

import (
	"cmp"
	"strconv"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
	"trackway/internal/format/value"
)

// DecodeBatch decodes the body of a batch into its 1 to trackway.MaxCommands
// commands, in order, each as by [DecodeCommand]. An error means that none of
// them may be carried out, and names no field. The error of a single command is
// in its result. A command that asks for the time is of the kind Nothing.
func DecodeBatch(body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
	return whole(newDecoder(body, received))
}

// whole decodes the body of a batch. The decoder is a value, so that it stays
// on the stack.
func whole(d decoder) (*format.Batch, *trackway.Error) {
	commands := commands{Batch: format.New(d.received)}
	d.Reuse(commands.Room)
	for name := range d.Members {
		if name == "commands" {
			d.commands(&commands)
		} else {
			d.Value()
		}
	}
	d.End()
	commands.Room = d.Room()
	if err := cmp.Or(d.bad(), commands.err()); err != nil {
		commands.Release()
		return nil, err
	}
	return commands.Batch, nil
}

// commands is the value of "commands".
type commands struct {
	*format.Batch // of at most trackway.MaxCommands

	sent    int            // number of commands in the body
	kind    canonjson.Kind // of the value
	foreign bool           // an element is not an object
}

// err returns why none of the commands may be carried out, or nil.
func (c *commands) err() *trackway.Error {
	switch {
	case c.foreign:
		return errJSON
	case c.kind != canonjson.Array && c.kind != canonjson.Null && c.kind != 0:
		return sentence("", Text(value.Unexpected("commands", "an array", c.kind)))
	case c.sent == 0:
		return sentence("", "No commands")
	case c.sent > trackway.MaxCommands:
		return sentence("", "Too many commands: "+strconv.Itoa(c.sent)+", at most "+strconv.Itoa(trackway.MaxCommands))
	}
	return nil
}

const bytesPerItem = 128 // of a body, at least: a guess that saves growing

// commands reads the value of "commands" into c. It drops an earlier value and
// reuses its memory: the last one wins.
func (d *decoder) commands(c *commands) {
	c.Clear()
	*c = commands{Batch: c.Batch}
	if d.Peek() != canonjson.Array {
		c.kind = d.Value().Kind
		return
	}
	c.kind = canonjson.Array
	for i := range d.Elements {
		c.sent = i + 1
		switch isObject := d.Peek() == canonjson.Object; {
		case isObject && i < trackway.MaxCommands:
			if i == cap(c.Commands) {
				c.Grow(min(trackway.MaxCommands, max(2*i, d.Left()/bytesPerItem+1)))
			}
			c.Refuse(d.item(c.Next()))
		case isObject:
			d.Value()
		default:
			d.Value()
			c.foreign = true
		}
	}
}

// item reads one element of "commands" into an empty command and its label. If
// it returns an error, the command is as [DecodeCommand] describes.
func (d *decoder) item(c *trackway.Command, l *format.Label) (err *trackway.Error) {
	var name canonjson.Value
	var idErr *trackway.Error
	var f fields
	for member := range d.Members {
		switch member {
		case "name":
			name = d.Value()
		case "command_id":
			l.ID, idErr = d.commandID()
		case "data":
			f = fields{}
			d.data(&f)
		default:
			d.Value()
		}
	}
	if d.Bad() {
		return errJSON
	}
	l.Name, err = stringField("name", name)
	switch {
	case err != nil || idErr != nil:
		err = cmp.Or(err, idErr)
	case name.Absent():
		err = value.Required("name")
	case l.Name != systemTime:
		err = f.command(c, d.nameToday(l.Name), d.received)
	}
	return err
}

// DecodeLine decodes a single command in the form of a batch element: a line of
// an imported file. A command that asks for the time is of the kind Nothing.
//
//	{
//		"name":"customers/events",
//		"data":{
//			"customer_ids":{"registered":"x"},
//			"event_type":"visit","timestamp":1533495544.34
//		}
//	}
func DecodeLine(line []byte, received trackway.Micros) (c trackway.Command, err *trackway.Error) {
	d := newDecoder(line, received)
	err = d.item(&c, new(format.Label))
	if d.End(); d.Bad() {
		return trackway.Command{}, errJSON
	}
	return c, err
}

// commandID reads the value of "command_id". The answer repeats it unchanged,
// so it is bounded like any returned value, and in length.
func (d *decoder) commandID() ([]byte, *trackway.Error) {
	const field = "command_id"
	v, fault := d.Kept()
	switch {
	case len(v.Raw) > maxCommandIDBytes:
		return nil, &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.LongJSON, Limit: maxCommandIDBytes, Got: len(v.Raw)}
	case fault != canonjson.None:
		return nil, value.Beyond(field, fault)
	}
	return v.Raw, nil
}

// data reads the value of "data" into f. Null is an empty command.
func (d *decoder) data(f *fields) {
	if d.Peek() == canonjson.Object {
		d.fields(f)
	} else if v := d.Value(); !v.Absent() {
		f.err = value.Unexpected("data", "an object", v.Kind)
	}
}

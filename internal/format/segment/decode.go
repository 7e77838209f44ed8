package segment

import (
	"cmp"
	"strconv"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
	"trackway/internal/format/value"
)

// decodeSingle decodes a message of the given type, which is the whole body. An
// error of the message is in its result.
func decodeSingle(p *trackway.Project, typ string, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
	d := newDecoder(p, body, received)
	if d.Peek() != canonjson.Object {
		return nil, errJSON
	}
	var m message
	d.message(&m)
	if d.End(); d.Bad() {
		return nil, errJSON
	}
	c, at, err := d.command(&m, typ)
	if err == nil {
		at.set(&c, received, canonjson.Value{})
	}
	return format.One(c, err, typ, received), nil
}

// decodeBatch decodes a batch. An error of a message is in its result, and does
// not affect the others.
func decodeBatch(p *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
	return decodeMessages(p, body, received, true)
}

// decodeImport decodes a batch of old messages. Their times do not depend on
// the moment of sending.
func decodeImport(p *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
	return decodeMessages(p, body, received, false)
}

func decodeMessages(p *trackway.Project, body []byte, received trackway.Micros, corrects bool) (*format.Batch, *trackway.Error) {
	d := newDecoder(p, body, received)
	if d.Peek() != canonjson.Object {
		return nil, errJSON
	}
	b := batch{Batch: format.Batch{Received: received}}
	for name := range d.Members {
		switch name {
		case "batch":
			d.messages(&b)
		case "context":
			b.context, b.fault = d.Kept()
		case "sentAt":
			b.sentAt = d.Value()
		default:
			d.Value()
		}
	}
	if d.End(); d.Bad() {
		return nil, errJSON
	}
	if err := cmp.Or(b.err(), d.shareContext(&b, len(body))); err != nil {
		return nil, err
	}
	for i := range b.Commands {
		at := &b.times[i]
		if at.corrects = corrects; b.Results[i].Err == nil {
			at.set(&b.Commands[i], received, b.sentAt)
		}
	}
	return &b.Batch, nil
}

// batch is a batch with what its messages share.
type batch struct {
	format.Batch

	times   []when // of the messages
	kind    canonjson.Kind
	sent    int  // number of messages in the body
	foreign bool // an element is not an object
	context canonjson.Value
	fault   canonjson.Fault // of the context
	sentAt  canonjson.Value
}

// err returns why none of the messages may be carried out, or nil. An empty
// batch is fine: some clients send one to check their key.
func (b *batch) err() *trackway.Error {
	switch {
	case b.kind == 0, b.kind == canonjson.Null:
		return value.Required("batch")
	case b.kind != canonjson.Array:
		return value.Unexpected("batch", "an array", b.kind)
	case b.foreign:
		return value.Expected("batch", "an object as each element")
	case b.sent > MaxMessages:
		return value.TooMany("batch", MaxMessages, "messages")
	case b.fault != canonjson.None:
		return value.Beyond("context", b.fault)
	}
	return nil
}

const bytesPerMessage = 256 // of a body: a guess that saves growing

// messages reads the value of "batch". It drops an earlier value and reuses its
// memory: the last one wins.
func (d *decoder) messages(b *batch) {
	b.Clear()
	b.times, b.sent, b.foreign = b.times[:0], 0, false
	if d.Peek() != canonjson.Array {
		b.kind = d.Value().Kind
		return
	}
	b.kind = canonjson.Array
	start := d.At()
	for i := range d.Elements {
		b.sent = i + 1
		b.foreign = b.foreign || d.Peek() != canonjson.Object
		if b.foreign || i >= MaxMessages {
			d.Value()
			continue
		}
		if i == cap(b.Commands) {
			each := bytesPerMessage
			if i > 0 {
				each = (d.At() - start) / i
			}
			n := min(MaxMessages, i+max(i/2, d.Left()/each+1))
			b.Grow(n)
			b.times = append(make([]when, 0, n), b.times...)
		}
		d.element(b)
	}
}

// element reads one element of "batch", an object.
func (d *decoder) element(b *batch) {
	var m message
	d.message(&m)
	if d.Bad() {
		return
	}
	l := format.Label{ID: m.messageID.Raw}
	typ, err := text("type", m.typ)
	if err == nil && typ == "" {
		err = errNoType
	}
	if err != nil {
		c, _, _ := d.command(&m, "")
		b.add(c, when{}, err, l)
		return
	}
	l.Name = typ
	c, at, err := d.command(&m, typ)
	b.add(c, at, err, l)
}

func (b *batch) add(c trackway.Command, at when, err *trackway.Error, l format.Label) {
	b.Add(c, err, l)
	b.times = append(b.times, at)
}

// The bounds on a batch's context. It belongs to each message, so it is stored
// with each. The bounds, a fixed number of bytes and a number for each byte of
// the body, keep a small body from becoming a large one.
const (
	sharedBytes   = 16 << 10
	sharedPerByte = 2
)

// shareContext adds the members of the batch's context to the context of each
// event, unless the event has them itself. The libraries for Go and Java send
// equal members only once.
func (d *decoder) shareContext(b *batch, length int) *trackway.Error {
	if b.context.Absent() {
		return nil
	}
	if b.context.Kind != canonjson.Object {
		return value.Unexpected("context", "an object", b.context.Kind)
	}
	if total := len(b.context.Raw) * len(b.Commands); total > sharedBytes+sharedPerByte*length {
		return value.Expected("context", "a context of fewer bytes, which belongs to all "+strconv.Itoa(len(b.Commands))+" messages")
	}
	shared := withoutTraits(d.Canonical(b.context))
	for i := range b.Commands {
		c := &b.Commands[i]
		if c.Kind != trackway.AddEvent {
			continue
		}
		own := shared
		if at := indexOf(c.Properties, contextProperty); at >= 0 {
			own = below(c.Properties[at].Value, shared)
			c.Properties[at].Value = own
		} else {
			c.Properties = d.with(c.Properties, trackway.Property{Name: contextProperty, Value: own})
		}
		c.Bytes += len(shared) + len(contextProperty) + len(`"":,`)
	}
	return nil
}

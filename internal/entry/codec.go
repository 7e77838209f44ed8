package entry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"unsafe"

	"trackway"
)

// version is the first byte of an encoded entry.
const version = 1

// errCorrupt is returned by [Decode] for bytes that are not an entry.
var errCorrupt = errors.New("not an entry")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	headLen = 2 // version, kind
	sumLen  = 4
)

// Append appends the encoding of e to b.
func Append(b []byte, e Entry) []byte {
	start := len(b)
	b = e.append(append(b, version, byte(e.Kind())))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// Decode reads an entry. The entry refers to b, so the caller must not change
// b. An entry has exactly one encoding: [Append] turns a decoded entry back
// into the same bytes. Errors: errCorrupt.
//
// Cost: memory in proportion to len(b), whatever lengths b claims.
func Decode(b []byte) (Entry, error) {
	if len(b) < headLen+sumLen {
		return nil, fmt.Errorf("%w: %d bytes", errCorrupt, len(b))
	}
	body := b[:len(b)-sumLen]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[len(body):]) {
		return nil, fmt.Errorf("%w: wrong checksum", errCorrupt)
	}
	if b[0] != version {
		return nil, fmt.Errorf("%w: version %d, this program reads version %d only", errCorrupt, b[0], version)
	}
	e := newEntry(Kind(b[1]))
	if e == nil {
		return nil, fmt.Errorf("%w: unknown kind %d", errCorrupt, b[1])
	}
	r := reader{rest: body[headLen:], text: text(body[headLen:])}
	if e.decode(&r); r.bad || len(r.rest) > 0 {
		return nil, fmt.Errorf("%w: kind %d is malformed", errCorrupt, b[1])
	}
	return e, nil
}

// text returns b as a string, without a copy: entries refer to what they are
// decoded from.
func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // G103: it is not changed, see Decode
}

func newEntry(k Kind) Entry {
	switch k {
	case KindCommands:
		return new(Commands)
	case KindRegister:
		return new(Register)
	case KindRefused:
		return new(Refused)
	case KindRewrite:
		return new(Rewrite)
	case KindErase:
		return new(Erase)
	case KindForget:
		return new(Forget)
	case KindSettle:
		return new(Settle)
	case KindExpire:
		return new(Expire)
	case KindCursor:
		return new(Cursor)
	case KindOnce:
		return new(Once)
	case KindNotes:
		return new(Notes)
	case KindDigest:
		return new(Digest)
	case KindAssign:
		return new(Assign)
	case KindHashKey:
		return new(HashKey)
	}
	return nil
}

// reader decodes the fields of an entry. After the first field that does not
// fit, bad is set, and all later fields are zero.
type reader struct {
	rest []byte
	text string // the whole encoding; strings are substrings of it
	bad  bool

	// The short lists of commands are parts of these, which saves most of the
	// allocations.
	ids        []trackway.Identifier
	properties []trackway.Property
}

func (r *reader) fail() {
	r.rest, r.bad = nil, true
}

// uvarint reads a number in its shortest form.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || n > 1 && r.rest[n-1] == 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) project() uint32 {
	v := r.uvarint()
	if v > math.MaxUint32 {
		r.fail()
		return 0
	}
	return uint32(v)
}

func (r *reader) customer() trackway.Customer { return trackway.Customer(r.uvarint()) }

func (r *reader) micros() trackway.Micros { return trackway.Micros(r.uvarint()) }

// count reads the number of items that follow. Each item takes at least least
// bytes.
func (r *reader) count(least int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/least) {
		r.fail()
		return 0
	}
	return int(n)
}

// flags reads a byte in which only the bits of mask may be set.
func (r *reader) flags(mask byte) byte {
	if len(r.rest) == 0 || r.rest[0]&^mask != 0 {
		r.fail()
		return 0
	}
	f := r.rest[0]
	r.rest = r.rest[1:]
	return f
}

func (r *reader) uint64() uint64 {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	n := binary.BigEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return n
}

func (r *reader) bytes() []byte {
	n := r.count(1)
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) string() string {
	n := len(r.bytes())
	end := len(r.text) - len(r.rest)
	return r.text[end-n : end]
}

// list reads a list of items, each of which takes at least least bytes. It
// returns nil for an empty list.
func list[T any](r *reader, least int, item func(*reader) T) []T {
	n := r.count(least)
	if n == 0 {
		return nil
	}
	return fill(r, make([]T, n), item)
}

func fill[T any](r *reader, items []T, item func(*reader) T) []T {
	for i := range items {
		items[i] = item(r)
	}
	return items
}

// short reads a list like list does. It takes the memory from spare, which it
// renews.
func short[T any](r *reader, spare *[]T, least int, item func(*reader) T) []T {
	const usual = 256 // items
	n := r.count(least)
	if n == 0 {
		return nil
	}
	if n > len(*spare) {
		*spare = make([]T, max(n, min(usual, len(r.rest)/least)))
	}
	items := (*spare)[:n:n]
	*spare = (*spare)[n:]
	return fill(r, items, item)
}

func appendList[T any](b []byte, items []T, item func([]byte, T) []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(items)))
	for i := range items {
		b = item(b, items[i])
	}
	return b
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendMicros(b []byte, m trackway.Micros) []byte {
	return binary.AppendUvarint(b, uint64(m))
}

func appendCustomer(b []byte, c trackway.Customer) []byte {
	return binary.AppendUvarint(b, uint64(c))
}

func appendRange(b []byte, r Range) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, r.From), r.To)
}

const flagHard = 1

func appendID(b []byte, id trackway.Identifier) []byte {
	var flags byte
	if id.Hard {
		flags = flagHard
	}
	return appendString(appendString(append(b, flags), id.Name), id.Value)
}

func (r *reader) id() trackway.Identifier {
	return trackway.Identifier{Hard: r.flags(flagHard) != 0, Name: r.string(), Value: r.string()}
}

// The minimum numbers of bytes of the items in lists.
const (
	leastID       = 3
	leastProperty = 2
	leastCommand  = 3
	leastRequest  = 1 + leastCommand
)

const (
	flagAnonymous = 1 << iota
	flagTimeGiven
	flagTimeVaries
	flagUnheld
	flagContent
	flagKeyed // of the hash that follows the content
)

// appendCommand appends a command. If content is not nil, it takes the place of
// the type and the properties. keyed says how its hash was made.
func appendCommand(b []byte, c *trackway.Command, content *Content, keyed bool) []byte {
	b = binary.AppendUvarint(append(b, byte(c.Kind)), uint64(c.Project))
	b = appendMicros(b, c.Received)
	if c.Kind == 0 {
		return b
	}
	var flags byte
	if c.Anonymous {
		flags |= flagAnonymous
	}
	if c.TimeGiven {
		flags |= flagTimeGiven
	}
	if c.TimeVaries {
		flags |= flagTimeVaries
	}
	if c.Unheld != nil {
		flags |= flagUnheld
	}
	if content != nil {
		flags |= flagContent
		if keyed && c.TimeGiven {
			flags |= flagKeyed
		}
	}
	b = appendMicros(append(b, flags), c.Time)
	if c.TimeVaries {
		b = appendMicros(b, c.Claimed)
	}
	if c.Unheld != nil {
		b = appendID(b, *c.Unheld)
	}
	b = appendList(b, c.IDs, appendID)
	if content != nil {
		if b = appendString(b, content.Record); c.TimeGiven {
			b = binary.BigEndian.AppendUint64(b, content.Hash)
		}
		return b
	}
	b = appendString(b, c.Type)
	return appendList(b, c.Properties, func(b []byte, p trackway.Property) []byte {
		return appendString(appendString(b, p.Name), p.Value)
	})
}

// carried says what a command carries.
type carried struct {
	content, hash bool
	keyed         bool // the hash is
}

// command reads a command, and the content of an event that has one.
func (r *reader) command() (c trackway.Command, content Content, has carried) {
	c.Kind = trackway.Kind(r.flags(3))
	c.Project, c.Received = r.project(), r.micros()
	if c.Kind == 0 {
		return c, content, has
	}
	if c.Kind > trackway.AddEvent {
		r.fail()
		return c, content, has
	}
	flags := r.flags(flagAnonymous | flagTimeGiven | flagTimeVaries | flagUnheld | flagContent | flagKeyed)
	c.Anonymous, c.TimeGiven = flags&flagAnonymous != 0, flags&flagTimeGiven != 0
	c.Time = r.micros()
	if c.TimeVaries = flags&flagTimeVaries != 0; c.TimeVaries {
		c.Claimed = r.micros()
	}
	if flags&flagUnheld != 0 {
		id := r.id()
		c.Unheld = &id
	}
	c.IDs = short(r, &r.ids, leastID, (*reader).id)
	has.content, has.keyed = flags&flagContent != 0, flags&flagKeyed != 0
	has.hash = has.content && c.TimeGiven
	if has.keyed && !has.hash {
		r.fail()
	}
	if has.content {
		c.Type, content = r.content(c.TimeGiven)
		if c.Kind != trackway.AddEvent {
			r.fail()
		}
		return c, content, has
	}
	c.Type = r.string()
	c.Properties = short(r, &r.properties, leastProperty, func(r *reader) trackway.Property {
		return trackway.Property{Name: r.string(), Value: r.bytes()}
	})
	return c, content, has
}

// content reads the content of an event, and the event's type, which is a part
// of it.
func (r *reader) content(hashed bool) (typ string, c Content) {
	c.Record = r.bytes()
	record := reader{rest: c.Record, text: text(c.Record)}
	typ, c.Properties = record.string(), record.rest
	if hashed {
		c.Hash = r.uint64()
	}
	if record.bad {
		r.fail()
	}
	return typ, c
}

func (e *Commands) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(e.Requests)))
	for i := range e.Requests {
		r := &e.Requests[i]
		b = binary.AppendUvarint(b, uint64(len(r.Commands)))
		for j := range r.Commands {
			var content *Content
			if e.Carries && r.Contents != nil && r.Commands[j].Kind == trackway.AddEvent {
				content = &r.Contents[j]
			}
			b = appendCommand(b, &r.Commands[j], content, r.Keyed)
		}
	}
	return b
}

func (e *Commands) decode(r *reader) {
	e.Requests = list(r, leastRequest, func(r *reader) Request {
		q := r.request()
		e.Carries = e.Carries || q.Contents != nil
		return q
	})
}

// request reads the commands of a request. Those that carry something are
// alike: all events have their content, or none, and all hashes are under the
// key, or none.
func (r *reader) request() (q Request) {
	n := r.count(leastCommand)
	if n == 0 {
		r.fail()
		return q
	}
	q = Request{Commands: make([]trackway.Command, n), Results: make([]trackway.Result, n)}
	plain, unkeyed := false, false
	for i := range q.Commands {
		c, content, has := r.command()
		if q.Commands[i] = c; has.content && q.Contents == nil {
			q.Contents = make([]Content, n)
		}
		if has.content {
			q.Contents[i] = content
		}
		plain = plain || !has.content && c.Kind == trackway.AddEvent
		q.Keyed, unkeyed = q.Keyed || has.keyed, unkeyed || has.hash && !has.keyed
	}
	if q.Contents != nil && plain || q.Keyed && unkeyed {
		r.fail()
	}
	return q
}

func (e *Register) append(b []byte) []byte {
	return appendList(b, e.Projects, func(b []byte, p Registration) []byte {
		return appendList(appendList(appendString(b, p.Token), p.Hard, appendString), p.Soft, appendString)
	})
}

func (e *Register) decode(r *reader) {
	e.Projects = list(r, 3, func(r *reader) Registration {
		return Registration{Token: r.string(), Hard: list(r, 1, (*reader).string), Soft: list(r, 1, (*reader).string)}
	})
}

func (e *Refused) append(b []byte) []byte {
	b = appendMicros(binary.AppendUvarint(b, uint64(e.Project)), e.At)
	return binary.AppendUvarint(b, e.Commands)
}

func (e *Refused) decode(r *reader) {
	e.Project, e.At, e.Commands = r.project(), r.micros(), r.uvarint()
}

// events reads sequence numbers. There may be at most [MaxEvents].
func (r *reader) events() []uint64 {
	seqs := list(r, 1, (*reader).uvarint)
	if len(seqs) > MaxEvents {
		r.fail()
	}
	return seqs
}

func (e *Rewrite) append(b []byte) []byte {
	b = appendCustomer(binary.AppendUvarint(b, uint64(e.Project)), e.Customer)
	b = appendList(b, e.Personal, appendString)
	return appendList(b, e.Events, binary.AppendUvarint)
}

func (e *Rewrite) decode(r *reader) {
	e.Project, e.Customer = r.project(), r.customer()
	e.Personal, e.Events = list(r, 1, (*reader).string), r.events()
}

const flagContinued = 1

func (e *Erase) append(b []byte) []byte {
	b = appendCustomer(binary.AppendUvarint(b, uint64(e.Project)), e.Customer)
	b = appendList(b, e.Personal, appendString)
	b = appendMicros(b, e.Asked)
	b = appendList(b, e.IDs, appendID)
	var flags byte
	if e.Continued {
		flags = flagContinued
	}
	b = append(binary.AppendUvarint(b, e.Next), flags)
	b = appendList(b, e.Customers, appendCustomer)
	return appendList(b, e.Log, appendRange)
}

func (e *Erase) decode(r *reader) {
	e.Project, e.Customer = r.project(), r.customer()
	e.Personal, e.Asked = list(r, 1, (*reader).string), r.micros()
	e.IDs, e.Next = list(r, leastID, (*reader).id), r.uvarint()
	e.Continued = r.flags(flagContinued) != 0
	e.Customers = list(r, 1, (*reader).customer)
	e.Log = list(r, 2, func(r *reader) Range { return Range{r.uvarint(), r.uvarint()} })
}

func (e *Forget) append(b []byte) []byte {
	return appendList(b, e.Holders, func(b []byte, f FormerHolder) []byte {
		b = binary.AppendUvarint(b, uint64(f.Project))
		b = appendString(appendString(b, f.Identifier.Name), f.Identifier.Value)
		return appendCustomer(b, f.Customer)
	})
}

func (e *Forget) decode(r *reader) {
	e.Holders = list(r, 4, func(r *reader) FormerHolder {
		return FormerHolder{
			Project:    r.project(),
			Identifier: trackway.Identifier{Name: r.string(), Value: r.string()},
			Customer:   r.customer(),
		}
	})
}

func (e *Settle) append(b []byte) []byte {
	b = appendCustomer(binary.AppendUvarint(b, uint64(e.Project)), e.Customer)
	return appendCustomer(appendCustomer(b, e.From), e.To)
}

func (e *Settle) decode(r *reader) {
	e.Project, e.Customer, e.From, e.To = r.project(), r.customer(), r.customer(), r.customer()
}

func (e *Expire) append(b []byte) []byte { return appendList(b, e.Events, binary.AppendUvarint) }

func (e *Expire) decode(r *reader) { e.Events = r.events() }

func (e *Cursor) append(b []byte) []byte {
	return binary.AppendUvarint(appendString(b, e.Name), e.Number)
}

func (e *Cursor) decode(r *reader) { e.Name, e.Number = r.string(), r.uvarint() }

func (e *Digest) append(b []byte) []byte { return binary.AppendUvarint(b, e.After) }

func (e *Digest) decode(r *reader) { e.After = r.uvarint() }

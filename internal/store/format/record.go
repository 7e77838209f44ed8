package format

import (
	"encoding/binary"
	"errors"
	"fmt"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/query"
)

// ErrCorrupt is the error for a record that cannot be read: the store is
// damaged, or another program wrote it.
var ErrCorrupt = errors.New("corrupt record")

// Records are sequences of uvarints and of strings with a uvarint length in
// front (docs/format.md).

// AppendString appends a string with its length in front.
func AppendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Reader decodes a record. After the first invalid field it is Bad, and all
// further fields are zero.
type Reader struct {
	Rest string
	Bad  bool
}

// Uvarint decodes a number.
func (r *Reader) Uvarint() uint64 {
	var v uint64
	for i := 0; i < len(r.Rest) && i < binary.MaxVarintLen64; i++ {
		c := r.Rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.Rest = r.Rest[i+1:]
			return v
		}
	}
	r.Rest, r.Bad = "", true
	return 0
}

// String decodes a string with its length in front.
func (r *Reader) String() string {
	n := r.Uvarint()
	if n > uint64(len(r.Rest)) {
		r.Rest, r.Bad = "", true
		return ""
	}
	s := r.Rest[:n]
	r.Rest = r.Rest[n:]
	return s
}

// Micros decodes a time.
func (r *Reader) Micros() trackway.Micros { return trackway.Micros(r.Uvarint()) }

// Err returns [ErrCorrupt] if a field was invalid.
func (r *Reader) Err() error {
	if r.Bad {
		return ErrCorrupt
	}
	return nil
}

// AppendMicros appends a time.
func AppendMicros(b []byte, m trackway.Micros) []byte {
	return binary.AppendUvarint(b, uint64(m))
}

// AppendEvent appends a record of the log. Only the log holds the payload of an
// event.
func AppendEvent(b []byte, e *trackway.Event) []byte {
	b = AppendString(AppendEventHead(b, e), e.Type)
	return append(b, e.Properties...)
}

// AppendEventHead appends the beginning of a record of the log. The event's
// type, with its length in front, and its properties follow it.
func AppendEventHead(b []byte, e *trackway.Event) []byte {
	b = binary.AppendUvarint(b, uint64(e.Project))
	b = binary.AppendUvarint(b, uint64(e.Customer))
	b = AppendMicros(b, e.Time)
	return AppendMicros(b, e.Received)
}

// DecodeEvent decodes a record of the log. The event owns its memory.
func DecodeEvent(seq uint64, record []byte) (trackway.Event, error) {
	r := Reader{Rest: string(record)}
	e := trackway.Event{Seq: seq}
	e.Project = uint32(r.Uvarint())
	e.Customer = trackway.Customer(r.Uvarint())
	e.Time = r.Micros()
	e.Received = r.Micros()
	e.Type = r.String()
	e.Properties = []byte(r.Rest)
	return e, r.Err()
}

// TypeNames keeps the event types seen so far, so that each takes one string
// and not one for each event.
type TypeNames map[string]string

func (t TypeNames) of(name []byte) string {
	if s, ok := t[string(name)]; ok {
		return s
	}
	s := string(name)
	if len(t) < query.MaxTypes {
		t[s] = s
	}
	return s
}

// ViewEvent decodes a record of the log without copying it: the properties are
// a part of the record.
func ViewEvent(seq uint64, record []byte, types TypeNames) (trackway.Event, error) {
	var number [5]uint64 // project, customer, time, received, length of the type
	rest := record
	for i := range number {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return trackway.Event{}, fmt.Errorf("event %d: %w", seq, ErrCorrupt)
		}
		number[i], rest = v, rest[n:]
	}
	if number[4] > uint64(len(rest)) {
		return trackway.Event{}, fmt.Errorf("event %d: %w", seq, ErrCorrupt)
	}
	return trackway.Event{
		Seq: seq, Project: uint32(number[0]), Customer: trackway.Customer(number[1]),
		Time: trackway.Micros(number[2]), Received: trackway.Micros(number[3]),
		Type: types.of(rest[:number[4]]), Properties: rest[number[4]:],
	}, nil
}

// FlagHard is set in the flags of a hard identifier, both in a holder's record
// and in the store's note about the identifier.
const FlagHard = 1

// AppendHolder appends a customer's record.
func AppendHolder(b []byte, h *identity.Holder) []byte {
	b = AppendMicros(b, h.Created)
	b = binary.AppendUvarint(b, uint64(h.MergedInto))
	b = binary.AppendUvarint(b, uint64(h.Properties))
	b = binary.AppendUvarint(b, uint64(h.Absorbed))
	b = binary.AppendUvarint(b, uint64(len(h.IDs)))
	for _, id := range h.IDs {
		var flags byte
		if id.Hard {
			flags |= FlagHard
		}
		b = append(b, flags)
		b = AppendString(b, id.Name)
		b = AppendString(b, id.Value)
		b = AppendMicros(b, id.Used)
	}
	return b
}

// DecodeHolder decodes a customer's record. The holder owns its memory.
func DecodeHolder(c trackway.Customer, record []byte) (*identity.Holder, error) {
	r := Reader{Rest: string(record)}
	h := &identity.Holder{Customer: c, Created: r.Micros(), MergedInto: trackway.Customer(r.Uvarint())}
	h.Properties = int(r.Uvarint())
	h.Absorbed = int(r.Uvarint())
	n := r.Uvarint()
	if n > uint64(len(r.Rest)) {
		return nil, ErrCorrupt
	}
	h.IDs = make([]identity.ID, n, n+1)
	for i := range h.IDs {
		id := &h.IDs[i]
		id.Hard = r.Uvarint()&FlagHard != 0
		id.Name = r.String()
		id.Value = r.String()
		id.Used = r.Micros()
	}
	return h, r.Err()
}

// AppendDated appends a property's record.
func AppendDated(b []byte, at trackway.Micros, value []byte) []byte {
	return append(AppendMicros(b, at), value...)
}

// SplitDated decodes a property's record. The value aliases the record.
func SplitDated(record []byte) (at trackway.Micros, value []byte, err error) {
	v, n := binary.Uvarint(record)
	if n <= 0 {
		return 0, nil, ErrCorrupt
	}
	return trackway.Micros(v), record[n:], nil
}

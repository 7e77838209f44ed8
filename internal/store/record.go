package store

import (
	"encoding/binary"
	"errors"

	"trackway"
	"trackway/internal/identity"
)

// errCorrupt is a record that cannot be read: the store was damaged, or written by something else.
var errCorrupt = errors.New("corrupt record")

// Records are sequences of uvarints and strings with a uvarint length in front (docs/format.md).

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes a record apart. After the first field that does not fit it is bad, and all that follows is zero.
type reader struct {
	s   string
	bad bool
}

func (r *reader) uvarint() uint64 {
	var v uint64
	for i := 0; i < len(r.s) && i < binary.MaxVarintLen64; i++ {
		c := r.s[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.s = r.s[i+1:]
			return v
		}
	}
	r.s, r.bad = "", true
	return 0
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.s)) {
		r.s, r.bad = "", true
		return ""
	}
	s := r.s[:n]
	r.s = r.s[n:]
	return s
}

func (r *reader) micros() trackway.Micros { return trackway.Micros(r.uvarint()) } //nolint:gosec // G115: written from a Micros that is not negative

func (r *reader) err() error {
	if r.bad {
		return errCorrupt
	}
	return nil
}

func appendMicros(b []byte, m trackway.Micros) []byte {
	return binary.AppendUvarint(b, uint64(m)) //nolint:gosec // G115: times before 1970 are refused, so none is negative
}

// appendEvent writes a record of the log: the payload, once and only here.
func appendEvent(b []byte, e *trackway.Event) []byte {
	b = binary.AppendUvarint(b, uint64(e.Project))
	b = binary.AppendUvarint(b, uint64(e.Customer))
	b = appendMicros(b, e.Time)
	b = appendMicros(b, e.Received)
	b = appendString(b, e.Type)
	return append(b, e.Properties...)
}

// decodeEvent reads a record of the log. The event owns what it holds.
func decodeEvent(seq uint64, record []byte) (trackway.Event, error) {
	r := reader{s: string(record)}
	e := trackway.Event{Seq: seq}
	e.Project = uint32(r.uvarint()) //nolint:gosec // G115: written from a uint32
	e.Customer = trackway.Customer(r.uvarint())
	e.Time = r.micros()
	e.Received = r.micros()
	e.Type = r.string()
	e.Properties = []byte(r.s)
	return e, r.err()
}

// flags of an identifier in a holder's record.
const flagHard = 1

func appendHolder(b []byte, h *identity.Holder) []byte {
	b = appendMicros(b, h.Created)
	b = binary.AppendUvarint(b, uint64(h.MergedInto))
	b = binary.AppendUvarint(b, uint64(h.Properties)) //nolint:gosec // G115: a count
	b = binary.AppendUvarint(b, uint64(h.Absorbed))   //nolint:gosec // G115: a count
	b = binary.AppendUvarint(b, uint64(len(h.IDs)))
	for _, id := range h.IDs {
		var flags byte
		if id.Hard {
			flags |= flagHard
		}
		b = append(b, flags)
		b = appendString(b, id.Name)
		b = appendString(b, id.Value)
		b = appendMicros(b, id.Used)
	}
	return b
}

func decodeHolder(c trackway.Customer, record []byte) (*identity.Holder, error) {
	r := reader{s: string(record)}
	h := &identity.Holder{Customer: c, Created: r.micros(), MergedInto: trackway.Customer(r.uvarint())}
	h.Properties = int(r.uvarint()) //nolint:gosec // G115: a count
	h.Absorbed = int(r.uvarint())   //nolint:gosec // G115: a count
	n := r.uvarint()
	if n > uint64(len(r.s)) {
		return nil, errCorrupt
	}
	h.IDs = make([]identity.ID, n, n+1)
	for i := range h.IDs {
		id := &h.IDs[i]
		id.Hard = r.uvarint()&flagHard != 0
		id.Name = r.string()
		id.Value = r.string()
		id.Used = r.micros()
	}
	return h, r.err()
}

func appendDated(b []byte, at trackway.Micros, value []byte) []byte {
	return append(appendMicros(b, at), value...)
}

// splitDated reads a property's record. The value aliases the record.
func splitDated(record []byte) (at trackway.Micros, value []byte, err error) {
	v, n := binary.Uvarint(record)
	if n <= 0 {
		return 0, nil, errCorrupt
	}
	return trackway.Micros(v), record[n:], nil //nolint:gosec // G115: written from a Micros that is not negative
}

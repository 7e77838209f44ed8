package reading

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/store/format"
)

// Holder reads a customer's record.
func Holder(from Reader, project uint32, c trackway.Customer) (*identity.Holder, error) {
	value, closer, err := from.Get(format.AppendCustomerKey(nil, project, c))
	if err != nil {
		return nil, fmt.Errorf("customer %d: %w", c, err)
	}
	h, err := format.DecodeHolder(c, value)
	return h, errors.Join(err, closer.Close())
}

// Survivor reads the record of the customer that c is now, after all merges.
func Survivor(from Reader, project uint32, c trackway.Customer) (*identity.Holder, error) {
	h, err := Holder(from, project, c)
	for err == nil && h.MergedInto != 0 {
		h, err = Holder(from, project, h.MergedInto)
	}
	return h, err
}

// Identifiers returns the identifiers in ids without the data about their use.
func Identifiers(ids []identity.ID) []trackway.Identifier {
	out := make([]trackway.Identifier, len(ids))
	for i, id := range ids {
		out[i] = id.Identifier
	}
	return out
}

// Timelines lists the customers on whose timelines the holder's events are: the
// holder's own, and those of absorbed customers whose timelines were too long
// to move.
func Timelines(from Reader, h *identity.Holder) ([]trackway.Customer, error) {
	all := []trackway.Customer{h.Customer}
	if h.Absorbed == 0 {
		return all, nil
	}
	err := Scan(from, format.AppendAbsorbedPrefix(nil, h.Customer), func(absorbed, _ []byte) error {
		all = append(all, trackway.Customer(binary.BigEndian.Uint64(absorbed)))
		return nil
	})
	return all, err
}

// Event reads an event of the log.
func Event(from Reader, seq uint64) (trackway.Event, error) {
	record, closer, err := from.Get(format.AppendLogKey(nil, seq))
	if err != nil {
		return trackway.Event{}, err
	}
	event, err := format.DecodeEvent(seq, record)
	return event, errors.Join(err, closer.Close())
}

// Entry finds an event's entry, on the timeline of its current customer or of
// an absorbed customer whose timeline was too long to move. The entry is
// usually at the event's time and tail, or at its sequence number. Only if no
// timeline has it at either place, because a collision of hashes has moved it,
// does Entry scan all entries of that time. A stranger can create many such
// entries, so the scan must be rare.
func Entry(from Reader, e *trackway.Event, tail uint64) ([]byte, error) {
	h, err := Survivor(from, e.Project, e.Customer)
	if err != nil {
		return nil, err
	}
	timelines, err := Timelines(from, h)
	if err != nil {
		return nil, err
	}
	for _, c := range timelines {
		for _, tail := range []uint64{tail, e.Seq} {
			key := format.AppendTimelineKey(nil, c, e.Time, tail)
			if value, err := LeadsTo(from, key, e.Seq); value != nil || err != nil {
				return key, err
			}
		}
	}
	for _, c := range timelines {
		if key, err := entryAmong(from, c, e); key != nil || err != nil {
			return key, err
		}
	}
	return nil, fmt.Errorf("it is on no timeline: %w", format.ErrCorrupt)
}

// entryAmong searches a timeline for an event's entry among all entries of its
// time. It returns nil if there is no such entry.
func entryAmong(from Reader, c trackway.Customer, e *trackway.Event) (key []byte, err error) {
	prefix := format.AppendTimelineKey(nil, c, e.Time, 0)
	prefix = prefix[:len(prefix)-8]
	err = Scan(from, prefix, func(tail, value []byte) error {
		if seq, _ := binary.Uvarint(value); seq != e.Seq {
			return nil
		}
		key = slices.Concat(prefix, tail)
		return ErrStop
	})
	return key, err
}

// LeadsTo returns the timeline entry at key, or nil if it does not lead to the
// event.
func LeadsTo(from Reader, key []byte, seq uint64) ([]byte, error) {
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	value = bytes.Clone(value)
	if to, _ := binary.Uvarint(value); to != seq {
		value = nil
	}
	return value, closer.Close()
}

// IsMarked reports whether an event is the record of a merge, and not an event
// that a client sent.
func IsMarked(from Reader, e *trackway.Event) (bool, error) {
	value, err := LeadsTo(from, format.AppendTimelineKey(nil, e.Customer, e.Time, e.Seq), e.Seq)
	_, n := binary.Uvarint(value)
	return len(value) > n, err
}

// LastEvent returns the time of the last event on a customer's timelines, or -1
// if they have no events.
func LastEvent(from Reader, h *identity.Holder) (last trackway.Micros, err error) {
	timelines, err := Timelines(from, h)
	last = -1
	for _, c := range timelines {
		prefix := format.AppendTimelinePrefix(nil, c)
		err = errors.Join(err, ScanRange(from, prefix, format.After(prefix), true, func(key, _ []byte) error {
			last = max(last, trackway.Micros(binary.BigEndian.Uint64(key[len(prefix):])))
			return ErrStop
		}))
	}
	return last, err
}

// FormerHolders lists the customers that had one of these identifiers and lost
// it. It returns the customers that these are now, after all merges.
func FormerHolders(from Reader, project uint32, ids []identity.ID) (found []*identity.Holder, err error) {
	known := make(map[trackway.Customer]bool) // a client may create any number of them
	for _, id := range ids {
		err = Scan(from, format.Key(nil).FormerPrefix(project, id.Identifier), func(c, _ []byte) error {
			h, err := Survivor(from, project, trackway.Customer(binary.BigEndian.Uint64(c)))
			if err == nil && !known[h.Customer] {
				known[h.Customer] = true
				found = append(found, h)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

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

// Survivor reads who a customer is now.
func Survivor(from Reader, project uint32, c trackway.Customer) (*identity.Holder, error) {
	h, err := Holder(from, project, c)
	for err == nil && h.MergedInto != 0 {
		h, err = Holder(from, project, h.MergedInto)
	}
	return h, err
}

// Identifiers returns what customers know themselves by, without how they used it.
func Identifiers(ids []identity.ID) []trackway.Identifier {
	out := make([]trackway.Identifier, len(ids))
	for i, id := range ids {
		out[i] = id.Identifier
	}
	return out
}

// Timelines lists the customers on whose timelines the holder's events are: its own, and those of customers it absorbed
// that were too long to move.
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

// Entry finds an event's entry: on the timeline of whom it belongs to now, or on one that stayed. It is where it usually is, at
// its time and tail, or at its sequence number; only if it is on none of the timelines there, since a collision of hashes has put
// it further on, are all entries of its time looked at: a stranger can make many of them.
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

// entryAmong looks for an event's entry among all of its time on a timeline, nil if it is not there.
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

// LeadsTo returns the entry of a timeline at key, nil if it does not lead to the event.
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

// IsMarked tells whether an event is the record of a merge, and no event that a client sent.
func IsMarked(from Reader, e *trackway.Event) (bool, error) {
	value, err := LeadsTo(from, format.AppendTimelineKey(nil, e.Customer, e.Time, e.Seq), e.Seq)
	_, n := binary.Uvarint(value)
	return len(value) > n, err
}

// LastEvent returns the time of the last event on a customer's timelines, -1 if
// there is none.
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

// FormerHolders lists the customers that had one of these identifiers and lost it, as who they are now.
func FormerHolders(from Reader, project uint32, ids []identity.ID) (found []*identity.Holder, err error) {
	known := make(map[trackway.Customer]bool) // there may be as many as somebody cares to make
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

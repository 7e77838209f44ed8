package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/identity"
	"trackway/internal/query"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// maxMoved is the most timeline entries that one command moves, and the number
// after which others get the lock. A timeline that does not fit stays in place,
// and the survivor remembers it.
const maxMoved = 256

// recordMoves is the weight of a customer that loses an identifier, in entries,
// because its record is written again. A record may have some 17 kB. So one
// hold of the lock writes 64 to 127 records.
const recordMoves = maxMoved / identity.MaxRobbed

// absorb stages the merge of one customer into another. It moves the
// properties, of which the newer wins, and adds an event that describes the
// merge. The content of events stays in the log; only their places in the
// timeline move. A timeline too long to move stays in place, and the survivor
// remembers it. REQUIRES: the identifiers have already moved; room is the
// number of entries that the command may still move.
func (t *tx) absorb(
	c *trackway.Command, survivor *identity.Holder, before []identity.ID, absorbed *identity.Holder, room int,
) (moved int, err error) {
	if err := t.moveProperties(survivor, absorbed); err != nil {
		return 0, err
	}
	if moved, err = t.moveTimelines(survivor, absorbed, room); err != nil {
		return 0, err
	}
	event := trackway.Event{
		Seq: t.nextSeq, Project: c.Project, Customer: survivor.Customer,
		Type: trackway.MergeType, Time: c.Received, Received: c.Received, Properties: mergeProperties(c.IDs, before, absorbed.IDs),
	}
	record := append(format.AppendString(nil, event.Type), event.Properties...)
	if err := t.append(&event, record, event.Seq, format.MergeMark); err != nil {
		return 0, err
	}
	t.m.usage.Add(c.Project, c.Received, query.Usage{Absorbed: 1})
	*absorbed = identity.Holder{Customer: absorbed.Customer, Created: absorbed.Created, MergedInto: survivor.Customer}
	t.putHolder(c.Project, absorbed)
	return moved, nil
}

// moveTimelines gives the survivor the timelines of the absorbed customer: its
// own, and those that it remembers.
func (t *tx) moveTimelines(survivor, absorbed *identity.Holder, room int) (moved int, err error) {
	remembered, err := reading.Timelines(t.from, absorbed)
	if err != nil {
		return 0, err
	}
	t.m.cache.Join(survivor.Customer, absorbed.Customer)
	for _, c := range remembered {
		if c == absorbed.Customer {
			whole, err := t.readEntries(c, room)
			if err != nil {
				return 0, err
			}
			if whole {
				moved = len(t.entries)
				if err := t.moveEntries(survivor.Customer, c); err != nil {
					return 0, err
				}
				continue
			}
		} else if err := t.b.Delete(format.AbsorbedKey(absorbed.Customer, c), nil); err != nil {
			return 0, err
		}
		if err := t.b.Set(format.AbsorbedKey(survivor.Customer, c), nil, nil); err != nil {
			return 0, err
		}
		survivor.Absorbed++
	}
	return moved, nil
}

// movedEntry is a timeline entry that is moving to another timeline.
type movedEntry struct {
	place [16]byte // time and tail
	size  int      // length of the value
	value [binary.MaxVarintLen64 + 1]byte
}

// readEntries reads the first entries of a timeline into t.entries, up to most,
// and reports whether these are all.
func (t *tx) readEntries(of trackway.Customer, most int) (whole bool, err error) {
	t.entries, whole = t.entries[:0], true
	err = reading.Scan(t.from, format.AppendTimelinePrefix(nil, of), func(place, value []byte) error {
		if len(t.entries) == most {
			whole = false
			return reading.ErrStop
		}
		var e movedEntry
		if len(place) != len(e.place) || len(value) > len(e.value) {
			return fmt.Errorf("timeline of customer %d: %w", of, format.ErrCorrupt)
		}
		copy(e.place[:], place)
		e.size = copy(e.value[:], value)
		t.entries = append(t.entries, e)
		return nil
	})
	return whole, err
}

// moveEntries moves the entries in t.entries from one timeline to another. If
// the target has an event of the same time and content, both stay: the moved
// entry then ends in its sequence number.
func (t *tx) moveEntries(to, from trackway.Customer) error {
	t.moved += len(t.entries)
	prefix := format.AppendTimelinePrefix(nil, to)
	there, err := t.from.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: format.After(prefix)})
	if err != nil {
		return err
	}
	err = t.moveBeside(there, prefix, from)
	return errors.Join(err, there.Error(), there.Close())
}

func (t *tx) moveBeside(there *pebble.Iterator, prefix []byte, from trackway.Customer) error {
	places := reading.Follower{It: there}
	for i := range t.entries {
		e := &t.entries[i]
		value := e.value[:e.size]
		t.key = append(append(t.key[:0], prefix...), e.place[:]...)
		if places.At(t.key) {
			seq, _ := binary.Uvarint(value)
			binary.BigEndian.PutUint64(t.key[len(t.key)-8:], seq)
		}
		if err := t.b.Set(t.key, value, nil); err != nil {
			return err
		}
		t.key = append(format.AppendTimelinePrefix(t.key[:0], from), e.place[:]...)
		if err := t.b.Delete(t.key, nil); err != nil {
			return err
		}
	}
	return nil
}

// mergeProperties returns the properties of a merge event: the identifiers of
// the command that caused it, and those of both customers.
func mergeProperties(cause []trackway.Identifier, into, from []identity.ID) []byte {
	return canonjson.AppendObject(nil, []trackway.Property{
		{Name: query.AbsorbedIDs, Value: canonjson.AppendIDs(nil, reading.Identifiers(from))},
		{Name: query.CauseIDs, Value: canonjson.AppendIDs(nil, cause)},
		{Name: query.SurvivorIDs, Value: canonjson.AppendIDs(nil, reading.Identifiers(into))},
	})
}

// moveProperties gives the survivor the properties of the absorbed customer. If
// both have a property, the newer value wins; if they are equally old, the
// survivor's stays. A merge may exceed a customer's limit of properties, and
// loses none of them.
func (t *tx) moveProperties(survivor, absorbed *identity.Holder) error {
	if absorbed.Properties == 0 {
		return nil
	}
	t.moved += absorbed.Properties
	prefix := format.AppendPropsPrefix(nil, survivor.Customer)
	own, err := t.from.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: format.After(prefix)})
	if err != nil {
		return err
	}
	known := reading.Follower{It: own}
	err = reading.Scan(t.from, format.AppendPropsPrefix(nil, absorbed.Customer), func(name, record []byte) error {
		t.key = append(append(t.key[:0], prefix...), name...)
		if err := t.moveProperty(survivor, &known, record); err != nil {
			return err
		}
		t.key = append(format.AppendPropsPrefix(t.key[:0], absorbed.Customer), name...)
		return t.b.Delete(t.key, nil)
	})
	return errors.Join(err, own.Error(), own.Close())
}

// moveProperty gives the survivor a property. REQUIRES: t.key is the property's
// key there.
func (t *tx) moveProperty(survivor *identity.Holder, known *reading.Follower, record []byte) error {
	at, _, err := format.SplitDated(record)
	if err != nil {
		return fmt.Errorf("property of customer: %w", err)
	}
	if !known.At(t.key) {
		survivor.Properties++
	} else if since, _, err := format.SplitDated(known.It.Value()); err != nil || since >= at {
		return err
	}
	return t.b.Set(t.key, record, nil)
}

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/query"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
	"trackway/internal/wire"
)

// maxMoved is how many events an absorbed customer may have for their places in its timeline to move to the survivor's, and
// how many are moved before other writers are let in. With identity.MaxAbsorbed it bounds how long merges hold the lock.
const maxMoved = 1000

// absorb stages the merge of one customer into another: the properties move, the newer of each winning; an event tells of it.
// What events hold stays where it is, in the log; their places in the timeline move. A timeline too long to move stays, and the
// survivor remembers it: there are never many, since each takes more than maxMoved events to make. The identifiers have moved before.
func (t *tx) absorb(c *trackway.Command, survivor *identity.Holder, before []identity.ID, absorbed *identity.Holder) error {
	if err := t.moveProperties(survivor, absorbed); err != nil {
		return err
	}
	if err := t.moveTimelines(survivor, absorbed); err != nil {
		return err
	}
	event := trackway.Event{
		Seq: t.nextSeq, Project: c.Project, Customer: survivor.Customer,
		Type: trackway.MergeType, Time: c.Received, Received: c.Received, Properties: mergeProperties(c.IDs, before, absorbed.IDs),
	}
	if err := t.append(&event, event.Seq, format.MergeMark); err != nil {
		return err
	}
	t.addUsage(c, query.Usage{Absorbed: 1})
	*absorbed = identity.Holder{Customer: absorbed.Customer, Created: absorbed.Created, MergedInto: survivor.Customer}
	return t.putHolder(c.Project, absorbed)
}

// moveTimelines gives the survivor the timelines of the absorbed customer: its own, and those it remembers.
func (t *tx) moveTimelines(survivor, absorbed *identity.Holder) error {
	remembered, err := reading.Timelines(t.from, absorbed)
	if err != nil {
		return err
	}
	for _, c := range remembered {
		if c == absorbed.Customer {
			t.s.cache.ForgetLatest(survivor.Customer) // events of any time come to it
			moved, err := t.moveEvents(survivor.Customer, c)
			if err != nil {
				return err
			}
			if moved {
				continue
			}
		} else if err := t.b.Delete(format.AbsorbedKey(absorbed.Customer, c), nil); err != nil {
			return err
		}
		if err := t.b.Set(format.AbsorbedKey(survivor.Customer, c), nil, nil); err != nil {
			return err
		}
		survivor.Absorbed++
	}
	return nil
}

// moveEvents moves a timeline's entries, if there are not too many, and tells whether it did.
func (t *tx) moveEvents(to, from trackway.Customer) (moved bool, err error) {
	prefix := format.AppendTimelinePrefix(nil, from)
	var keys, values [][]byte
	err = reading.Scan(t.from, prefix, func(rest, value []byte) error {
		if len(keys) == maxMoved {
			keys = nil
			return reading.ErrStop
		}
		keys, values = append(keys, bytes.Clone(rest)), append(values, bytes.Clone(value))
		moved = true
		return nil
	})
	if err != nil || moved && keys == nil {
		return false, err
	}
	t.moved += len(keys)
	for i, rest := range keys {
		if err := t.moveEvent(to, rest, values[i]); err != nil {
			return false, err
		}
		if err := t.b.Delete(slices.Concat(prefix, rest), nil); err != nil {
			return false, err
		}
	}
	return true, nil
}

// moveEvent gives an event its place in another timeline. Where an event of the same time and content has that place, both
// are kept: this one's entry ends in its sequence number.
func (t *tx) moveEvent(to trackway.Customer, rest, value []byte) error {
	t.key = append(format.AppendTimelinePrefix(t.key[:0], to), rest...)
	taken, release, err := t.get(t.key)
	if err != nil {
		return err
	}
	if taken != nil {
		if err := release(); err != nil {
			return err
		}
		seq, _ := binary.Uvarint(value)
		binary.BigEndian.PutUint64(t.key[len(t.key)-8:], seq)
	}
	return t.b.Set(t.key, value, nil)
}

// mergeProperties are those of a merge event: the identifiers of the command that caused it, and of both customers.
func mergeProperties(cause []trackway.Identifier, into, from []identity.ID) []byte {
	return wire.AppendObject(nil, []trackway.Property{
		{Name: query.AbsorbedIDs, Value: wire.AppendIDs(nil, reading.Identifiers(from))},
		{Name: query.CauseIDs, Value: wire.AppendIDs(nil, cause)},
		{Name: query.SurvivorIDs, Value: wire.AppendIDs(nil, reading.Identifiers(into))},
	})
}

// moveProperties gives the survivor the properties of the absorbed customer. Where both have one, the newer wins; of two
// equally old ones the survivor's stays. A merge may take a customer over its share of properties: it loses none.
func (t *tx) moveProperties(survivor, absorbed *identity.Holder) error {
	if absorbed.Properties == 0 {
		return nil
	}
	return reading.Scan(t.from, format.AppendPropsPrefix(nil, absorbed.Customer), func(name, record []byte) error {
		if err := t.moveProperty(survivor, string(name), record); err != nil {
			return err
		}
		t.key = format.AppendPropKey(t.key[:0], absorbed.Customer, string(name))
		return t.b.Delete(t.key, nil)
	})
}

func (t *tx) moveProperty(survivor *identity.Holder, name string, record []byte) error {
	at, value, err := format.SplitDated(record)
	if err != nil {
		return fmt.Errorf("property of customer: %w", err)
	}
	t.key = format.AppendPropKey(t.key[:0], survivor.Customer, name)
	own, release, err := t.get(t.key)
	if err != nil {
		return err
	}
	if own != nil {
		since, _, err := format.SplitDated(own)
		if err := errors.Join(err, release()); err != nil {
			return err
		}
		if since >= at {
			return nil
		}
	} else {
		survivor.Properties++
	}
	t.value = format.AppendDated(t.value[:0], at, value)
	return t.b.Set(t.key, t.value, nil)
}

package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/identity"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
	"trackway/internal/store/repeats"
)

const (
	// maxLast is the most events of the log, of all customers, that the end of
	// an erasure reads under the lock. It is the number that others can add in
	// two holds of the lock, since two groups of requests may precede an entry:
	// see local.Log.
	maxLast = 2048

	// maxFormer is the most rows of former holders that one entry of an erasure
	// removes. The number of such rows is unbounded: an identifier can move
	// from one customer to the next any number of times.
	maxFormer = 1000
)

// rewriter removes erased data from events.
type rewriter struct {
	*tx

	h        *identity.Holder // the erased customer
	ids      []trackway.Identifier
	personal []string
	types    format.TypeNames
	note     func(seq uint64, c trackway.Customer) // receives where the files may hold erased data

	// Customer of the last event, as recorded and as of now.
	of, is trackway.Customer
}

func (t *tx) newRewriter(h *identity.Holder, personal []string, note func(uint64, trackway.Customer)) *rewriter {
	return &rewriter{tx: t, h: h, ids: reading.Identifiers(h.IDs), personal: personal, types: make(format.TypeNames), note: note}
}

// rewrite rewrites some events of an erasure.
func (t *tx) rewrite(e *entry.Rewrite) error {
	e.Places = e.Places[:0]
	h, err := t.survivor(e.Project, e.Customer)
	if err != nil {
		return err
	}
	r := t.newRewriter(h, e.Personal, func(seq uint64, c trackway.Customer) { e.Places = append(e.Places, entry.Place{Seq: seq, Customer: c}) })
	for _, seq := range e.Events {
		event, err := reading.Event(t.from, seq)
		if errors.Is(err, pebble.ErrNotFound) {
			continue // it has expired
		}
		if err == nil && event.Project == e.Project {
			err = r.event(&event)
		}
		if err != nil {
			return fmt.Errorf("event %d: %w", seq, err)
		}
	}
	t.touch(e.Project)
	return nil
}

// left returns the remaining properties of an event, or nil if nothing must be
// removed.
func (r *rewriter) left(event *trackway.Event) ([]byte, error) {
	if r.of != event.Customer {
		now, err := reading.Survivor(r.from, event.Project, event.Customer)
		if err != nil {
			return nil, err
		}
		r.of, r.is = event.Customer, now.Customer
	}
	if r.is == r.h.Customer {
		return erased.WithoutPersonal(event, r.personal), nil
	}
	if event.Type != trackway.MergeType {
		return nil, nil
	}
	return erased.WithoutIDs(event, r.ids), nil
}

// event rewrites an event. Its timeline entry must not keep a hash of erased
// data, so it ends in the event's sequence number from then on. Readers no
// longer see a merge that has lost all its identifiers.
func (r *rewriter) event(event *trackway.Event) error {
	kept, err := r.left(event)
	if err != nil || kept == nil {
		return err
	}
	at, err := reading.Entry(r.from, event, r.m.key.Load().Hash(event.Type, event.Properties))
	if err := cmp.Or(err, repeats.Forget(r.from, r.b, event)); err != nil {
		return err
	}
	value, err := reading.LeadsTo(r.from, at, event.Seq)
	if err != nil {
		return err
	}
	now := r.h
	if r.is != now.Customer {
		if now, err = r.holder(event.Project, r.is); err != nil {
			return err
		}
	}
	r.changed.Add(event.Project, now, change.Rewritten, false)
	r.note(event.Seq, event.Customer)
	// the customer whose timeline holds it
	r.note(event.Seq, trackway.Customer(binary.BigEndian.Uint64(at[1:])))
	event.Properties = kept
	if len(canonjson.SplitObject(kept)) == 0 {
		value = binary.AppendUvarint(nil, event.Seq)
	}
	key := bytes.Clone(at)
	binary.BigEndian.PutUint64(key[len(key)-8:], event.Seq)
	return errors.Join(
		r.b.Set(format.AppendLogKey(nil, event.Seq), format.AppendEvent(nil, event), nil),
		r.b.Delete(at, nil),
		r.b.Set(key, value, nil),
	)
}

// erase ends an erasure, if little of it remains.
func (t *tx) erase(e *entry.Erase) error {
	e.ID, e.Erased, e.Gone = 0, 0, nil
	h, err := t.survivor(e.Project, e.Customer)
	if err != nil {
		return err
	}
	merged, err := t.mergedSince(e)
	if err != nil {
		return err
	}
	var former [][]byte
	switch {
	case merged || h.Customer != e.Customer || !knows(e.IDs, h.IDs):
		e.Outcome = entry.Stale
		return nil
	case t.nextSeq-e.Next > maxLast:
		e.Outcome = entry.Behind
		return nil
	}
	if former, err = t.formerKeys(e.Project, h.IDs, 2*maxFormer); err != nil {
		return err
	}
	places := erased.Places{Customers: slices.Clone(e.Customers), Log: slices.Clone(e.Log)}
	if len(former) > maxFormer {
		return t.fewerFormer(e, former[:maxFormer], &places)
	}
	r := t.newRewriter(h, e.Personal, places.Add)
	if err := errors.Join(r.newer(e), t.eraseHolder(e, h, former)); err != nil {
		return err
	}
	t.schedule(e, h.Customer, &places)
	e.Outcome, e.ID, e.Erased, e.Gone = entry.Done, t.m.nextErasure, h.Customer, r.ids
	return nil
}

// mergedSince reports whether the customer has absorbed another one since the
// log was read. The events of that one are not at the end of the log.
func (t *tx) mergedSince(e *entry.Erase) (merged bool, err error) {
	if t.nextSeq-e.Next > maxLast {
		return false, nil
	}
	types := make(format.TypeNames)
	err = reading.Since(t.m.db, e.Project, e.Next, t.nextSeq, types, func(event *trackway.Event) error {
		if event.Type != trackway.MergeType || event.Customer != e.Customer {
			return nil
		}
		marked, err := reading.IsMarked(t.m.db, event)
		merged = merged || marked
		return err
	})
	return merged, err
}

// newer rewrites the events added to the log since it was read.
func (r *rewriter) newer(e *entry.Erase) error {
	return reading.Since(r.m.db, e.Project, e.Next, r.nextSeq, r.types, func(event *trackway.Event) error {
		own := *event
		return r.event(&own)
	})
}

// knows reports whether the search included all of these identifiers.
func knows(looked []trackway.Identifier, ids []identity.ID) bool {
	return !slices.ContainsFunc(ids, func(id identity.ID) bool { return !slices.Contains(looked, id.Identifier) })
}

// fewerFormer removes some former holders of the identifiers. Their merges have
// already been rewritten.
//
// If the erasure is requested again after the process has ended, these rows no
// longer tell whose merges the files still hold in their old form. So the first
// call stores the places as a separate erasure with a pending clean-up, and the
// list of erasures has one more entry. That entry names no erased customer,
// since the customer stays if the erasure is never requested again.
func (t *tx) fewerFormer(e *entry.Erase, keys [][]byte, places *erased.Places) error {
	e.Outcome = entry.Former
	if !e.Continued {
		t.schedule(e, 0, places)
	}
	return t.deleteAll(keys)
}

func (t *tx) deleteAll(keys [][]byte) error {
	for _, key := range keys {
		if err := t.b.Delete(key, nil); err != nil {
			return err
		}
	}
	return nil
}

// formerKeys lists the keys of former holders of the identifiers, up to most.
func (t *tx) formerKeys(project uint32, ids []identity.ID, most int) (keys [][]byte, err error) {
	for _, id := range ids {
		prefix := format.Key(nil).FormerPrefix(project, id.Identifier)
		err = errors.Join(err, reading.Scan(t.from, prefix, func(c, _ []byte) error {
			if len(keys) == most {
				return reading.ErrStop
			}
			keys = append(keys, slices.Concat(prefix, c))
			return nil
		}))
	}
	if err != nil {
		return nil, fmt.Errorf("former holders: %w", err)
	}
	return keys, nil
}

// eraseHolder erases the customer's identifiers and properties, and the rows of
// the identifiers' former holders.
func (t *tx) eraseHolder(e *entry.Erase, h *identity.Holder, former [][]byte) error {
	for _, name := range e.Personal {
		key := format.AppendPropKey(nil, h.Customer, name)
		known, release, err := t.get(key)
		if err != nil {
			return err
		} else if known == nil {
			continue
		}
		h.Properties--
		if err := errors.Join(release(), t.b.Delete(key, nil)); err != nil {
			return err
		}
	}
	for _, id := range h.IDs {
		key := format.AppendIDKey(nil, e.Project, id.Identifier)
		t.m.cache.ForgetID(key)
		former = append(former, key)
	}
	h.IDs = nil
	t.changed.Add(e.Project, h, change.Erased, true)
	t.touch(e.Project)
	return t.deleteAll(former)
}

// schedule schedules the clean-up of data of an erased customer, or of no
// customer (0).
func (t *tx) schedule(e *entry.Erase, c trackway.Customer, places *erased.Places) {
	t.scheduled = &erased.Record{Project: e.Project, Asked: e.Asked, Places: places.Of(c)}
}

// stageErasure stages the record of an erasure, and its number.
func (t *tx) stageErasure() error {
	if t.scheduled == nil {
		return nil
	}
	id := t.m.nextErasure
	t.scheduled.Change = t.nextSeq - 1 // all changes have their numbers
	return errors.Join(
		t.b.Set(format.Key(nil).Erasure(id), erased.Append(nil, *t.scheduled), nil),
		t.b.Set([]byte(format.KeyErasures), binary.BigEndian.AppendUint64(nil, id), nil),
	)
}

// forget removes rows of former holders.
func (t *tx) forget(e *entry.Forget) error {
	for _, f := range e.Holders {
		if err := t.b.Delete(format.Key(nil).Former(f.Project, f.Identifier, f.Customer), nil); err != nil {
			return err
		}
	}
	return nil
}

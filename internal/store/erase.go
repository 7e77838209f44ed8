package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/identity"
	"trackway/internal/query"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// maxEntryBytes is the most bytes of events to rewrite or remove before others
// get the lock; the last event may exceed it. entry.MaxEvents limits the number
// of these events.
const maxEntryBytes = 1 << 20

// Erased describes what one erasure removed. It serves callers that keep some
// of this data in memory elsewhere. Do not keep or log it.
type Erased struct {
	query.Erasure

	// the erased customer: the survivor if the named one had been absorbed
	Customer trackway.Customer
	IDs      []trackway.Identifier // all identifiers that led to the customer until then
}

// Erase removes a customer's identifiers, and those properties of the customer
// and of its events that personal names. The events stay, on a customer that
// nobody can name any more. An absorbed customer is erased together with its
// survivor. Erase returns once that is durable; from then on no read shows the
// data. Erase also schedules [Store.CleanUp], which removes the bytes from the
// files. The schedule shows at as the time of the request.
//
// After an error or a crash, part of the erasure may be done. The identifiers
// go last, so that the caller can try again. Cost: a read of all of the
// customer's events, during which only other erasures wait; writers wait while
// some events are rewritten.
//
// The result holds exactly what was removed, including identifiers that arrived
// during the call.
func (s *Store) Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (Erased, error) {
	s.rewriting.Lock()
	defer s.rewriting.Unlock()
	e := s.newEraser(project, personal, at)
	for e.end.Outcome != entry.Done {
		if err := e.step(c); err != nil {
			return Erased{}, fmt.Errorf("erase customer %d: %w", c, err)
		}
	}
	return Erased{Erasure: query.Erasure{ID: e.end.ID, Asked: at}, Customer: e.end.Erased, IDs: e.end.Gone}, nil
}

func (s *Store) newEraser(project uint32, personal []string, at trackway.Micros) *eraser {
	e := &eraser{s: s, types: make(format.TypeNames)}
	e.end = entry.Erase{Project: project, Personal: personal, Asked: at, Outcome: entry.Stale}
	e.chunk = entry.Rewrite{Project: project, Personal: personal}
	return e
}

// eraser erases one customer. Outside the machine's lock, it searches for what
// must be removed and appends entries that each rewrite a few events: first the
// events in a snapshot, then those added to the log since. A last entry handles
// the newest events, if there are few, and removes the identifiers.
type eraser struct {
	s      *Store
	end    entry.Erase   // the last entry; it holds what the latest pass knows
	places erased.Places // where the files hold erased data
	chunk  entry.Rewrite // the next events to rewrite
	bytes  int           // of the events in chunk
	merged bool          // the customer has absorbed another one since the pass began
	types  format.TypeNames
}

// step makes progress towards the end. After a merge, it starts over, because a
// merge brings events that are not at the end of the log. If too many new
// events arrived, it handles only these.
func (e *eraser) step(c trackway.Customer) error {
	if e.end.Outcome == entry.Stale {
		if err := e.pass(c); err != nil {
			return err
		}
	}
	if err := e.catchUp(); err != nil {
		return err
	}
	if e.merged {
		e.end.Outcome = entry.Stale
		return nil
	}
	p := e.places.Of(e.end.Customer)
	e.end.Customers, e.end.Log = p.Customers, p.Log
	if err := e.s.log.Append(&e.end); err != nil {
		return err
	}
	e.end.Continued = e.end.Continued || e.end.Outcome == entry.Former
	return nil
}

// pass handles everything that exists when it begins.
func (e *eraser) pass(c trackway.Customer) error {
	e.s.mu.Lock()
	left, from := e.s.readers.Enter(), e.s.db.NewSnapshot()
	e.end.Next, e.merged = e.s.nextSeq, false
	e.s.mu.Unlock()
	defer left()
	return errors.Join(e.all(from, c), from.Close())
}

// catchUp handles new events of the log until all are done. If others keep
// writing, it stops after a few rounds, when few events are left. It does not
// check again before it returns, since that would mean waiting for a group of
// requests.
func (e *eraser) catchUp() error {
	const rounds = 5
	for round := 0; !e.merged && round < rounds; round++ {
		e.s.mu.Lock()
		end := e.s.nextSeq
		e.s.mu.Unlock()
		if end == e.end.Next {
			break
		}
		if err := errors.Join(e.newer(end), e.write()); err != nil {
			return err
		}
		e.end.Next = end
	}
	return nil
}

// all handles everything in a snapshot: the events of the customer, and the
// merges of other customers that once had one of its identifiers.
func (e *eraser) all(from pebble.Reader, c trackway.Customer) error {
	// if the customer was merged since the caller looked it up, the survivor
	// has everything
	h, err := reading.Survivor(from, e.end.Project, c)
	if err != nil {
		return err
	}
	e.end.Customer, e.end.IDs, e.chunk.Customer = h.Customer, reading.Identifiers(h.IDs), h.Customer
	former, err := reading.FormerHolders(from, e.end.Project, h.IDs)
	if err != nil {
		return err
	}
	if err := e.timelines(from, h, e.own); err != nil {
		return err
	}
	for _, f := range former {
		if f.Customer == h.Customer {
			continue
		}
		if err := e.timelines(from, f, e.former); err != nil {
			return err
		}
	}
	return e.write()
}

// timelines takes the events of a customer for which has reports that something
// must be removed.
func (e *eraser) timelines(from pebble.Reader, h *identity.Holder, has func(*trackway.Event) bool) error {
	return reading.EachOf(from, h, e.types, func(event *trackway.Event) error { return e.take(event, has(event)) })
}

// newer takes the events from Next up to, but not including, end.
func (e *eraser) newer(end uint64) error {
	return reading.Since(e.s.db, e.end.Project, e.end.Next, end, e.types, func(event *trackway.Event) error {
		if event.Customer != e.end.Customer {
			return e.take(event, e.others(event))
		}
		if event.Type == trackway.MergeType {
			marked, err := reading.IsMarked(e.s.db, event)
			if err != nil {
				return err
			}
			e.merged = e.merged || marked
		}
		return e.take(event, e.own(event))
	})
}

// own reports whether something must be removed from an event of the customer.
func (e *eraser) own(event *trackway.Event) bool {
	// even if an interrupted erasure has already rewritten it
	e.places.Add(event.Seq, event.Customer)
	return erased.WithoutPersonal(event, e.end.Personal) != nil
}

// others reports whether something must be removed from an event of another
// customer: a merge may name the erased one.
func (e *eraser) others(event *trackway.Event) bool {
	return event.Type == trackway.MergeType && erased.WithoutIDs(event, e.end.IDs) != nil
}

// former is like others, for customers that once had an identifier. An
// interrupted erasure may have rewritten a merge of theirs. Such a merge has
// nothing more to lose, but the files may still hold its old form.
func (e *eraser) former(event *trackway.Event) bool {
	if event.Type == trackway.MergeType {
		e.places.Add(event.Seq, event.Customer)
	}
	return e.others(event)
}

// take adds an event to those to rewrite.
func (e *eraser) take(event *trackway.Event, has bool) error {
	if !has {
		return nil
	}
	e.chunk.Events = append(e.chunk.Events, event.Seq)
	if e.bytes += len(event.Properties); len(e.chunk.Events) < entry.MaxEvents && e.bytes < maxEntryBytes {
		return nil
	}
	return e.write()
}

// write appends the entry that rewrites the events.
func (e *eraser) write() error {
	if len(e.chunk.Events) == 0 {
		return nil
	}
	if err := e.s.log.Append(&e.chunk); err != nil {
		return err
	}
	for _, p := range e.chunk.Places {
		e.places.Add(p.Seq, p.Customer)
	}
	e.chunk.Events, e.bytes = e.chunk.Events[:0], 0
	return nil
}

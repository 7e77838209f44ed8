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

// maxEntryBytes is how many bytes of events are rewritten or removed, at most
// and but for the last of them, before others are let in. There are no more
// than entry.MaxEvents of these events.
const maxEntryBytes = 1 << 20

// Erased is what one erasure took away. It is for those who keep something of
// it elsewhere, in memory, and is not to be kept or logged.
type Erased struct {
	query.Erasure

	Customer trackway.Customer     // who was erased: the survivor, if the one that was named had been absorbed
	IDs      []trackway.Identifier // all that led to the customer up to that moment
}

// Erase removes a customer's identifiers and those properties, of the customer
// and of its events, that personal names. The events stay, on a customer that
// nobody can name any more. A customer that has been absorbed is erased with
// its survivor. It returns once that is durable; no read shows the data after
// that. The files lose the bytes by [Store.CleanUp], which the call schedules:
// at is the time that stands in the schedule.
//
// After an error or a crash part of it may be done; the identifiers go last, so
// that the caller can ask again. Cost: a read of all of the customer's events,
// with nobody waiting but other erasures; writers wait while some events are
// written again.
//
// What it returns is exactly what went: also identifiers that came while it
// ran.
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

// eraser erases one customer. It looks for what has to go outside the machine's
// lock and appends entries that write it again, a few events each: first what a
// snapshot shows, then what came to the log since. The end, one more entry,
// does what came meanwhile, if that is little, and takes the identifiers away.
type eraser struct {
	s      *Store
	end    entry.Erase   // the end; what the last pass knows is in it
	places erased.Places // where the files hold what was erased
	chunk  entry.Rewrite // what is written again next
	bytes  int           // of these events
	merged bool          // the customer has absorbed another one since the pass began
	types  format.TypeNames
}

// step comes nearer to the end. A merge brings events that are not at the log's
// end, so after one all is looked at again. If too much came, only that is.
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

// pass does all that there is when it begins.
func (e *eraser) pass(c trackway.Customer) error {
	e.s.mu.Lock()
	left, from := e.s.readers.Enter(), e.s.db.NewSnapshot()
	e.end.Next, e.merged = e.s.nextSeq, false
	e.s.mu.Unlock()
	defer left()
	return errors.Join(e.all(from, c), from.Close())
}

// catchUp does what has come to the log until nothing is left or, if others go
// on writing, a few times: then little is left. It does not look again before it
// returns, since that means to wait for a group of requests.
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

// all does what a snapshot shows: the events of the customer, and the merges of
// others who had one of its identifiers once.
func (e *eraser) all(from pebble.Reader, c trackway.Customer) error {
	h, err := reading.Survivor(from, e.end.Project, c) // merged since the caller asked who it is: the survivor has it all
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

// timelines takes in the events of a customer for which has tells that
// something has to go.
func (e *eraser) timelines(from pebble.Reader, h *identity.Holder, has func(*trackway.Event) bool) error {
	return reading.EachOf(from, h, e.types, func(event *trackway.Event) error { return e.take(event, has(event)) })
}

// newer takes in the events from Next up to, not including, end.
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

// own tells whether something of one of the customer's events has to go.
func (e *eraser) own(event *trackway.Event) bool {
	e.places.Add(event.Seq, event.Customer) // also where an erasure that was cut off has rewritten it
	return erased.WithoutPersonal(event, e.end.Personal) != nil
}

// others tells whether something of somebody else's event has to go: a merge
// may name the customer.
func (e *eraser) others(event *trackway.Event) bool {
	return event.Type == trackway.MergeType && erased.WithoutIDs(event, e.end.IDs) != nil
}

// former is others for those who had an identifier once: an erasure that was
// cut off may have rewritten a merge of theirs, so that it has nothing more to
// lose, while the files still hold it as it was.
func (e *eraser) former(event *trackway.Event) bool {
	if event.Type == trackway.MergeType {
		e.places.Add(event.Seq, event.Customer)
	}
	return e.others(event)
}

// take notes an event that has to be written again.
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

// write has the events written again.
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

package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/query"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// maxLast is how many events of the log, of all customers, the end of an erasure looks at under the lock. It is more than what one hold
// of the lock by others adds: where writers queue for the lock one of them always comes in between.
const maxLast = 2 * maxGroup

// Erased is what one erasure took away. It is for those who keep something of
// it elsewhere, in memory, and is not to be kept or logged.
type Erased struct {
	query.Erasure

	Customer trackway.Customer     // who was erased: the survivor, if the one that was named had been absorbed
	IDs      []trackway.Identifier // all that led to the customer up to that moment
}

// Erase removes a customer's identifiers and those properties, of the customer and of its events, that personal names. The
// events stay, on a customer that nobody can name any more. A customer that has been absorbed is erased with its survivor.
// It returns once that is durable; no read shows the data after that. The files lose the bytes by [Store.CleanUp], which the
// call schedules: at is the time that stands in the schedule.
//
// After an error or a crash part of it may be done; the identifiers go last, so that the caller can ask again. Cost: a read
// of all of the customer's events, with nobody waiting but other erasures and [Store.Expire]; writers wait while up to
// maxRewritten events are written again at once.
//
// What it returns is exactly what went: also identifiers that came while it ran.
func (s *Store) Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (Erased, error) {
	done, err := s.erase(project, c, personal, at)
	if err != nil {
		return Erased{}, fmt.Errorf("erase customer %d: %w", c, err)
	}
	return done, s.barrier()
}

// erase does what a snapshot shows, then what came to the log since, and at the end, under the lock, what came meanwhile, with
// the identifiers. A merge brings events that are not at the log's end: then all is done once more. Where too much came, only that is.
func (s *Store) erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (done Erased, err error) {
	s.rewriting.Lock()
	defer s.rewriting.Unlock()
	e := s.newEraser(project, personal)
	e.asked = at
	for done.ID == 0 && err == nil {
		if !e.passed {
			err = e.pass(c)
		}
		if err == nil {
			err = e.fewerFormer()
		}
		if err == nil {
			err = e.catchUp()
		}
		if err == nil {
			done, err = e.finish(c, at)
		}
	}
	return done, err
}

func (s *Store) newEraser(project uint32, personal []string) *eraser {
	return &eraser{rewriter: rewriter{s: s, project: project, types: make(format.TypeNames)}, personal: personal}
}

// eraser erases one customer. The store's rewriting is held.
type eraser struct {
	rewriter

	personal []string
	asked    trackway.Micros

	// What the last pass knows.
	passed   bool // it is of use
	customer trackway.Customer
	ids      []identity.ID
	next     uint64 // the log is done up to this sequence number
	merged   bool   // the customer has absorbed another one since the pass began
}

// pass does all that there is when it begins.
func (e *eraser) pass(c trackway.Customer) error {
	e.s.mu.Lock()
	left, from := e.s.readers.Enter(), e.s.db.NewSnapshot()
	e.next, e.merged = e.s.nextSeq, false
	e.s.mu.Unlock()
	defer left()
	err := e.all(from, c)
	e.passed = true
	return errors.Join(err, from.Close())
}

// catchUp does what has come to the log until nothing is left or, where others go on writing, only maxLast events.
func (e *eraser) catchUp() error {
	const rounds = 4 // after which little more is left than comes in the time of one
	for round := 0; !e.merged; round++ {
		e.s.mu.Lock()
		end := e.s.nextSeq
		e.s.mu.Unlock()
		if end == e.next || round >= rounds && end-e.next <= maxLast {
			break
		}
		if err := errors.Join(e.newer(end), e.write()); err != nil {
			return err
		}
		e.next = end
	}
	return nil
}

// all does what a snapshot shows: the events of the customer, and the merges of others who had one of its identifiers once.
func (e *eraser) all(from pebble.Reader, c trackway.Customer) error {
	h, err := reading.Survivor(from, e.project, c) // merged since the caller asked who it is: the survivor has it all
	if err != nil {
		return err
	}
	e.customer, e.ids = h.Customer, h.IDs
	former, err := reading.FormerHolders(from, e.project, h.IDs)
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
		if err := e.timelines(from, f, e.places.Noting(e.others)); err != nil {
			return err
		}
	}
	return e.write()
}

// newer takes in the events from next up to, not including, end.
func (e *eraser) newer(end uint64) error {
	return e.log(e.next, end, func(event *trackway.Event) ([]byte, error) {
		if event.Customer != e.customer {
			return e.others(event)
		}
		if event.Type == trackway.MergeType {
			marked, err := reading.IsMarked(e.s.db, event)
			if err != nil {
				return nil, err
			}
			e.merged = e.merged || marked
		}
		return e.own(event)
	})
}

// own returns what is left of the properties of one of the customer's events, nil if nothing has to go.
func (e *eraser) own(event *trackway.Event) ([]byte, error) {
	e.places.Add(event.Seq, event.Customer) // also where an erasure that was cut off has rewritten it
	return erased.WithoutPersonal(event, e.personal), nil
}

// others returns what is left of somebody else's event: a merge may name the customer.
func (e *eraser) others(event *trackway.Event) ([]byte, error) {
	if event.Type != trackway.MergeType {
		return nil, nil
	}
	return erased.WithoutIDs(event, e.ids), nil
}

// finish does the rest under the lock. It returns no erasure where there is too much of that, or the pass is of no use.
func (e *eraser) finish(c trackway.Customer, at trackway.Micros) (done Erased, err error) {
	s := e.s
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := reading.Survivor(s.db, e.project, c)
	if err != nil {
		return done, err
	}
	e.locked = true
	defer func() { e.staged, e.bytes, e.locked = nil, 0, false }() // of no use where this pass was not the last one
	e.passed = !e.merged && h.Customer == e.customer && e.knows(h.IDs)
	if !e.passed || s.nextSeq-e.next > maxLast {
		return done, nil
	}
	if err := e.newer(s.nextSeq); err != nil || e.merged {
		e.passed = false
		return done, err
	}
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // gives memory back
	ids := reading.Identifiers(h.IDs)
	if err := errors.Join(e.stage(b), e.holder(b, h)); err != nil {
		return done, err
	}
	id := s.nextErasure
	record := erased.Record{Project: e.project, Asked: at, Places: e.places.Of(h.Customer)}
	err = errors.Join(b.Set(format.Key(nil).Erasure(id), erased.Append(nil, record), nil), b.Commit(pebble.NoSync))
	if err != nil {
		return done, err
	}
	s.nextErasure++
	s.pending.Add(id, at)
	s.versions.Changed(e.project)
	return Erased{Erasure: query.Erasure{ID: id, Asked: at}, Customer: h.Customer, IDs: ids}, nil
}

// knows tells whether the last pass has looked for all of these identifiers.
func (e *eraser) knows(ids []identity.ID) bool {
	return !slices.ContainsFunc(ids, func(id identity.ID) bool {
		return !slices.ContainsFunc(e.ids, func(known identity.ID) bool { return known.Identifier == id.Identifier })
	})
}

// holder erases identifiers and properties.
func (e *eraser) holder(b *pebble.Batch, h *identity.Holder) error {
	for _, name := range e.personal {
		key := format.AppendPropKey(nil, h.Customer, name)
		_, closer, err := e.s.db.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		h.Properties--
		if err := errors.Join(closer.Close(), b.Delete(key, nil)); err != nil {
			return err
		}
	}
	for _, id := range h.IDs {
		if err := e.identifier(b, id.Identifier); err != nil {
			return err
		}
	}
	e.s.cache.ForgetHolder(h.Customer)
	h.IDs = nil
	return b.Set(format.AppendCustomerKey(nil, e.project, h.Customer), format.AppendHolder(nil, h), nil)
}

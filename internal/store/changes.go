package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/store/damage"
	"trackway/internal/store/follow"
	"trackway/internal/store/reading"
	"trackway/internal/store/recent"
)

// durable waits until all that was committed before is on the disk, and shows it
// to those who follow.
func (s *Store) durable() error {
	s.mu.Lock()
	last := s.nextSeq - 1
	s.mu.Unlock()
	if err := s.barrier(); err != nil {
		return err
	}
	s.synced.Raise(last)
	return nil
}

// eachEvent calls do for the events of the log from a sequence number up to, not
// including, another, in order, until do returns false. The event is valid only
// during the call.
//
// What cannot be read is noted and passed over: one event that is lost must not
// keep those behind it from being counted at an opening, or from expiring.
func (s *Store) eachEvent(from, to uint64, do func(*trackway.Event) bool) error {
	return reading.Log(s.db, from, to, s.noteEvent, do)
}

// noteEvent notes an event or another change that cannot be read, or an event
// that is not found in a timeline.
func (s *Store) noteEvent(seq uint64, err error) {
	s.damaged.Note(damage.Event, fmt.Sprintf("event %d", seq), err)
}

// stageInto has a stager stage changes in a batch, the first under the number
// next. The store's lock is held.
func (s *Store) stageInto(st *recent.Stager, b *pebble.Batch, next uint64) {
	st.From, st.Batch, st.Next, st.New = s.db, b, next, s.nextCustomer
	if st.Lost == nil {
		st.Lost = func(what string, err error) { s.damaged.Note(damage.Event, what, err) }
	}
}

// stageErased stages that something was erased from the customers on whose
// timelines these are, and from their events, and returns the number that comes
// next. The one who was erased, if that is done with this batch, is told apart;
// 0: not yet. The store's lock is held.
func (s *Store) stageErased(b *pebble.Batch, project uint32, owners []trackway.Customer, erased trackway.Customer) (next uint64, err error) {
	kinds := make(map[trackway.Customer]change.Kind)
	if erased != 0 {
		kinds[erased] = change.Erased
	}
	for _, owner := range owners {
		h, err := reading.Survivor(s.db, project, owner)
		if err != nil {
			return 0, err
		}
		kinds[h.Customer] = max(kinds[h.Customer], change.Rewritten)
	}
	var st recent.Stager
	s.stageInto(&st, b, s.nextSeq)
	for _, c := range slices.Sorted(maps.Keys(kinds)) {
		if err := st.Add(change.Change{Kind: kinds[c], Project: project, Customer: c}); err != nil {
			return 0, err
		}
	}
	return st.Next, nil
}

// SetCursor stores under a name how far somebody who follows the changes has
// come; [change.NoCursor] forgets the name. No event behind the lowest cursor
// expires. It does not wait for the disk: after a crash the cursor may be where
// it was before, and its owner is told again what came since.
func (s *Store) SetCursor(name string, number uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // gives memory back
	if err := errors.Join(follow.SetCursor(b, name, number), b.Commit(pebble.NoSync)); err != nil {
		return fmt.Errorf("set cursor %q to %d: %w", name, number, err)
	}
	return nil
}

// Cursors returns where all cursors stand, by name.
func (s *Store) Cursors() (map[string]uint64, error) { return follow.Cursors(s.db) }

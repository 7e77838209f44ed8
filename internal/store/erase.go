package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/query"
	"trackway/internal/store/format"
	"trackway/internal/wire"
)

// eraseBatch is how many bytes an erasure stages before it commits them: a customer's events may be more than fit in memory.
const eraseBatch = 4 << 20

// Erase removes a customer's identifiers and those properties, of the customer and of its events, that personal names. The
// events stay, on a customer that nobody can name any more. A customer that has been absorbed is erased with its survivor.
// It returns once that is durable; no read shows the data after that. The files lose the bytes by [Store.CleanUp], which the
// call schedules: at is the time that stands in the schedule.
//
// After an error or a crash part of it may be done; the identifiers go last, so that the caller can ask again. Cost: a read
// of all of the customer's events, with writers waiting.
func (s *Store) Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (query.Erasure, error) {
	id, err := s.erase(project, c, personal, at)
	if err != nil {
		return query.Erasure{}, fmt.Errorf("erase customer %d: %w", c, err)
	}
	return query.Erasure{ID: id, Asked: at}, s.barrier()
}

func (s *Store) erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (id uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.versions.changed(project) // also where only a part was done
	h, err := s.survivor(project, c)  // merged since the caller asked who it is: the survivor has it all
	if err != nil {
		return 0, err
	}
	timelines, err := timelinesOf(s.db, h)
	if err != nil {
		return 0, err
	}
	e := eraser{s: s, b: s.db.NewBatch(), personal: personal, places: places{customers: timelines}}
	defer func() { _ = e.b.Close() }() // gives memory back
	for _, owner := range timelines {
		if err := e.events(owner); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(e.others(project, h), e.holder(project, h)); err != nil {
		return 0, err
	}
	id = s.nextErasure
	err = errors.Join(
		e.b.Set(erasureKey(id), appendErasure(nil, erasure{project: project, asked: at, places: e.places}), nil),
		e.b.Commit(pebble.NoSync),
	)
	if err == nil {
		s.nextErasure++
		s.pending[id] = at
	}
	return id, err
}

// eraser stages an erasure, under the store's lock.
type eraser struct {
	s        *Store
	b        *pebble.Batch
	personal []string
	places   places // where the files hold what is erased
}

// holder erases identifiers and properties.
func (e *eraser) holder(project uint32, h *identity.Holder) error {
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
		if err := errors.Join(closer.Close(), e.b.Delete(key, nil)); err != nil {
			return err
		}
	}
	for _, id := range h.IDs {
		if err := e.identifier(project, id.Identifier); err != nil {
			return err
		}
	}
	e.s.cache.ForgetHolder(h.Customer)
	h.IDs = nil
	return e.b.Set(format.AppendCustomerKey(nil, project, h.Customer), format.AppendHolder(nil, h), nil)
}

func (e *eraser) identifier(project uint32, id trackway.Identifier) error {
	key := format.AppendIDKey(nil, project, id)
	e.s.cache.ForgetID(key)
	if err := e.b.Delete(key, nil); err != nil {
		return err
	}
	prefix := format.AppendFormerPrefix(nil, project, id)
	return scan(e.s.db, prefix, func(c, _ []byte) error { return e.b.Delete(slices.Concat(prefix, c), nil) })
}

// events erases personal properties from the events recorded on one customer.
func (e *eraser) events(c trackway.Customer) error {
	prefix := format.AppendTimelinePrefix(nil, c)
	return scan(e.s.db, prefix, func(rest, entry []byte) error {
		seq, n := binary.Uvarint(entry)
		if n <= 0 {
			return format.ErrCorrupt
		}
		if err := e.event(seq, c, slices.Concat(prefix, rest), len(entry) > n); err != nil {
			return fmt.Errorf("event %d: %w", seq, err)
		}
		if e.b.Len() < eraseBatch {
			return nil
		}
		if err := errors.Join(e.b.Commit(pebble.NoSync), e.b.Close()); err != nil {
			return err
		}
		e.b = e.s.db.NewBatch()
		return nil
	})
}

// event rewrites an event without what is personal. Its entry in the timeline must not end in a hash of what was erased, so
// it ends in its sequence number from then on.
func (e *eraser) event(seq uint64, owner trackway.Customer, timelineKey []byte, merge bool) error {
	event, err := readEvent(e.s.db, seq)
	if err != nil {
		return err
	}
	e.places.add(seq, event.Customer)
	kept := e.withoutPersonal(&event, merge)
	if kept == nil {
		return nil
	}
	event.Properties = kept
	return errors.Join(
		e.b.Set(format.AppendLogKey(nil, seq), format.AppendEvent(nil, &event), nil),
		e.b.Delete(timelineKey, nil),
		e.b.Set(format.AppendTimelineKey(nil, owner, event.Time, seq), binary.AppendUvarint(nil, seq), nil),
	)
}

func readEvent(from pebble.Reader, seq uint64) (trackway.Event, error) {
	record, closer, err := from.Get(format.AppendLogKey(nil, seq))
	if err != nil {
		return trackway.Event{}, err
	}
	event, err := format.DecodeEvent(seq, record)
	return event, errors.Join(err, closer.Close())
}

// withoutPersonal returns what is left of the event's properties, nil if nothing has to go. Of a merge nothing is left: it
// holds identifiers.
func (e *eraser) withoutPersonal(event *trackway.Event, merge bool) []byte {
	properties := wire.SplitObject(event.Properties)
	kept := slices.DeleteFunc(slices.Clone(properties), func(p trackway.Property) bool {
		return merge || slices.Contains(e.personal, p.Name)
	})
	if len(kept) == len(properties) {
		return nil
	}
	return wire.AppendObject(nil, kept)
}

// others erases the identifiers from merges of other customers, who had them once.
func (e *eraser) others(project uint32, h *identity.Holder) error {
	former, err := e.s.formerHolders(project, h.IDs)
	if err != nil {
		return err
	}
	for _, f := range former {
		if f.Customer == h.Customer {
			continue
		}
		timelines, err := timelinesOf(e.s.db, f)
		if err != nil {
			return err
		}
		for _, c := range timelines {
			if err := e.merges(c, h.IDs); err != nil {
				return err
			}
		}
	}
	return nil
}

// merges erases identifiers from the merges on somebody else's timeline.
func (e *eraser) merges(c trackway.Customer, ids []identity.ID) error {
	return scan(e.s.db, format.AppendTimelinePrefix(nil, c), func(_, entry []byte) error {
		seq, n := binary.Uvarint(entry)
		if n <= 0 {
			return format.ErrCorrupt
		}
		if len(entry) == n {
			return nil // it was sent by a client
		}
		event, err := readEvent(e.s.db, seq)
		if err != nil {
			return err
		}
		kept := withoutIDs(&event, ids)
		if kept == nil {
			return nil
		}
		event.Properties = kept
		e.places.add(seq, event.Customer)
		return e.b.Set(format.AppendLogKey(nil, seq), format.AppendEvent(nil, &event), nil)
	})
}

// withoutIDs returns a merge's properties without these identifiers, nil if it has none of them.
func withoutIDs(merge *trackway.Event, ids []identity.ID) []byte {
	erased := func(id trackway.Identifier) bool {
		return slices.ContainsFunc(ids, func(e identity.ID) bool { return e.Name == id.Name && e.Value == id.Value })
	}
	if !slices.ContainsFunc(mergeIDs(merge), erased) {
		return nil
	}
	properties := wire.SplitObject(merge.Properties)
	for i := range properties {
		p := &properties[i]
		p.Value = wire.AppendIDs(nil, slices.DeleteFunc(wire.SplitIDs(p.Value), erased))
	}
	return wire.AppendObject(nil, properties)
}

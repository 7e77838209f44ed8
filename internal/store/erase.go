package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/wire"
)

// eraseBatch is how many bytes an erasure stages before it commits them: a customer's events may be more than fit in memory.
const eraseBatch = 4 << 20

// Erase removes a customer's identifiers and those properties, of the customer and of its events, that personal names. The
// events stay, on a customer that nobody can name any more. A customer that has been absorbed is erased with its survivor.
// It returns once that is durable; no read shows the data after that. The files lose the bytes when the store next compacts them.
//
// After an error or a crash part of it may be done; the identifiers go last, so that the caller can ask again. Cost: a read
// of all of the customer's events, with writers waiting.
func (s *Store) Erase(project uint32, c trackway.Customer, personal []string) error {
	if err := s.erase(project, c, personal); err != nil {
		return fmt.Errorf("erase customer %d: %w", c, err)
	}
	return s.barrier()
}

func (s *Store) erase(project uint32, c trackway.Customer, personal []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.versions.changed(project) // also where only a part was done
	h, err := readHolder(s.db, project, c)
	for err == nil && h.MergedInto != 0 { // merged since the caller asked who it is: the survivor has it all
		h, err = readHolder(s.db, project, h.MergedInto)
	}
	if err != nil {
		return err
	}
	timelines, err := timelinesOf(s.db, h)
	if err != nil {
		return err
	}
	e := eraser{s: s, b: s.db.NewBatch(), personal: personal}
	defer func() { _ = e.b.Close() }() // gives memory back
	for _, owner := range timelines {
		if err := e.events(owner); err != nil {
			return err
		}
	}
	if err := e.holder(project, h); err != nil {
		return err
	}
	return e.b.Commit(pebble.NoSync)
}

// eraser stages an erasure, under the store's lock.
type eraser struct {
	s        *Store
	b        *pebble.Batch
	personal []string
}

// holder erases identifiers and properties.
func (e *eraser) holder(project uint32, h *identity.Holder) error {
	for _, name := range e.personal {
		key := appendPropKey(nil, h.Customer, name)
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
		key := appendIDKey(nil, project, id.Identifier)
		e.s.cache.forgetID(key)
		if err := e.b.Delete(key, nil); err != nil {
			return err
		}
	}
	e.s.cache.forgetHolder(h.Customer)
	h.IDs = nil
	return e.b.Set(appendCustomerKey(nil, project, h.Customer), appendHolder(nil, h), nil)
}

// events erases personal properties from the events recorded on one customer.
func (e *eraser) events(c trackway.Customer) error {
	prefix := appendTimelinePrefix(nil, c)
	return scan(e.s.db, prefix, func(rest, entry []byte) error {
		seq, n := binary.Uvarint(entry)
		if n <= 0 {
			return errCorrupt
		}
		if err := e.event(seq, c, slices.Concat(prefix, rest)); err != nil {
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
func (e *eraser) event(seq uint64, owner trackway.Customer, timelineKey []byte) error {
	record, closer, err := e.s.db.Get(appendLogKey(nil, seq))
	if err != nil {
		return err
	}
	event, err := decodeEvent(seq, record)
	if err := errors.Join(err, closer.Close()); err != nil {
		return err
	}
	kept := e.withoutPersonal(&event)
	if kept == nil {
		return nil
	}
	event.Properties = kept
	return errors.Join(
		e.b.Set(appendLogKey(nil, seq), appendEvent(nil, &event), nil),
		e.b.Delete(timelineKey, nil),
		e.b.Set(appendTimelineKey(nil, owner, event.Time, seq), binary.AppendUvarint(nil, seq), nil),
	)
}

// withoutPersonal returns what is left of the event's properties, nil if nothing has to go. Of a merge nothing is left: it
// holds identifiers.
func (e *eraser) withoutPersonal(event *trackway.Event) []byte {
	properties := wire.SplitObject(event.Properties)
	kept := slices.DeleteFunc(slices.Clone(properties), func(p trackway.Property) bool {
		return event.Type == mergeType || slices.Contains(e.personal, p.Name)
	})
	if len(kept) == len(properties) {
		return nil
	}
	return wire.AppendObject(nil, kept)
}

package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/query"
	"trackway/internal/sleep"
	"trackway/internal/store/follow"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
	"trackway/internal/store/repeats"
	"trackway/internal/store/scrub"
)

// expireRest is how long others have the store to themselves after each batch
// of removed events.
const expireRest = 2 * time.Millisecond

// Expire removes expired events from sequence number from up to, but not
// including, to. An event has expired if its time, or its receipt if that is
// earlier, is before the time that before returns for its project and type;
// [query.Forever] keeps all events. Customers stay, and so do the counts,
// except for the number of stored events. Expire records what it cannot read,
// and leaves it in place. It does not wait for the disk: after a crash there is
// only more to remove. If ctx ends, it stops between two batches. Events that a
// follower does not have yet stay: see [change.Copy]. Events that an erasure
// has rewritten stay until the destinations that have the old form have heard
// of it.
//
// Cost: a read of these records of the log, during which only erasures wait.
// Writers wait while up to 128 events are removed at once, with a total size of
// up to 1 MiB plus one event.
func (s *Store) Expire(
	ctx context.Context, from, to uint64, before func(project uint32, typ string) trackway.Micros,
) (query.Expired, error) {
	s.rewriting.Lock() // an erasure must not rewrite an event between the decision to remove it and its removal
	defer s.rewriting.Unlock()
	holds, err := follow.NewHolds(s.db, s.copies.List())
	if err != nil {
		return query.Expired{}, err
	}
	held := holds.Lowest < to-1
	if held {
		to = holds.Lowest + 1
	}
	x, old, err := s.tooOld(from, to, before, holds)
	x.End = x.End || held
	if err == nil && len(old) > 0 {
		err = s.counts.Save() // so that no entry does it while others wait
	}
	through := uint64(0)
	for err == nil && len(old) > 0 {
		if err = context.Cause(ctx); err != nil {
			break
		}
		e := entry.Expire{Events: old[0]}
		if err = s.log.Append(&e); err == nil {
			through = e.Events[len(e.Events)-1]
		}
		if e.Removed < len(e.Events) {
			x.Soonest = 0 // look at the remaining events again
		}
		if old, x.Removed = old[1:], x.Removed+e.Removed; err == nil && len(old) > 0 {
			err = sleep.For(ctx, expireRest)
		}
	}
	holds.Missed(through, s.copies.Missed)
	if x.Removed > 0 { // followers learn of it; nobody else waits for the disk
		err = errors.Join(err, s.Sync())
	}
	if err != nil {
		return x, fmt.Errorf("expire events %d to %d: %w", from, to, err)
	}
	return x, nil
}

// tooOld reads the log and lists the events to remove, in parts of one entry
// each. It keeps only their numbers, since applying an entry reads the events
// again.
func (s *Store) tooOld(
	from, to uint64, before func(uint32, string) trackway.Micros, holds *follow.Holds,
) (x query.Expired, old [][]uint64, err error) {
	s.mu.Lock()
	// set before reading the log: a later call handles what is added meanwhile
	x.Soonest, x.End = query.Never, to > s.nextSeq
	s.mu.Unlock()
	size := 0 // bytes of the events in the last part
	err = s.eachEvent(from, to, func(e *trackway.Event) bool {
		// otherwise an event from the future would stay for as long as its
		// client likes
		at := min(e.Time, e.Received)
		switch bound := before(e.Project, e.Type); {
		case bound == query.Forever:
		case at < bound && !holds.Release(e):
			x.Soonest = 0
		case at < bound:
			n := len(old) - 1
			if n < 0 || len(old[n]) == entry.MaxEvents || size >= maxEntryBytes {
				old, n, size = append(old, nil), n+1, 0
			}
			old[n] = append(old[n], e.Seq)
			size += len(e.Properties)
		default:
			x.Soonest = min(x.Soonest, at-bound)
		}
		return true
	})
	return x, old, err
}

// expire removes events together with their timeline entries. It records an
// event that cannot be read, or whose entry cannot be read, and leaves it in
// place.
func (t *tx) expire(e *entry.Expire) error {
	e.Removed = 0
	if n := len(e.Events); n > 0 {
		// An opening counts what was not saved, and would not find these
		// events.
		if err := t.m.counts.SaveThrough(slices.Max(e.Events)); err != nil {
			return err
		}
	}
	last := uint64(0)
	for _, seq := range e.Events {
		if seq <= last {
			continue
		}
		last = seq
		event, err := reading.Event(t.from, seq)
		if errors.Is(err, pebble.ErrNotFound) {
			continue // already removed
		}
		var key []byte
		if err == nil {
			key, err = reading.Entry(t.from, &event, t.m.key.Load().Hash(event.Type, event.Properties))
		}
		if err != nil {
			t.m.noteEvent(seq, err)
			continue
		}
		if err := repeats.Forget(t.from, t.b, &event); err != nil {
			return err
		}
		if err := t.remove(&event, key); err != nil {
			return err
		}
		e.Removed++
	}
	return nil
}

func (t *tx) remove(event *trackway.Event, entry []byte) error {
	t.m.usage.Add(event.Project, event.Received, query.Usage{Expired: 1})
	t.touch(event.Project)
	t.noteExpired(event)
	return errors.Join(t.b.Delete(format.AppendLogKey(nil, event.Seq), nil), t.b.Delete(entry, nil))
}

// Newest returns when the last event of the log was received, or 0 if there are
// no events.
func (s *Store) Newest() (at trackway.Micros, err error) {
	err = reading.ScanRange(s.db, []byte{format.TableLog}, []byte{format.TableLog + 1}, true, func(key, record []byte) error {
		e, err := format.DecodeEvent(binary.BigEndian.Uint64(key[1:]), record)
		at = e.Received
		return cmp.Or(err, reading.ErrStop)
	})
	return at, err
}

// Reclaim frees the space of events that were removed from the log between two
// sequence numbers. Their timeline entries are small, and free their space at
// the next regular compaction.
func (s *Store) Reclaim(ctx context.Context, from, to uint64) error {
	done := s.engine.Hurry()
	defer done()
	return s.scrubber().Compact(ctx, scrub.Span{Start: format.AppendLogKey(nil, from), End: format.AppendLogKey(nil, to+1)})
}

package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/sleep"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
	"trackway/internal/store/scrub"
	"trackway/internal/store/timeline"
	"trackway/internal/store/totals"
)

// keyNextSeq says which sequence number comes next where the last record of the log is gone.
var keyNextSeq = []byte("mnextseq")

// How many events are removed before other writers are let in, and for how long these have the store for themselves then.
const (
	maxExpired = 128
	expireRest = 2 * time.Millisecond
)

// Expire removes those of the events from sequence number from up to, not including, to whose time, or receipt if that is
// earlier, is before what before returns for their project and type; [query.Forever] keeps them all. Customers stay, and so does what was counted, but for how
// many events there are. What cannot be read is noted, and stays. It does not wait for the disk: after a crash there is more to remove,
// that is all. When ctx ends, it stops between two batches.
//
// Cost: a read of these records of the log, with nobody waiting; writers wait while up to 128 events are removed at once.
func (s *Store) Expire(
	ctx context.Context, from, to uint64, before func(project uint32, typ string) trackway.Micros,
) (query.Expired, error) {
	x, old, err := s.tooOld(from, to, before)
	if err == nil && len(old) > 0 {
		err = s.counts.Save() // or an opening, which counts what was not saved, would not find them
	}
	for err == nil && len(old) > 0 {
		if err = context.Cause(ctx); err != nil {
			break
		}
		n := min(len(old), maxExpired)
		var removed int
		if removed, err = s.expire(old[:n]); removed < n {
			x.Soonest = 0 // what stays is looked at again
		}
		if old, x.Removed = old[n:], x.Removed+removed; len(old) > 0 {
			err = sleep.For(ctx, expireRest)
		}
	}
	if err != nil {
		return x, fmt.Errorf("expire events %d to %d: %w", from, to, err)
	}
	return x, nil
}

// tooOld reads the log and lists what is to be removed.
func (s *Store) tooOld(from, to uint64, before func(uint32, string) trackway.Micros) (x query.Expired, old []uint64, err error) {
	s.mu.Lock()
	x.Soonest, x.End = query.Never, to > s.nextSeq // before the log is read, so that what is added meanwhile is looked at another time
	s.mu.Unlock()
	err = s.eachEvent(from, to, func(e *trackway.Event) bool {
		at := min(e.Time, e.Received) // an event from the future would stay for as long as its client likes
		switch bound := before(e.Project, e.Type); {
		case bound == query.Forever:
		case at < bound:
			old = append(old, e.Seq)
		default:
			x.Soonest = min(x.Soonest, at-bound)
		}
		return true
	})
	return x, old, err
}

// expire removes events, each with its entry in the timeline, and returns how many. What they are and where their entries are is read
// before writers have to wait; a merge may move some of these meanwhile. One whose entry cannot be read is noted, and stays.
func (s *Store) expire(old []uint64) (removed int, err error) {
	s.rewriting.Lock()
	defer s.rewriting.Unlock()
	found := make([]rewritten, 0, len(old))
	for _, seq := range old {
		e, err := reading.Event(s.db, seq)
		if errors.Is(err, pebble.ErrNotFound) {
			continue // another call was faster
		} else if err != nil {
			s.noteEvent(seq, err)
			continue
		}
		tail := timeline.ContentHash(&e)
		entry, _ := reading.Entry(s.db, &e, tail) // where it is not found, it is looked for under the lock
		found = append(found, rewritten{event: e, entry: entry, tail: tail})
	}
	return s.remove(found)
}

// remove removes events under the lock.
func (s *Store) remove(events []rewritten) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // gives memory back
	removed := make(map[totals.Day]uint64)
	for i := range events {
		e := &events[i].event
		key, _, err := s.entryOf(&events[i])
		if err != nil {
			s.noteEvent(e.Seq, err)
			continue
		}
		if err := errors.Join(b.Delete(format.AppendLogKey(nil, e.Seq), nil), b.Delete(key, nil)); err != nil {
			return 0, err
		}
		n++
		removed[totals.Day{Project: e.Project, Day: query.DayOf(e.Received)}]++
		if e.Seq == s.nextSeq-1 {
			if err := b.Set(keyNextSeq, binary.BigEndian.AppendUint64(nil, s.nextSeq), nil); err != nil {
				return 0, err
			}
		}
	}
	changed, err := s.stageExpired(b, removed)
	if err != nil {
		return 0, err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return 0, err
	}
	for day, total := range changed {
		s.setUsageLocked(day, total)
	}
	for day := range removed {
		s.versions.Changed(day.Project)
	}
	return n, nil
}

// stageExpired stages the totals of days from which so many events are removed, and returns them.
func (s *Store) stageExpired(b *pebble.Batch, removed map[totals.Day]uint64) (map[totals.Day]query.Usage, error) {
	changed := make(map[totals.Day]query.Usage)
	for day, n := range removed {
		total, err := s.usageLocked(day)
		if err != nil {
			s.noteDamage(day, err)
			continue
		}
		changed[day] = total.Plus(query.Usage{Expired: n})
		if err := b.Set(totals.AppendKey(nil, day), totals.Append(nil, changed[day]), nil); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// Newest returns when the last event of the log was received, 0 where there is none.
func (s *Store) Newest() (at trackway.Micros, err error) {
	err = reading.ScanRange(s.db, []byte{format.TableLog}, []byte{format.TableLog + 1}, true, func(key, record []byte) error {
		e, err := format.DecodeEvent(binary.BigEndian.Uint64(key[1:]), record)
		at = e.Received
		return cmp.Or(err, reading.ErrStop)
	})
	return at, err
}

// Reclaim gives back the space of events that were removed from the log between two sequence numbers. Their entries in
// timelines, which are small, give theirs back when compaction comes to them.
func (s *Store) Reclaim(ctx context.Context, from, to uint64) error {
	return s.scrubber().Compact(ctx, scrub.Span{Start: format.AppendLogKey(nil, from), End: format.AppendLogKey(nil, to+1)})
}

// savedNextSeq reads what [Store.Expire] has left instead of the last record of the log.
func (s *Store) savedNextSeq() (uint64, error) {
	value, closer, err := s.db.Get(keyNextSeq)
	if errors.Is(err, pebble.ErrNotFound) {
		return 1, nil
	} else if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, errors.Join(fmt.Errorf("key %s: %w", keyNextSeq, format.ErrCorrupt), closer.Close())
	}
	n := binary.BigEndian.Uint64(value)
	return n, closer.Close()
}

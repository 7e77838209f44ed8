package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/identity"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
	"trackway/internal/store/timeline"
)

// How much an erasure writes again before other writers are let in.
const (
	maxRewritten      = 128
	maxRewrittenBytes = 1 << 20
)

// rewriter reads events outside the store's lock and writes some of them again under it, a few at a time. Nobody else rewrites
// or removes events meanwhile: the store's rewriting is held. But a merge may move their entries in timelines.
type rewriter struct {
	s       *Store
	project uint32
	staged  []rewritten
	bytes   int           // of what is staged
	locked  bool          // the store's lock is held: all is staged
	places  erased.Places // where the files hold what was erased
	types   format.TypeNames
}

// rewritten is an event as it is to be, and where its entry in a timeline was when it was read, nil where that is not known.
type rewritten struct {
	event trackway.Event
	entry []byte
	tail  uint64 // in which the entry ends, unless it ends in the sequence number
}

// timelines takes in the events of a customer. What returns their properties as they are to be, nil if nothing has to go.
func (r *rewriter) timelines(from pebble.Reader, h *identity.Holder, what func(*trackway.Event) ([]byte, error)) error {
	owners, err := reading.Timelines(from, h)
	if err != nil {
		return err
	}
	log, err := from.NewIter(&pebble.IterOptions{LowerBound: []byte{format.TableLog}, UpperBound: []byte{format.TableLog + 1}})
	if err != nil {
		return err
	}
	for _, owner := range owners {
		prefix := format.AppendTimelinePrefix(nil, owner)
		err = errors.Join(err, reading.Scan(from, prefix, func(rest, entry []byte) error {
			seq, n := binary.Uvarint(entry)
			if n <= 0 {
				return format.ErrCorrupt
			}
			key := format.AppendLogKey(nil, seq)
			if !log.SeekGE(key) || !bytes.Equal(log.Key(), key) {
				return errors.Join(log.Error(), fmt.Errorf("event %d: %w", seq, pebble.ErrNotFound))
			}
			return r.take(seq, log.Value(), slices.Concat(prefix, rest), what)
		}))
	}
	return errors.Join(err, log.Close())
}

// take stages the event of a record of the log if something has to go.
func (r *rewriter) take(seq uint64, record, entry []byte, what func(*trackway.Event) ([]byte, error)) error {
	event, err := format.ViewEvent(seq, record, r.types) // most of them stay as they are, and need no copy
	if err != nil {
		return err
	}
	kept, err := what(&event)
	if err != nil || kept == nil {
		return err
	}
	var tail uint64
	if entry == nil {
		tail = timeline.ContentHash(&event)
		entry, _ = reading.Entry(r.s.db, &event, tail) // where it is not found, it is looked for under the lock
	} else {
		tail = binary.BigEndian.Uint64(entry[len(entry)-8:])
	}
	event.Properties = kept
	r.staged = append(r.staged, rewritten{event: event, entry: entry, tail: tail})
	if r.bytes += len(record); len(r.staged) < maxRewritten && r.bytes < maxRewrittenBytes || r.locked {
		return nil
	}
	return r.write()
}

// write writes what is staged.
func (r *rewriter) write() error {
	if len(r.staged) == 0 {
		return nil
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	b := r.s.db.NewBatch()
	defer func() { _ = b.Close() }() // gives memory back
	if err := errors.Join(r.stage(b), b.Commit(pebble.NoSync)); err != nil {
		return err
	}
	r.s.versions.Changed(r.project)
	return nil
}

// stage puts what is staged into a batch, under the store's lock.
func (r *rewriter) stage(b *pebble.Batch) error {
	for i := range r.staged {
		if err := r.rewrite(b, &r.staged[i]); err != nil {
			return fmt.Errorf("event %d: %w", r.staged[i].event.Seq, err)
		}
	}
	r.staged, r.bytes = r.staged[:0], 0
	return nil
}

// rewrite writes an event again. Its entry in the timeline must not end in a hash of what was erased, so it ends in its sequence
// number from then on. A merge that has no identifiers any more is none that a reader would be told of.
func (r *rewriter) rewrite(b *pebble.Batch, w *rewritten) error {
	at, value, err := r.s.entryOf(w)
	if err != nil {
		return err
	}
	r.places.Add(w.event.Seq, w.event.Customer)
	r.places.Add(w.event.Seq, trackway.Customer(binary.BigEndian.Uint64(at[1:]))) // on whose timeline it is
	if len(canonjson.SplitObject(w.event.Properties)) == 0 {
		value = binary.AppendUvarint(nil, w.event.Seq)
	}
	key := bytes.Clone(at)
	binary.BigEndian.PutUint64(key[len(key)-8:], w.event.Seq)
	return errors.Join(
		b.Set(format.AppendLogKey(nil, w.event.Seq), format.AppendEvent(nil, &w.event), nil),
		b.Delete(at, nil),
		b.Set(key, value, nil),
	)
}

// entryOf returns the key and the value of an event's entry as they are now.
func (s *Store) entryOf(w *rewritten) (key, value []byte, err error) {
	if key = w.entry; key != nil {
		if value, err = reading.LeadsTo(s.db, key, w.event.Seq); value != nil || err != nil {
			return key, value, err
		}
	}
	if key, err = reading.Entry(s.db, &w.event, w.tail); err != nil { // a merge has moved it
		return nil, nil, err
	}
	value, err = reading.LeadsTo(s.db, key, w.event.Seq)
	return key, value, err
}

// log takes in events of the project from the log.
func (r *rewriter) log(from, to uint64, what func(*trackway.Event) ([]byte, error)) error {
	low, high := format.AppendLogKey(nil, from), format.AppendLogKey(nil, to)
	return reading.ScanRange(r.s.db, low, high, false, func(key, record []byte) error {
		if project, _ := binary.Uvarint(record); project != uint64(r.project) {
			return nil
		}
		return r.take(binary.BigEndian.Uint64(key[1:]), record, nil, what)
	})
}

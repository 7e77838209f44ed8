package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// watermark is how far the log is on the disk. Readers of the log's end go no further, so that nothing is shown or passed on
// that a power cut could take back. Raising it costs two atomic operations; it wakes somebody only where somebody waits.
type watermark struct {
	seq    atomic.Uint64
	waiter atomic.Pointer[chan struct{}] // closed when seq is raised; nil: nobody waits
}

// raise sets the mark to seq, unless it is there already: of two requests that waited at the barrier the later may be back first.
func (w *watermark) raise(seq uint64) {
	for {
		old := w.seq.Load()
		if old >= seq {
			return
		}
		if w.seq.CompareAndSwap(old, seq) {
			break
		}
	}
	if w.waiter.Load() == nil {
		return
	}
	if ch := w.waiter.Swap(nil); ch != nil {
		close(*ch)
	}
}

// changed returns a channel that is closed when the mark is raised next. REQUIRES: the mark is looked at after the call.
func (w *watermark) changed() <-chan struct{} {
	for {
		if ch := w.waiter.Load(); ch != nil {
			return *ch
		}
		ch := make(chan struct{})
		if w.waiter.CompareAndSwap(nil, &ch) {
			return ch
		}
	}
}

// Synced returns the sequence number up to which all events of the log are on the disk; 0 where there are none.
func (s *Store) Synced() uint64 { return s.synced.seq.Load() }

// Await returns when there are events after seq and they are on the disk, or with the cause once ctx has ended.
func (s *Store) Await(ctx context.Context, seq uint64) error {
	for {
		changed := s.synced.changed()
		if s.Synced() > seq {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Tail calls yield for the events after seq that are on the disk, in the order of the log, until yield returns false. The events
// are as they are now: of one that was erased only the rest is there. They may be kept. It takes no lock that writers need.
func (s *Store) Tail(seq uint64, yield func(*trackway.Event) bool) error {
	synced := s.Synced()
	if seq >= synced {
		return nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: format.AppendLogKey(nil, seq+1), UpperBound: format.AppendLogKey(nil, synced+1)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var e trackway.Event
		number := binary.BigEndian.Uint64(it.Key()[1:])
		if e, err = format.DecodeEvent(number, it.Value()); err != nil {
			err = fmt.Errorf("event %d: %w", number, err)
		} else if !yield(&e) {
			break
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// Who returns who a customer is now: the one that it was merged into, if it was, and that one's identifiers. It may tell what is
// not on the disk yet. A customer that is not known is 0. Cost: a look-up for each merge in a row.
func (s *Store) Who(project uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error) {
	h, err := reading.Holder(s.db, project, c)
	for err == nil && h.MergedInto != 0 {
		h, err = reading.Holder(s.db, project, h.MergedInto)
	}
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil, nil
	} else if err != nil {
		return 0, nil, err
	}
	return h.Customer, reading.Identifiers(h.IDs), nil
}

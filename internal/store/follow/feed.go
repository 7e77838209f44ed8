// Package follow reads the changes of a store for its followers. It shows a
// change only once it is on the disk. Each follower continues from its own
// position.
package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/sleep"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// Limits on the changes that a follower reads at a time, and the pause after it
// has read all of them. The pause lets changes accumulate, so that each read
// returns many while many are written.
const (
	most      = 512
	mostBytes = 4 << 20 // of the properties of events
	pause     = 10 * time.Millisecond
)

// Feed reads the changes of a store. It is safe for concurrent use and takes no
// lock that writers need.
type Feed struct {
	from pebble.Reader
	mark *Watermark
	lost func(number uint64, err error)
}

// New returns the feed of a store up to a mark. lost receives each change that
// cannot be read.
func New(from pebble.Reader, mark *Watermark, lost func(number uint64, err error)) Feed {
	return Feed{from: from, mark: mark, lost: lost}
}

// Synced returns the number up to which all changes are on the disk, or 0 if
// there are no changes.
func (f *Feed) Synced() uint64 { return f.mark.number.Load() }

// Await waits until a change above a number is on the disk. It returns false if
// ctx ends first.
func (f *Feed) Await(ctx context.Context, number uint64) bool {
	_, ok := f.mark.above(ctx, number)
	return ok
}

// Follow iterates over the changes after a number that are on the disk. It
// yields them in order and in batches, and waits for more until ctx ends.
// Callers may keep the changes. A change that cannot be read has the kind
// [change.Lost]. An error ends the iteration. Follow holds no resources of the
// store while its caller works.
//
// Only the latest change of a customer exists. An event has its content at the
// time of reading. A follower that looks up customers in the store sees their
// state at that moment, which may include changes that are not on the disk yet.
// This is safe even after a power cut if the follower continues from a cursor
// in the store that it set after the look-up: the changes that the follower saw
// and the power cut undid were written before the cursor, so the power cut
// undid the cursor too.
//
// Cost: a step of an index and a copy for each change.
func (f *Feed) Follow(ctx context.Context, after uint64) iter.Seq2[[]change.Change, error] {
	return func(yield func([]change.Change, error) bool) {
		for {
			through, ok := f.mark.above(ctx, after)
			if !ok {
				return
			}
			for some, err := range f.Changes(after, through) {
				if !yield(some, err) || err != nil || ctx.Err() != nil {
					return
				}
			}
			after = through
			_ = sleep.For(ctx, pause) // if ctx has ended, the wait ends at once
		}
	}
}

// Changes works like [Feed.Follow] for the changes after a number up to another
// one. It does not wait for changes that are not on the disk yet.
func (f *Feed) Changes(after, through uint64) iter.Seq2[[]change.Change, error] {
	return func(yield func([]change.Change, error) bool) {
		var missed reading.Misses
		for end := min(through, f.Synced()); after < end; {
			some, last, err := f.some(after, end, &missed)
			if err != nil {
				yield(nil, fmt.Errorf("read the changes after %d: %w", after, err))
				return
			}
			if len(some) > 0 && !yield(some, nil) {
				return
			}
			after = last
		}
	}
}

// some reads some of the changes between two numbers: those greater than after,
// and not greater than through. It returns the number up to which it has read
// all of them.
func (f *Feed) some(after, through uint64, missed *reading.Misses) (some []change.Change, last uint64, err error) {
	last = through
	size := 0
	err = reading.Changes(f.from, after+1, through+1, missed, func(c *change.Change) bool {
		own := *c
		switch {
		case c.Kind == change.Lost:
			f.lost(c.Number, c.Err)
		case c.Event != nil:
			e := *c.Event
			e.Properties = bytes.Clone(e.Properties)
			own.Event = &e
			size += len(e.Properties)
		}
		if some = append(some, own); len(some) < most && size < mostBytes {
			return true
		}
		last = c.Number
		return false
	})
	return some, last, err
}

// Unreadable reports whether an error of a reader says that a record or a file
// is damaged or lost. Other errors, such as those of a disk that fails at
// times, may be gone when a reader tries again.
func (*Feed) Unreadable(err error) bool {
	return errors.Is(err, format.ErrCorrupt) || errors.Is(err, pebble.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || pebble.IsCorruptionError(err)
}

// Back calls do for the events on the disk up to a number, newest first, until
// do returns false. The event is valid only during the call. Back skips events
// that cannot be read, but stops at a damaged block. Cost: a step of the log
// for each event; other changes cost nothing.
func (f *Feed) Back(through uint64, do func(*trackway.Event) bool) error {
	return reading.Back(f.from, min(through, f.Synced())+1, f.lost, do)
}

// Current returns the current customer and its identifiers: c itself, or the
// customer into which c was merged. The answer may include changes that are not
// on the disk yet. An unknown customer is 0. Cost: a look-up for each merge in
// the chain.
func (f *Feed) Current(project uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error) {
	h, err := reading.Survivor(f.from, project, c)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil, nil
	} else if err != nil {
		return 0, nil, err
	}
	return h.Customer, reading.Identifiers(h.IDs), nil
}

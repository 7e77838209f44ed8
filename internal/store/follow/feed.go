// Package follow reads the changes of a store for those who follow it: not
// before they are on the disk, and from where each of them has come to.
package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/sleep"
	"trackway/internal/store/reading"
)

// How a follower reads: so many changes at a time, and with a pause after all
// that there were, so that it reads many at a time while many are written.
const (
	most      = 512
	mostBytes = 4 << 20 // of the properties of events
	pause     = 10 * time.Millisecond
)

// Feed is the changes of a store. Safe for concurrent use; it takes no lock
// that writers need.
type Feed struct {
	from pebble.Reader
	mark *Watermark
	lost func(number uint64, err error)
}

// New returns the feed of a store, up to a mark. lost is told of each change
// that cannot be read.
func New(from pebble.Reader, mark *Watermark, lost func(number uint64, err error)) Feed {
	return Feed{from: from, mark: mark, lost: lost}
}

// Synced returns the number up to which all changes are on the disk, 0 if there
// are none.
func (f *Feed) Synced() uint64 { return f.mark.number.Load() }

// Follow iterates over the changes after a number that are on the disk, in
// order and some at a time, and waits for more until ctx ends. Changes may be
// kept. A change that cannot be read is one of kind [change.Lost]; an error
// ends it. It holds nothing of the store while its caller is at work.
//
// Of the changes of a customer only the latest is there. An event is as it is
// when it is read. A follower that looks at customers in the store sees them as
// they are then, perhaps by a change that is not on the disk yet. It is right
// also after a power cut if it goes on from a cursor in the store that it set
// after that look: what the power cut took back was written before the cursor,
// so the cursor is taken back, too.
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
			_ = sleep.For(ctx, pause) // if ctx has ended, so does the wait
		}
	}
}

// Changes is [Feed.Follow] for the changes after a number up to another one. It
// does not wait for any that are not on the disk yet.
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

// some reads some of the changes after a number up to another one, and returns
// up to which all are read.
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

// Back calls do for the events up to a number that are on the disk, the newest
// first, until do returns false. The event is valid only during the call. An
// event that cannot be read is passed over, but a damaged block ends it. Cost:
// a step of the log for each event; other changes cost nothing.
func (f *Feed) Back(through uint64, do func(*trackway.Event) bool) error {
	return reading.Back(f.from, min(through, f.Synced())+1, f.lost, do)
}

// Who returns who a customer is now: the one that it was merged into, if it
// was, and that one's identifiers. It may tell what is not on the disk yet. A
// customer that is not known is 0. Cost: a look-up for each merge in a row.
func (f *Feed) Who(project uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error) {
	h, err := reading.Survivor(f.from, project, c)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil, nil
	} else if err != nil {
		return 0, nil, err
	}
	return h.Customer, reading.Identifiers(h.IDs), nil
}

package follow

import (
	"context"
	"sync/atomic"
)

// Watermark is the number up to which all changes are on the disk. Followers
// read no further, so they never see anything that a power cut could undo. The
// zero value is 0.
type Watermark struct {
	number atomic.Uint64
	waiter atomic.Pointer[chan struct{}] // closed when the number rises; nil: no one waits
}

// Raise sets the mark to a number unless it is already higher: of two requests
// that wait for the disk, the later one may return first. It costs two atomic
// operations if no one waits.
func (w *Watermark) Raise(number uint64) {
	for {
		old := w.number.Load()
		if old >= number {
			return
		}
		if w.number.CompareAndSwap(old, number) {
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

// above waits until the mark is above a number and returns the mark. It returns
// false if ctx has ended.
func (w *Watermark) above(ctx context.Context, number uint64) (now uint64, above bool) {
	for {
		changed := w.changed()
		if ctx.Err() != nil {
			return 0, false
		}
		if now = w.number.Load(); now > number {
			return now, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// changed returns a channel that is closed the next time the mark rises.
// REQUIRES: the caller reads the mark after the call, not before it. Otherwise
// it misses a rise between the two, and waits for the next one.
func (w *Watermark) changed() <-chan struct{} {
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

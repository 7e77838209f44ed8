package follow

import (
	"context"
	"sync/atomic"
)

// Watermark is the number up to which all changes are on the disk. Those who
// follow the changes go no further, so that they are shown nothing that a power
// cut could take back. The zero value is 0.
type Watermark struct {
	number atomic.Uint64
	waiter atomic.Pointer[chan struct{}] // closed when the number rises; nil: nobody waits
}

// Raise sets the mark to a number, unless it is higher already: of two requests
// that waited for the disk the later one may be back first. It costs two atomic
// operations if nobody waits.
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

// above waits until the mark is above a number, and returns where it is then.
// It returns false if ctx has ended.
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

// changed returns a channel that is closed when the mark is raised next.
// REQUIRES: the mark is looked at after the call.
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

package scrub

import (
	"context"
	"slices"
	"sync"
)

// Readers knows of the snapshots that are open. While one is, compaction keeps what it shows, also what was erased since. The
// zero value is ready.
type Readers struct {
	mu     sync.Mutex
	now    *crowd   // those who came since somebody last waited
	before []*crowd // those who were waited for and may not have left
}

// crowd is readers that are waited for together.
type crowd struct {
	n      int
	closed bool // nobody comes to it any more
	empty  chan struct{}
}

// Enter counts a reader until what it returns is called.
func (r *Readers) Enter() (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		r.now = &crowd{empty: make(chan struct{})}
	}
	c := r.now
	c.n++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if c.n--; c.n == 0 && c.closed {
			close(c.empty)
		}
	}
}

// wait waits until all who are here have left; others may come meanwhile. It is called by one at a time.
func (r *Readers) wait(ctx context.Context) error {
	for _, c := range r.close() {
		select {
		case <-c.empty:
		case <-ctx.Done():
			return context.Cause(ctx) // whoever waits next waits for c again
		}
	}
	return nil
}

// close lets nobody join those who are here, and returns all who have to be waited for.
func (r *Readers) close() []*crowd {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = slices.DeleteFunc(r.before, func(c *crowd) bool { return c.n == 0 })
	if r.now != nil && r.now.n > 0 {
		r.now.closed = true
		r.before = append(r.before, r.now)
	}
	r.now = nil
	return slices.Clone(r.before)
}

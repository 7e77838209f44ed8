package scrub

import (
	"context"
	"slices"
	"sync"
)

// Readers tracks open snapshots. While a snapshot is open, compaction keeps
// what it shows, including data erased since. The zero value is ready to use.
type Readers struct {
	mu     sync.Mutex
	now    *crowd   // readers that came since the last call of wait
	before []*crowd // crowds that were waited for and may not have left
}

// crowd is a group of readers that are waited for together.
type crowd struct {
	n      int
	closed bool // no more readers join
	empty  chan struct{}
}

// Enter counts a reader until the function that it returns is called.
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

// wait waits until all current readers have left. Others may come meanwhile.
// Only one call may run at a time.
func (r *Readers) wait(ctx context.Context) error {
	for _, c := range r.close() {
		select {
		case <-c.empty:
		case <-ctx.Done():
			return context.Cause(ctx) // the next call waits for c again
		}
	}
	return nil
}

// close lets no more readers join the current crowd, and returns all crowds to
// wait for.
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

package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The calls that wait for a slow OnReject are limited. Those left out are
// counted, and Flush does not wait for them.
func TestUntold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events, size = 300, 100 << 10
		var f fake
		var told atomic.Int64
		c := f.open(t, func(o *Options) {
			o.OnReject = func(_ context.Context, _ Rejection) {
				pass(time.Hour)
				told.Add(1)
			}
		})
		for range events {
			if err := c.Track(IDs{"registered": "jane"}, "refuse", Properties{"text": strings.Repeat("x", size)}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		c.mu.Lock()
		held := c.untold
		c.mu.Unlock()
		s := c.Stats()
		if s.Rejected != events || held > maxUntold || s.Untold < events-maxUntold/size-1 {
			t.Errorf("got %d bytes held, at most %d; %+v", held, maxUntold, s)
		}
		c.mustClose(t)
		if n := told.Load(); uint64(n)+s.Untold != events || n == 0 || c.untold != 0 {
			t.Errorf("got %d told and %d untold of %d, %d bytes held", n, s.Untold, events, c.untold)
		}
	})
}

// Dropping the oldest commands does not end a flush that waits for later ones.
func TestFlushWhileOldestAreDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		var f fake
		f.before = func(int, *http.Request) *http.Response {
			if up.Load() {
				return nil
			}
			return reply(503, http.Header{"Retry-After": {"10"}}, "")
		}
		c := f.open(t, func(o *Options) { o.WhenFull, o.QueueBytes, o.BatchSize = DropOldest, 600, 2 })
		c.mustTrack(t, "e0")
		c.mustTrack(t, "e1")
		synctest.Wait() // they are on their way
		flushed := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			flushed <- c.Flush(ctx)
		}()
		synctest.Wait()
		for i := range 20 {
			c.mustTrack(t, fmt.Sprint("later", i))
		}
		var left *UndeliveredError
		if err := <-flushed; !errors.As(err, &left) || left.Commands != 2 {
			t.Errorf("got %v, want e0 and e1 to be undelivered", err)
		}
		up.Store(true)
		c.mustClose(t)
	})
}

// If a batch also holds later commands, a flush counts only its own.
func TestFlushCountsItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		var f fake
		f.before = func(n int, _ *http.Request) *http.Response {
			if up.Load() || n == 2 {
				return nil
			}
			return reply(503, http.Header{"Retry-After": {"10"}}, "")
		}
		c := f.open(t, nil)
		c.mustTrack(t, "first")
		pass(5 * time.Second) // it is on its way
		c.mustTrack(t, "mine")
		flushed := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
			defer cancel()
			flushed <- c.Flush(ctx)
		}()
		synctest.Wait()
		for range 5 {
			c.mustTrack(t, "later")
		}
		var left *UndeliveredError
		if err := <-flushed; !errors.As(err, &left) || left.Commands != 1 || len(f.types()) != 1 {
			t.Errorf("got %v after %q, want one to be undelivered", err, f.types())
		}
		up.Store(true)
		c.mustClose(t)
	})
}

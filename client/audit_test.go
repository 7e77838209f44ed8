package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What an OnReject that is too slow is yet to be told does not grow without bound; what is left out is counted, and Flush does not wait for it.
func TestUntold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events, size = 300, 100 << 10
		var f fake
		var told atomic.Int64
		c := f.open(t, func(o *Options) {
			o.OnReject = func(Rejection) {
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

// Commands that made room for later ones are not mistaken for those that a flush waits for.
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

// After Close nothing is asked any more.
func TestTimeAfterClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		c := f.open(t, nil)
		c.mustClose(t)
		if _, err := c.Time(t.Context()); !errors.Is(err, ErrClosed) || f.asked() != 0 {
			t.Errorf("got %v, %d requests", err, f.asked())
		}
	})
}

// An answer that is no list of servers, such as a portal's page, does not undo the list that there is.
func TestDiscoverKeepsTheList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const list = `{"servers":[{"name":"a","url":"http://a.example.com","state":"up"},{"name":"b","url":"http://b.example.com","state":"up"}]}`
		var f fake
		var broken atomic.Value // host of the server that fails, and with it the list
		broken.Store("")
		f.before = func(_ int, r *http.Request) *http.Response {
			switch {
			case r.URL.Path == "/api/servers" && broken.Load() != "":
				return reply(200, http.Header{}, "<html>Please sign in</html>")
			case r.URL.Path == "/api/servers":
				return reply(200, http.Header{}, list)
			case r.URL.Host == broken.Load(), r.URL.Host == "ts1.example.com":
				return reply(502, http.Header{}, "")
			}
			return nil
		}
		c := f.open(t, func(o *Options) { o.Discover = true })
		c.mustTrack(t, "one")
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		broken.Store(strings.TrimPrefix(c.Server(), "http://"))
		pass(time.Minute)
		c.mustTrack(t, "two")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("the other server was forgotten: %v", err)
		}
	})
}

// A server that cannot be asked for a list at all is the one to use, and is not asked for one again and again.
func TestDiscoverWithoutAList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var f fake
		f.before = func(_ int, r *http.Request) *http.Response {
			if r.URL.Path != "/api/servers" {
				return nil
			}
			asked++
			return reply(404, http.Header{}, "<html>")
		}
		c := f.open(t, func(o *Options) { o.Discover = true })
		for range 20 {
			c.mustTrack(t, "one")
			pass(time.Minute)
		}
		c.mustClose(t)
		if len(f.types()) != 20 || asked != 1 {
			t.Errorf("got %d events; the list was asked for %d times", len(f.types()), asked)
		}
	})
}

// The address that leads to the servers may redirect the question for the time as it does batches.
func TestTimeRedirected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.before = func(_ int, r *http.Request) *http.Response {
			if r.URL.Host != "ts1.example.com" {
				return nil
			}
			return reply(307, http.Header{"Location": {"http://ts2.example.com" + r.URL.Path}}, "")
		}
		c := f.open(t, nil)
		if at, err := c.Time(t.Context()); err != nil || at.Unix() != 1_700_000_000 {
			t.Errorf("got %v, %v", at, err)
		}
		if got := c.Server(); got != "http://ts2.example.com" {
			t.Errorf("the server in use is %s", got)
		}
		f.before = func(_ int, r *http.Request) *http.Response {
			return reply(307, http.Header{"Location": {r.URL.Path}}, "")
		}
		if _, err := c.Time(t.Context()); err == nil || f.asked() > 10 {
			t.Errorf("in a circle: got %v after %d requests", err, f.asked())
		}
		c.mustClose(t)
	})
}

// What is set as of a time says so, and what is set as of now has a time of its own.
func TestUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		c := f.open(t, nil)
		jane := IDs{"registered": "jane"}
		for _, err := range []error{
			c.UpdateAt(time.Unix(1_600_000_000, 0), jane, Properties{"plan": "old"}), c.Update(jane, Properties{"plan": "new"}),
			c.Identify(IDs{"registered": "jane", "cookie": "x"}, nil),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		if err := c.UpdateAt(time.Time{}, jane, nil); err == nil {
			t.Error("an update of the year 1 is taken")
		}
		c.mustClose(t)
		want := []string{ // a bubble begins in 2000
			`{"name":"customers","data":{"customer_ids":{"registered":"jane"},"properties":{"plan":"old"},"update_timestamp":1600000000}}`,
			`{"name":"customers","data":{"customer_ids":{"registered":"jane"},"properties":{"plan":"new"},"update_timestamp":946684800}}`,
			`{"name":"customers","data":{"customer_ids":{"cookie":"x","registered":"jane"},"update_timestamp":946684800.000001}}`,
		}
		var got []string
		for _, s := range f.stored {
			got = append(got, s.command)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

// A batch that holds later commands, too, is not wholly what a flush waits for.
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

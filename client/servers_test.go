package client

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// After Close, the client makes no more requests.
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

// If something other than a list of servers answers, such as the page of a
// portal, the client keeps its list.
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

// A server without a list of servers is used itself, and is not asked for the
// list again and again.
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

// The client follows redirects for the time as it does for batches.
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

// An update as of a time carries that time; an update as of now carries a time
// of its own.
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
		want := []string{ // a bubble's time begins in 2000
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

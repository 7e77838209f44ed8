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

func TestBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		c := f.open(t, nil)
		began := time.Now()
		c.mustTrack(t, "first")
		synctest.Wait()
		if f.asked() != 0 {
			t.Error("a single event is sent before the interval has passed")
		}
		pass(defaultInterval)
		synctest.Wait()
		if got := f.types(); !slices.Equal(got, []string{"first"}) || f.stored[0].at.Sub(began) != defaultInterval {
			t.Errorf("got %q, want the event after %v", got, defaultInterval)
		}
		for i := range 120 {
			c.mustTrack(t, fmt.Sprint("e", i))
		}
		synctest.Wait()
		if n := f.asked(); n != 3 {
			t.Errorf("got %d requests, want full batches to be sent at once", n)
		}
		c.mustClose(t)
		if got := f.types(); len(got) != 121 || got[120] != "e119" || f.requests != 4 {
			t.Errorf("got %d events in %d requests, want 121 in 4", len(got), f.requests)
		}
		if err := c.Track(IDs{"registered": "x"}, "late", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: got %v, want ErrClosed", err)
		}
		c.mustClose(t)
		if s := c.Stats(); s.Delivered != 121 || s.Queued != 0 || s.Requests != 4 || s.LastError != "" {
			t.Errorf("got %+v", s)
		}
	})
}

// Two equal events count as two. An update is not an event.
func TestEqualEventsAreTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the clock of a bubble stands still
		var f fake
		c := f.open(t, nil)
		c.mustTrack(t, "same")
		c.mustTrack(t, "same")
		if err := c.Identify(IDs{"registered": "jane", "cookie": []string{"a", "b"}}, Properties{"plan": "pro"}); err != nil {
			t.Error(err)
		}
		if err := c.TrackAt(time.Unix(1_600_000_000, 500), IDs{"registered": "jane"}, "old", Properties{"n": 1}); err != nil {
			t.Error(err)
		}
		c.mustClose(t)
		if len(f.stored) != 4 {
			t.Fatalf("got %d stored, want 4", len(f.stored))
		}
		now := string(seconds(time.Now().UnixMicro()))
		for i, want := range []string{
			`{"name":"customers/events","data":{"customer_ids":{"registered":"jane"},"event_type":"same","timestamp":` + now + `}}`,
			`{"name":"customers/events","data":{"customer_ids":{"registered":"jane"},"event_type":"same","timestamp":` + now + `.000001}}`,
			`{"name":"customers","data":{"customer_ids":{"cookie":["a","b"],"registered":"jane"},` +
				`"properties":{"plan":"pro"},"update_timestamp":` + now + `.000002}}`,
			`{"name":"customers/events","data":{"customer_ids":{"registered":"jane"},"event_type":"old",` +
				`"properties":{"n":1},"timestamp":1600000000}}`,
		} {
			if got := f.stored[i].command; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	})
}

func TestRefusedBeforeQueued(t *testing.T) {
	t.Parallel()
	var f fake
	c := f.open(t, nil)
	defer c.mustClose(t)
	ids := IDs{"registered": "jane"}
	for want, err := range map[string]error{
		"at least one identifier":    c.Track(nil, "x", nil),
		"1 to 256 bytes, it has 0":   c.Track(ids, "", nil),
		"1 to 256 bytes, it has 257": c.Track(ids, strings.Repeat("x", 257), nil),
		"unsupported type":           c.Identify(ids, Properties{"f": func() {}}),
		"at most 800000":             c.Identify(ids, Properties{"f": strings.Repeat("x", 800_000)}),
		"in the year 1":              c.TrackAt(time.Time{}, ids, "x", nil),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if s := c.Stats(); s.Queued != 0 {
		t.Errorf("got %d queued, want none", s.Queued)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		"URL is required":        {},
		"not the address":        {URL: "track.example.com", Project: "p", Token: "t"},
		`"…" is not the address`: {URL: "https://u:password@track.example.com", Project: "p", Token: "t"},
		"Project":                {URL: "https://track.example.com", Token: "t"},
		"Token":                  {URL: "https://track.example.com", Project: "p"},
		"Name and Region":        {URL: "https://track.example.com", Project: "p", Token: "t", Name: "ts1"},
		"at most 50":             {URL: "https://track.example.com", Project: "p", Token: "t", BatchSize: 51},
		"must not be negative":   {URL: "https://track.example.com", Project: "p", Token: "t", Interval: -1},
	} {
		c, err := New(o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
		if c != nil {
			c.mustClose(t)
		}
	}
}

// The vectors hold the answers and what they mean. This test checks that the
// client obeys them, and that order and number survive.
func TestFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.before = func(n int, _ *http.Request) *http.Response {
			switch n {
			case 0:
				return reply(503, http.Header{"Retry-After": {"7"}}, "")
			case 1:
				return reply(429, http.Header{"Retry-After": {"20"}}, "")
			case 2:
				return reply(200, http.Header{}, `{"results":[{"success":true}`)
			}
			return nil
		}
		f.lose = func(n int) bool { return n == 3 }
		c := f.open(t, nil)
		began := time.Now()
		for i := range 60 {
			c.mustTrack(t, fmt.Sprint("e", i))
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		took := time.Since(began)
		if took < 27*time.Second || took > 27*time.Second+3*time.Second+8*time.Second {
			t.Errorf("it took %v, want the 7 and 20 s that the server asked for and little more", took)
		}
		got := f.types()
		if len(got) != 60 || !slices.IsSortedFunc(f.stored, func(a, b stored) int { return a.at.Compare(b.at) }) {
			t.Errorf("got %d events, want 60", len(got))
		}
		for i, eventType := range got {
			if eventType != fmt.Sprint("e", i) {
				t.Fatalf("got %q at %d: out of order", eventType, i)
			}
		}
		if s := c.Stats(); s.Limited != 1 || s.Failed != 3 || s.Requests != 6 || s.Delivered != 60 {
			t.Errorf("got %+v, want 6 requests, 1 of them limited, 3 failed", s)
		}
		c.mustClose(t)
	})
}

func TestRejections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fake{bad: "poison"}
		var got []string
		c := f.open(t, func(o *Options) {
			o.OnReject = func(_ context.Context, r Rejection) {
				name := "refuse"
				if strings.Contains(string(r.Command), "poison") {
					name = "poison"
				}
				got = append(got, fmt.Sprint(name, r.Status, r.Reason))
			}
		})
		for i := range 50 {
			switch i {
			case 17:
				c.mustTrack(t, "poison")
			case 33:
				c.mustTrack(t, "refuse")
			default:
				c.mustTrack(t, fmt.Sprint("e", i))
			}
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if want := []string{"poison400Invalid JSON", "refuse200No."}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if n := len(f.types()); n != 48 {
			t.Errorf("got %d events, want the other 48", n)
		}
		if f.requests > 14 {
			t.Errorf("it took %d requests to find one of 50", f.requests)
		}
		c.mustClose(t)
		if s := c.Stats(); s.Rejected != 2 || s.Delivered != 48 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestTime(t *testing.T) {
	t.Parallel()
	var f fake
	c := f.open(t, nil)
	defer c.mustClose(t)
	got, err := c.Time(t.Context())
	if want := time.UnixMicro(1_700_000_000_123_456).UTC(); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got := c.Server(); got != "http://ts1.example.com" {
		t.Errorf("got the server %q", got)
	}
}

func TestUnclearResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.before = func(n int, _ *http.Request) *http.Response {
			if n < 3 {
				return reply(200, http.Header{}, `{"results":[`+[]string{
					`{"success":true},{},{}`, `{},{"success":true}`,
					`{}`,
				}[n]+`],"success":true}`)
			}
			return nil
		}
		c := f.open(t, nil)
		for i := range 3 {
			c.mustTrack(t, fmt.Sprint("e", i))
		}
		c.mustClose(t)
		if got := f.types(); !slices.Equal(got, []string{"e1"}) {
			t.Errorf("got %q sent again to the end, want e1 alone", got)
		}
	})
}

func TestFull(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"memory", "disk"} {
		for _, policy := range []FullPolicy{DropNewest, DropOldest} {
			t.Run(fmt.Sprint(where, policy), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					var f fake
					c := f.open(t, func(o *Options) {
						o.WhenFull, o.QueueBytes, o.Interval = policy, 1000, time.Hour // about 8 events
						if where == "disk" {
							o.Dir = dir
						}
					})
					var errs int
					for i := range 40 {
						err := c.Track(IDs{"registered": "jane"}, fmt.Sprint("e", i), nil)
						if err != nil && !errors.Is(err, ErrFull) {
							t.Error(err)
						}
						if err != nil {
							errs++
						}
					}
					s := c.Stats()
					if err := c.Close(t.Context()); err != nil {
						t.Error(err)
					}
					got := f.types()
					want := "e0"
					if policy == DropOldest {
						want = fmt.Sprint("e", 40-len(got))
					}
					if len(got) < 5 || len(got) > 10 || got[0] != want || int(s.Dropped) != 40-len(got) || (policy == DropNewest) != (errs > 0) {
						t.Errorf("got %q, %d dropped, %d errors", got, s.Dropped, errs)
					}
				})
			})
		}
	}
}

func TestBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		c := f.open(t, func(o *Options) { o.WhenFull, o.QueueBytes = Block, 1000 })
		for i := range 100 {
			c.mustTrack(t, fmt.Sprint("e", i))
		}
		c.mustClose(t)
		if got := f.types(); len(got) != 100 {
			t.Errorf("got %d events, want 100", len(got))
		}
	})
}

// A call that waits for room returns when there will be no more room.
func TestBlockEndsWithClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fake{before: func(int, *http.Request) *http.Response { return reply(503, http.Header{}, "") }}
		c := f.open(t, func(o *Options) { o.WhenFull, o.QueueBytes = Block, 1000 })
		got := make(chan error)
		go func() {
			var err error
			for err == nil {
				err = c.Track(IDs{"registered": "jane"}, "e", nil)
			}
			got <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var left *UndeliveredError
		if err := c.Close(ctx); !errors.As(err, &left) || left.Commands < 5 {
			t.Errorf("got %v, want some undelivered", err)
		}
		if err := <-got; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

// DropOldest drops waiting commands, not those on their way.
func TestDropOldestOnWay(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"memory", "disk"} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			var up atomic.Bool
			var f fake
			f.before = func(int, *http.Request) *http.Response {
				if !up.Load() {
					return reply(503, http.Header{"Retry-After": {"60"}}, "")
				}
				return nil
			}
			c := f.open(t, func(o *Options) {
				o.WhenFull, o.QueueBytes, o.BatchSize = DropOldest, 1000, 2
				if where == "disk" {
					o.Dir = dir
				}
			})
			c.mustTrack(t, "e0")
			c.mustTrack(t, "e1")
			synctest.Wait() // they are on their way
			for i := 2; i < 20; i++ {
				c.mustTrack(t, fmt.Sprint("e", i))
			}
			up.Store(true)
			s := c.Stats()
			c.mustClose(t)
			got := f.types()
			if len(got) < 5 || got[0] != "e0" || got[1] != "e1" || got[2] == "e2" || got[len(got)-1] != "e19" || len(got)+int(s.Dropped) != 20 {
				t.Errorf("%s: got %q, %d dropped", where, got, s.Dropped)
			}
			if s = c.Stats(); s.Queued != 0 || int(s.Delivered) != len(got) {
				t.Errorf("%s: got %+v", where, s)
			}
		})
	}
}

func TestCloseSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.before = func(int, *http.Request) *http.Response { return reply(503, http.Header{}, "") }
		c := f.open(t, nil)
		for i := range 70 {
			c.mustTrack(t, fmt.Sprint("e", i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Close(ctx)
		var left *UndeliveredError
		if !errors.As(err, &left) || left.Commands != 70 || left.Kept || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want 70 undelivered", err)
		}
		if f.requests < 5 || f.requests > 60 {
			t.Errorf("got %d requests in a minute of failures", f.requests)
		}
	})
}

func TestFailover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		c := f.open(t, func(o *Options) { o.URL, o.URLs = "", []string{"http://a", "http://b", "http://c/"} })
		c.mustTrack(t, "one")
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		first := f.hosts[0]
		f.before = func(_ int, r *http.Request) *http.Response {
			if r.URL.Host == first {
				return reply(503, http.Header{"Retry-After": {"600"}}, "")
			}
			return nil
		}
		began := time.Now()
		for i := range 5 {
			c.mustTrack(t, fmt.Sprint("e", i))
			if err := c.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > firstDelay {
			t.Errorf("it took %v to go to another server", took)
		}
		second := f.hosts[2]
		if second == first || f.requests != 7 || slices.ContainsFunc(f.hosts[2:], func(h string) bool { return h != second }) ||
			!strings.HasPrefix(c.Server(), "http://"+second) {
			t.Errorf("got %q, in use %s, want one failure of %s and one other server from then on", f.hosts, c.Server(), first)
		}
		c.mustClose(t)
	})
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.before = func(_ int, r *http.Request) *http.Response {
			if r.URL.Host == "track" {
				return reply(302, http.Header{"Location": {"http://ts2" + r.URL.Path}}, "")
			}
			return nil
		}
		c := f.open(t, func(o *Options) { o.URL = "http://track" })
		for i := range 3 {
			c.mustTrack(t, fmt.Sprint("e", i))
			if err := c.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
		c.mustClose(t)
		if want := []string{"track", "ts2", "ts2", "ts2"}; !slices.Equal(f.hosts, want) || c.Server() != "http://ts2" {
			t.Errorf("got %q, then %s, want %q", f.hosts, c.Server(), want)
		}
	})
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		list := `{"servers":[{"name":"a","region":"eu","url":"http://a","state":"up"},` +
			`{"name":"b","region":"eu","url":"http://b","state":"up"},{"name":"c","region":"us","url":"http://c","state":"up"}]}`
		down := ""
		f.before = func(_ int, r *http.Request) *http.Response {
			switch {
			case r.URL.Host == down:
				return reply(500, http.Header{}, "")
			case r.URL.Path == "/api/servers":
				return reply(200, http.Header{}, list)
			}
			return nil
		}
		c := f.open(t, func(o *Options) { o.URL, o.Discover, o.Region = "http://track", true, "eu" })
		c.mustTrack(t, "one")
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		down = strings.TrimPrefix(c.Server(), "http://")
		if down != "a" && down != "b" {
			t.Errorf("got %s, want a server of the region", c.Server())
		}
		pass(askAgain)
		list = `{"servers":[{"name":"d","region":"eu","url":"http://d","state":"up"}]}`
		c.mustTrack(t, "two")
		c.mustClose(t)
		if got := c.Server(); got != "http://d" {
			t.Errorf("got %s, want the one that the new list names", got)
		}
		if got := f.types(); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("got %q", got)
		}
	})
}

// The client asks for the list until somebody answers, and waits for a server
// of the wanted name.
func TestDiscoverByName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		asked := 0
		f.before = func(_ int, r *http.Request) *http.Response {
			if r.URL.Path != "/api/servers" {
				return nil
			}
			if asked++; asked < 3 {
				return reply(503, http.Header{}, "")
			}
			return reply(200, http.Header{}, `{"servers":[{"name":"x","url":"http://x","state":"up"},{"name":"y","url":"http://y","state":"up"}]}`)
		}
		c := f.open(t, func(o *Options) { o.URL, o.Discover, o.Name = "http://track", true, "y" })
		c.mustTrack(t, "one")
		c.mustClose(t)
		if got := c.Server(); got != "http://y" || asked != 3 {
			t.Errorf("got %s after asking %d times, want http://y after 3", got, asked)
		}
	})
}

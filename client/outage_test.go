package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// notLetIn are answers of servers that have not looked at the commands: a
// status line and a body each.
var notLetIn = map[string]struct {
	status int
	body   string
}{
	"a proxy without a server": {404, "default backend - 404"},
	"a route that is not ours": {404, `{"errors":{"code":404,"description":"There is no such route."}}`},
	"a key that was changed":   {401, `{"success":false,"error":"Access key not found"}`},
	"a key with less rights":   {403, `{"success":false,"errors":["Not authorized"]}`},
	"a firewall":               {403, "<html>"},
	"a web server":             {405, "<html>"},
	"a project that is gone":   {400, `{"success":false,"error":"Invalid project id"}`},
	"a proxy that wants https": {400, "<html>The plain HTTP request was sent to HTTPS port</html>"},
	"a server that has moved":  {410, ""},
}

// An outage loses nothing, whatever answers meanwhile: the commands wait, and
// are delivered when it is over.
func TestNotLetIn(t *testing.T) {
	t.Parallel()
	for name, denied := range notLetIn {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			const outage, events = 20, 1000
			var f fake
			f.before = func(n int, _ *http.Request) *http.Response {
				if n < outage {
					return reply(denied.status, http.Header{}, denied.body)
				}
				return nil
			}
			told := 0
			c := f.open(t, func(o *Options) {
				o.Dir = dir
				o.OnReject = func(_ context.Context, r Rejection) {
					t.Errorf("%s: %s is given up, %d: %s", name, r.Command, r.Status, r.Reason)
				}
				o.OnTrouble = func(_ context.Context, err error) {
					if a, ok := errors.AsType[*AnswerError](err); ok && a.Status == denied.status && a.Reason != "" {
						told++
					}
				}
			})
			began := time.Now()
			for i := range events {
				c.mustTrack(t, fmt.Sprint("e", i))
			}
			c.mustClose(t)
			if took := time.Since(began); took < outage*defaultMaxDelay/5 || took > outage*defaultMaxDelay {
				t.Errorf("%s: %d answers took %v: want some half a minute between them", name, outage, took)
			}
			got := f.types()
			if len(got) != events {
				t.Fatalf("%s: %d events of %d arrived", name, len(got), events)
			}
			for i, eventType := range got {
				if eventType != fmt.Sprint("e", i) {
					t.Fatalf("%s: got %s at %d", name, eventType, i)
				}
			}
			if s := c.Stats(); s.Denied != outage || s.Rejected != 0 || s.Delivered != events || told != outage {
				t.Errorf("%s: told %d times, %+v", name, told, s)
			}
		})
	}
}

// Time, Stats, Flush and Close all report a key that stays wrong. Flush and
// Close also report the number of commands that are left.
func TestWrongKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		c := f.open(t, func(o *Options) { o.Token, o.Dir = "wrong", dir })
		if _, err := c.Time(t.Context()); err == nil || err.Error() != "the server answers 401: Access key not found" {
			t.Errorf("time: got %v", err)
		}
		c.mustTrack(t, "a")
		c.mustTrack(t, "b")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		const said = "the server answers 401: Access key not found"
		want := "2 commands not delivered yet, but kept: context deadline exceeded; the latest request failed: " + said
		for what, err := range map[string]error{"flush": c.Flush(ctx), "close": c.Close(ctx)} {
			if err == nil || err.Error() != want {
				t.Errorf("%s: got  %v\nwant %s", what, err, want)
			}
		}
		if s := c.Stats(); s.LastError != said || s.Queued != 2 || s.Denied != s.Requests || s.Requests > 100 {
			t.Errorf("got %+v", s)
		}
		c = f.open(t, func(o *Options) { o.Dir = dir }) // with the right key
		c.mustClose(t)
		if got := f.types(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("got %q", got)
		}
	})
}

// If a server does not know the project, the client moves on to one that does.
func TestNotLetInFailover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		f.before = func(_ int, r *http.Request) *http.Response {
			if r.URL.Host != f.hosts[0] {
				return nil
			}
			return reply(400, http.Header{}, `{"success":false,"error":"Invalid project id"}`)
		}
		c := f.open(t, func(o *Options) { o.URL, o.URLs = "", []string{"http://a", "http://b"} })
		began := time.Now()
		c.mustTrack(t, "one")
		c.mustClose(t)
		if took := time.Since(began); len(f.types()) != 1 || f.requests != 2 || took > firstDelay {
			t.Errorf("got %q by %d requests after %v", f.types(), f.requests, took)
		}
	})
}

// A redirect that leads to itself is a failure like others: the client asks
// less and less often.
func TestRedirectLoop(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"http://a", "http://b"} { // to itself, or to another server that redirects back
		synctest.Test(t, func(t *testing.T) {
			var f fake
			f.before = func(_ int, r *http.Request) *http.Response {
				if to != "http://a" && r.URL.Host == "b" {
					return reply(307, http.Header{"Location": {"http://a" + r.URL.Path}}, "")
				}
				return reply(307, http.Header{"Location": {to + r.URL.Path}}, "")
			}
			c := f.open(t, func(o *Options) { o.URL = "http://a" })
			c.mustTrack(t, "one")
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			if _, ok := errors.AsType[*UndeliveredError](c.Close(ctx)); !ok || f.requests > 1000 || f.requests < 100 {
				t.Errorf("got %d requests in ten minutes", f.requests)
			}
		})
	}
}

// OnReject may call any method of the client. It also receives what is refused
// after it has closed the client.
func TestOnRejectCallsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		var c *Client
		var got []string
		c = f.open(t, func(o *Options) {
			o.WhenFull, o.QueueBytes, o.Interval = Block, 1000, time.Hour
			o.OnReject = func(ctx context.Context, r Rejection) {
				got = append(got, r.Reason)
				switch len(got) {
				case 1:
					for i := range 40 { // several full queues
						c.mustTrack(t, fmt.Sprint("e", i))
					}
				case 2:
					if err := c.Flush(ctx); err != nil {
						t.Errorf("flush: %v", err)
					}
				case 3:
					if err := c.Close(ctx); err != nil {
						t.Errorf("close: %v", err)
					}
					if err := c.Close(ctx); err != nil {
						t.Errorf("close again: %v", err)
					}
				}
			}
		})
		for range 4 {
			c.mustTrack(t, "refuse")
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(got) != 4 || len(f.types()) != 40 {
			t.Errorf("told of %d of 4, %d of 40 events arrived", len(got), len(f.types()))
		}
	})
}

// Flush and Close wait until OnReject has returned, but not longer than ctx
// allows.
func TestSlowOnReject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f fake
		told := 0
		c := f.open(t, func(o *Options) {
			o.OnReject = func(_ context.Context, _ Rejection) {
				pass(time.Minute)
				told++
			}
		})
		c.mustTrack(t, "refuse")
		c.mustTrack(t, "refuse")
		c.mustTrack(t, "one")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "OnReject") || len(f.types()) != 1 {
			t.Errorf("got %v, and %q delivered", err, f.types())
		}
		c.mustClose(t)
		if told != 2 {
			t.Errorf("closed after %d of 2 rejections were told", told)
		}
	})
}

// All calls of Close return when the client has ended, with the same result.
func TestCloseTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fake{before: func(int, *http.Request) *http.Response { return reply(503, http.Header{}, "") }}
		c := f.open(t, nil)
		c.mustTrack(t, "one")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		errs := make(chan error)
		for range 2 {
			go func() { errs <- c.Close(ctx) }()
		}
		for range 2 {
			err := <-errs
			if left, ok := errors.AsType[*UndeliveredError](err); !ok || left.Commands != 1 || time.Since(began) != time.Minute {
				t.Errorf("got %v after %v", err, time.Since(began))
			}
		}
		if _, ok := errors.AsType[*UndeliveredError](c.Close(t.Context())); !ok {
			t.Error("a later call says that all is delivered")
		}
	})
}

// A request may still fail while the list is read again, and that failure
// counts.
func TestLearnedKeepsServers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFleet(&Options{URLs: []string{"http://a"}, MaxDelay: time.Minute})
	s, _ := f.next(now)
	f.learned([]*server{{URL: "http://a", Name: "ts1", Region: "eu", State: "service"}, {URL: "http://a", Name: "twin"}})
	f.decide(s, &answer{status: 503, header: http.Header{"Retry-After": {"60"}}}, 1, now)
	kept := f.servers[0]
	if kept.failures != 1 || !kept.until.After(now) {
		t.Errorf("a failure of a server that was kept is forgotten: %+v", kept)
	}
	if kept.Name != "ts1" || kept.Region != "eu" || kept.State != "service" || f.servers[1].Name != "twin" {
		t.Errorf("got %+v, %+v", kept, f.servers[1])
	}
}

// The queue does not hold the memory of taken commands: an idle client holds
// nothing.
func TestMemoryLetsGo(t *testing.T) {
	t.Parallel()
	var m memory
	for range 10 {
		if err := m.push([]byte("command")); err != nil {
			t.Fatal(err)
		}
	}
	held := m.commands
	batch, err := m.take(newRoom(7))
	if err != nil || len(batch) != 7 || string(batch[6]) != "command" {
		t.Fatalf("got %q, %v", batch, err)
	}
	for i, command := range held {
		if (command == nil) != (i < 7) {
			t.Errorf("%d of the queue's array: %q", i, command)
		}
	}
	if _, err := m.take(newRoom(7)); err != nil || m.commands != nil {
		t.Errorf("an empty queue holds an array of %d, %v", cap(m.commands), err)
	}
}

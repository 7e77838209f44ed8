package clickhouse_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"trackway/internal/destination"
)

func TestErrors(t *testing.T) {
	t.Parallel()
	const secret = "jane@example.com"
	for name, c := range map[string]struct {
		before func(http.ResponseWriter, *http.Request, string) bool
		want   string
		busy   time.Duration
	}{
		"full disk":      {answer(243, "Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)"), "disk is full", 10 * time.Second},
		"many parts":     {answer(252, "Too many parts (3000). (TOO_MANY_PARTS)"), "too many parts", 10 * time.Second},
		"memory":         {answer(241, "(total) memory limit exceeded: "+secret+" (MEMORY_LIMIT_EXCEEDED)"), "out of memory", 10 * time.Second},
		"password":       {answer(516, "trackway: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"), "wrong user or password", 0},
		"parsing":        {answer(27, "Cannot parse input: "+secret+" (CANNOT_PARSE_INPUT_ASSERTION_FAILED)"), "exception 27", 0},
		"in a 200":       {late("Code: 241. DB::Exception: Memory limit: " + secret), "exception 241", 10 * time.Second},
		"after rows":     {late("1\t2\n__exception__\nabcdefgh\nCode: 241. DB::Exception"), "", 0},
		"a proxy's 503":  {status(503, "7"), "status 503", 7 * time.Second},
		"a proxy's 302":  {status(302, ""), "status 302", 0},
		"not ClickHouse": {late("<html>" + secret), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, database := open(t)
			p := newProxy(t, e)
			s := newSink(t, settingsOf(p.url, database))
			prepare(t, s)
			p.set(func(w http.ResponseWriter, r *http.Request, query string) bool {
				return strings.HasPrefix(query, "INSERT") && c.before(w, r, query)
			}, nil)
			_, err := s.Write(t.Context(), batch(0, 5))
			var busy *destination.BusyError
			var final *destination.FinalError
			switch {
			case err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &final):
				t.Errorf("got %v, want %q", err, c.want)
			case errors.As(err, &busy) != (c.busy > 0) || busy != nil && busy.After != c.busy:
				t.Errorf("got %#v, want busy for %v", err, c.busy)
			case strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), password):
				t.Errorf("the error has what it must not have: %v", err)
			}
			p.set(nil, nil)
			prepare(t, s)
			writeBatch(t, s, batch(0, 5))
			expect(t, e, s, database, 5)
		})
	}
}

func answer(code int, text string) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		refuse(w, code, text)
		return true
	}
}

// late answers with status 200 and then a text.
func late(text string) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		_, _ = fmt.Fprint(w, text)
		return true
	}
}

func status(code int, after string) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.Header().Set("Retry-After", after)
		w.WriteHeader(code)
		return true
	}
}

// TestRealRefusals makes the engine itself refuse requests.
func TestRealRefusals(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	p := newProxy(t, e)
	s := newSink(t, settingsOf(p.url, database))
	prepare(t, s)
	writeBatch(t, s, batch(0, 5))
	var busy *destination.BusyError

	e.query("SYSTEM STOP MERGES %s.events", database)
	e.query("ALTER TABLE %s.events MODIFY SETTING parts_to_throw_insert = 1", database)
	if _, err := s.Write(t.Context(), batch(5, 10)); !errors.As(err, &busy) || !strings.Contains(err.Error(), "too many parts") {
		t.Errorf("too many parts: got %v", err)
	}
	e.query("ALTER TABLE %s.events RESET SETTING parts_to_throw_insert", database)
	e.query("SYSTEM START MERGES %s.events", database)

	p.set(func(_ http.ResponseWriter, r *http.Request, query string) bool {
		if strings.Contains(query, "`events` FORMAT") {
			r.URL.RawQuery += "&max_memory_usage=1000"
		}
		return false
	}, nil)
	if _, err := s.Write(t.Context(), batch(5, 10)); !errors.As(err, &busy) || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("memory: got %v", err)
	}
	p.set(nil, nil)

	d := settingsOf(p.url, database)
	d.Password = "wr0ng-pa55"
	wrong := newSink(t, d)
	if _, err := wrong.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "wrong user or password") || strings.Contains(err.Error(), d.Password) {
		t.Errorf("wrong password: got %v", err)
	}
	prepare(t, s)
	writeBatch(t, s, batch(5, 10))
	expect(t, e, s, database, 10)
}

func TestSlowAndDead(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	p := newProxy(t, e)
	s := newSink(t, settingsOf(p.url, database))
	prepare(t, s)

	// A slow server: the write ends when its context does, although no answer
	// comes.
	entered, done := make(chan struct{}), make(chan struct{})
	p.set(func(http.ResponseWriter, *http.Request, string) bool {
		close(entered)
		<-done
		return true
	}, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-entered
		cancel(errors.New("stopped"))
	}()
	if _, err := s.Write(ctx, batch(0, 5)); err == nil || !strings.HasSuffix(err.Error(), "stopped") {
		t.Errorf("a write that was stopped: got %v", err)
	}
	close(done)

	// A server that is down for long: every attempt fails, and nothing is left
	// behind.
	p.set(func(http.ResponseWriter, *http.Request, string) bool { panic(http.ErrAbortHandler) }, nil)
	for range 20 {
		if _, err := s.Prepare(t.Context()); err == nil || strings.Contains(err.Error(), p.url) || strings.Contains(err.Error(), "http") {
			t.Errorf("a dead server: got %v", err)
		}
	}
	p.set(nil, nil)
	prepare(t, s)
	writeBatch(t, s, batch(0, 5))
	expect(t, e, s, database, 5)
}

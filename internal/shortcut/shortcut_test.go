package shortcut

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	idleTime    = 100 * time.Second
	answerTime  = 50 * time.Second
	requestTime = 30 * time.Second
	maxBody     = 20_000
)

// server serves connections in memory. Each read returns the bytes of one
// write.
type server struct {
	http.Server

	conns chan net.Conn
	busy  sync.WaitGroup
	plain atomic.Int32 // requests that the shortcut answered

	mu     sync.Mutex
	states map[net.Conn][]http.ConnState
}

// serve serves h until the test ends, with a shortcut if requested.
func serve(t *testing.T, shortcut bool, h http.HandlerFunc) *server {
	t.Helper()
	s := &server{conns: make(chan net.Conn), states: map[net.Conn][]http.ConnState{}}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(*exchange); ok {
			s.plain.Add(1)
		}
		h(w, r)
	})
	s.IdleTimeout, s.WriteTimeout, s.ReadTimeout, s.ErrorLog = idleTime, answerTime, requestTime, slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.ConnState = func(nc net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.states[nc] = append(s.states[nc], state)
	}
	type key struct{}
	s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, key{}, "ours") }
	inner := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(key{}) != "ours" || r.Context().Value(http.ServerContextKey) != &s.Server {
			t.Error("a request has not the connection's context")
		}
		inner.ServeHTTP(w, r)
	})
	var ln net.Listener = s
	if shortcut {
		ln = Listener(s, Config{Server: &s.Server, Prefixes: []string{prefix}, MaxBody: maxBody, Busy: &s.busy})
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		_ = s.Server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s
}

// Accept, Close and Addr implement [net.Listener].
func (s *server) Accept() (net.Conn, error) {
	c, ok := <-s.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (s *server) Close() error {
	close(s.conns)
	return nil
}

func (s *server) Addr() net.Addr { return &net.UnixAddr{} }

// client is a connection to a server, with the bytes received on it.
type client struct {
	net.Conn

	mu    sync.Mutex
	came  bytes.Buffer
	ended bool
}

func (s *server) dial(t *testing.T) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	s.conns <- theirs
	c := &client{Conn: ours}
	go func() {
		_, _ = io.Copy(c, ours) // until it is closed
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended = true
	}()
	t.Cleanup(func() { _ = ours.Close() })
	return c
}

// Write collects the received bytes.
func (c *client) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.came.Write(b)
}

// send sends pieces, each after all effects of the previous one. It returns the
// received bytes, and whether the connection has ended.
func (c *client) send(pieces ...string) (came string, ended bool) {
	synctest.Wait()
	for _, piece := range pieces {
		_, _ = io.WriteString(c.Conn, piece) // the server may have closed it
		synctest.Wait()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.came.Reset()
	return c.came.String(), c.ended
}

// echo answers with the request, in the way that the last segment of the path
// says.
func echo(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	var body []byte
	switch {
	case strings.HasSuffix(r.URL.Path, "/unread"), strings.HasSuffix(r.URL.Path, "/early"):
	case strings.HasSuffix(r.URL.Path, "/unwanted"):
		h.Set("Connection", "close")
	default:
		body, _ = io.ReadAll(r.Body)
	}
	if len(body) > 100 { // net/http sends long answers in chunks
		body = fmt.Append(nil, len(body), crc32.ChecksumIEEE(body))
	}
	text := fmt.Appendf(nil, "%s %s %s %s %d %q\n", r.Method, r.URL, r.Host, r.RemoteAddr, r.ContentLength, body)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		text = fmt.Appendf(text, "%s=%q\n", name, r.Header[name])
	}
	content := string(text)
	switch r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] {
	case "panic":
		panic(http.ErrAbortHandler)
	case "nothing":
		return
	case "empty":
		w.WriteHeader(http.StatusNoContent)
		return
	case "close":
		h.Set("Connection", "close")
	case "status":
		h["X-Many"] = []string{"a", "b"}
		w.WriteHeader(http.StatusTooManyRequests)
	case "void":
		h["X-Empty"], h["X-Lines"] = []string{""}, []string{"a\r\nb: c"}
	case "short":
		h.Set("Content-Length", "1000")
	case "json":
		h["Content-Type"] = []string{"application/json"}
	case "early": // before the body
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		h.Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = io.WriteString(w, content)
		_ = control.Flush()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		return
	case "flush":
		control := http.NewResponseController(w)
		_, _ = control.SetReadDeadline(time.Now().Add(time.Second)), control.EnableFullDuplex()
		h.Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = io.WriteString(w, content)
		_ = control.Flush()
		_ = control.SetReadDeadline(time.Time{})
		return
	}
	_, _ = io.WriteString(w, content[:len(content)/2])
	_, _ = io.WriteString(w, content[len(content)/2:])
}

func to(path, body string) string {
	return fmt.Sprintf("POST /track/%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nX-A: b\r\n\r\n%s", path, len(body), body)
}

// TestSame checks that any input, in any pieces, gets the same answer as
// without a shortcut.
func TestSame(t *testing.T) {
	t.Parallel()
	requests := []string{
		to("a", "{}"), to("b", `{"a":1}`), to("json", "{}"), to("status", "{}"), to("empty", "{}"), to("nothing", "{}"), to("unread", "{}"),
		to("flush", "{}"), to("void", "{}"), to("a?b=c", "{}"), to("a/../b", "{}"), to("large", strings.Repeat("x", 9000)),
		to("early", "{}"), to("early", strings.Repeat("y", 5000)), to("unread", strings.Repeat("z", 9000)), to("flush", strings.Repeat("x", 4500)),
		to("larger", strings.Repeat("x", maxBody+1)),
		"GET /track/a HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /track/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"POST /track/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
		to("close", "{}"), to("unwanted", strings.Repeat("x", 5000)), to("short", "{}"), to("panic", "{}"), "X", "\r\n", "\r\n", "POST /track/a HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n",
	}
	const usual = 17 // of them leave nothing behind
	var taken int32
	for seed := range uint64(800) {
		r := rand.New(rand.NewPCG(seed, 0))
		var pieces []string
		for range 2 + r.IntN(6) {
			piece := requests[r.IntN(usual)]
			if r.IntN(4) == 0 {
				piece = requests[r.IntN(len(requests))]
			}
			switch n := len(pieces); r.IntN(8) {
			case 0: // in two parts
				cut := 1 + r.IntN(len(piece))
				pieces = append(pieces, piece[:cut], piece[cut:])
			case 1: // with the previous bytes
				if n > 0 {
					pieces[n-1] += piece
					break
				}
				fallthrough
			case 2: // with a part of the previous bytes, and the rest
				if n > 0 {
					cut := r.IntN(len(piece))
					pieces[n-1] += piece[:cut]
					piece = piece[cut:]
				}
				fallthrough
			default:
				pieces = append(pieces, piece)
			}
		}
		pieces = slices.DeleteFunc(pieces, func(p string) bool { return p == "" })
		var want, got string
		for _, shortcut := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, shortcut, echo)
				came, ended := s.dial(t).send(pieces...)
				came += fmt.Sprint("ended: ", ended)
				if shortcut {
					got = came
					taken += s.plain.Load()
				} else if want = came; s.plain.Load() > 0 {
					t.Error("there is a shortcut")
				}
			})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: %q (-want): %s", seed, pieces, diff)
		}
	}
	if taken < 300 {
		t.Errorf("%d requests were answered by the shortcut: the test tests nothing", taken)
	}
}

// TestNeverOutOfTurn checks that bytes that the server has read, but not yet
// parsed as a request, stay ahead of a plain request.
func TestNeverOutOfTurn(t *testing.T) {
	t.Parallel()
	plain, large := to("a", "{}"), strings.Repeat("x", 10_000)
	// The length is that of the whole request: %d has as many bytes as the
	// number.
	const both = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	tests := map[string]struct {
		pieces []string
		taken  int32
	}{
		"alone":                      {[]string{plain, plain, plain}, 2},
		"after a get":                {[]string{"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", plain, plain, plain}, 2},
		"around a get":               {[]string{plain, plain, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", plain, plain}, 2},
		"after a large one":          {[]string{to("a", large), plain}, 1},
		"a large one":                {[]string{plain, to("a", large), plain}, 2},
		"a large one in parts":       {[]string{plain, to("a", large)[:100], to("a", large)[100:5000], to("a", large)[5000:], plain}, 2},
		"a letter behind a large":    {[]string{plain, to("a", large) + plain[:1], plain[1:], plain}, 1},
		"a head in a large one":      {[]string{plain, to("a", plain+large)[:100], to("a", plain+large)[100:], plain}, 2},
		"too large":                  {[]string{plain, to("a", large+large+large), plain, plain}, 2},
		"a large one's head alone":   {[]string{plain, strings.TrimSuffix(to("a", large), large), large, plain}, 1},
		"after one in parts":         {[]string{plain[:len(plain)-1], plain[len(plain)-1:], plain}, 1},
		"a letter early":             {[]string{plain + plain[:1], plain[1:], plain}, 1},
		"a letter in front":          {[]string{plain, "X", plain}, 0},
		"a letter behind":            {[]string{plain + "X", plain}, 0},
		"in a field":                 {[]string{plain, "GET /a HTTP/1.1\r\nHost: a\r\nX: ", plain}, 0},
		"in a field, a letter early": {[]string{plain + "G", "ET /a HTTP/1.1\r\nHost: a\r\nX: ", plain, plain}, 0},
		"in a field, behind":         {[]string{plain + "GET /a HTTP/1.1\r\nHost: a\r\nX: ", plain}, 0},
		"in a body":                  {[]string{plain, fmt.Sprintf("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(plain)), plain}, 0},
		"in a body, then alone":      {[]string{plain, fmt.Sprintf("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(plain)), plain, plain, plain}, 1},
		"two at once":                {[]string{plain, plain + plain, plain}, 0},
		"after chunks":               {[]string{"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", plain}, 0},
		"after length and chunks":    {[]string{fmt.Sprintf(both, len(both)), plain, plain}, 0},
		"an empty line in between":   {[]string{plain, "\r\n", plain}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, true, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
				s.dial(t).send(test.pieces...)
				if got := s.plain.Load(); got != test.taken {
					t.Errorf("%d requests were answered by the shortcut, want %d", got, test.taken)
				}
			})
		})
	}
}

// TestStates checks that observers of a connection's states see plain requests,
// too.
func TestStates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, true, echo)
		s.dial(t).send(to("a", "{}"), to("b", "{}"), to("close", "{}"))
		if got := s.plain.Load(); got != 2 {
			t.Errorf("%d requests were answered by the shortcut", got)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, got := range s.states {
			const active, idle = http.StateActive, http.StateIdle
			if want := []http.ConnState{http.StateNew, active, idle, active, idle, active, idle, http.StateClosed}; !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	})
}

// TestDeadlines checks that a connection is closed after the server's idle
// time, counted from the last request, and never sooner. The server gives up on
// an answer that is not read.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, true, echo).dial(t)
		c.send(to("a", "{}"))
		for range 20 { // longer in total than any deadline
			time.Sleep(idleTime - time.Second) //nolint:forbidigo // the bubble's time
			if came, ended := c.send(to("b", "{}")); !strings.Contains(came, "200 OK") || ended {
				t.Fatalf("got %q, ended: %v", came, ended)
			}
		}
		time.Sleep(idleTime + idleTime/spare + time.Second) //nolint:forbidigo // the bubble's time
		if _, ended := c.send(); !ended {
			t.Error("an idle connection stays")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, true, echo)
		ours, theirs := net.Pipe()
		s.conns <- theirs
		_, _ = io.WriteString(ours, to("a", "{}"))
		if _, err := ours.Read(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_, _ = io.WriteString(ours, to("b", "{}"))
		time.Sleep(answerTime + answerTime/spare + time.Second) //nolint:forbidigo // the bubble's time
		if n, err := ours.Read(make([]byte, 4096)); !errors.Is(err, io.EOF) || s.plain.Load() != 1 {
			t.Errorf("read %d bytes, %v", n, err)
		}
	})
}

// TestStop checks that a request that runs when the server stops is answered,
// and that a stop can wait for it. The answer announces that it is the last.
func TestStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		s := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "slow") {
				<-goOn
			}
			echo(w, r)
		})
		c := s.dial(t)
		c.send(to("a", "{}"), to("slow", "{}"))
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		waited := make(chan struct{})
		go func() {
			s.busy.Wait()
			close(waited)
		}()
		if came, ended := c.send(); came != "" || ended {
			t.Errorf("before the answer: %q, ended: %v", came, ended)
		}
		select {
		case <-waited:
			t.Error("nothing was waited for")
		default:
		}
		time.Sleep(2 * closeTime) //nolint:forbidigo // the bubble's time; the handler may take longer than its answer
		close(goOn)
		<-waited
		if came, ended := c.send(); !strings.Contains(came, "Connection: close\r\n") || !strings.Contains(came, "/track/slow") || !ended {
			t.Errorf("got %q, ended: %v", came, ended)
		}
	})
}

// TestBodyThatDoesNotCome checks that the rest of a body has the server's time
// for reading, or the handler's own, unless the client goes away. A stop waits
// for it, but not for long.
func TestBodyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	begun := strings.TrimSuffix(to("a", "{}    "), " ")
	tests := map[string]struct {
		do   func(*server, *client)
		own  time.Duration // that the handler allows; 0: it sets no deadline
		want time.Duration
	}{
		"at all":                {func(*server, *client) {}, 0, requestTime},
		"in the handler's time": {func(*server, *client) {}, time.Hour, time.Hour},
		"from who left":         {func(_ *server, c *client) { _ = c.Close() }, 0, 0},
		"in a stop":             {func(s *server, _ *client) { _ = s.Shutdown(t.Context()) }, 0, bodyTime},
		"in a stop, and late":   {func(s *server, _ *client) { _ = s.Shutdown(t.Context()) }, time.Hour, bodyTime},
		"in a stop, and soon":   {func(s *server, _ *client) { _ = s.Shutdown(t.Context()) }, time.Second, time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				goOn, read := make(chan struct{}), make(chan error, 1)
				s := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
					if r.Header["X-B"] != nil { // the last request
						<-goOn
					}
					if test.own > 0 {
						_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(test.own))
					}
					_, err := io.Copy(io.Discard, r.Body)
					if r.Header["X-B"] != nil {
						read <- errors.Join(err, r.Context().Err())
					}
				})
				c := s.dial(t)
				c.send(to("a", "{}"), to("a", "{}"), strings.Replace(begun, "X-A", "X-B: c\r\nX-A", 1))
				if s.plain.Load() != 2 {
					t.Fatal("the shortcut has not taken the request")
				}
				began := time.Now()
				test.do(s, c)
				close(goOn)
				if err := <-read; err == nil || !errors.Is(err, context.Canceled) {
					t.Errorf("the handler read %v, and its context has not ended", err)
				}
				if took := time.Since(began); took != test.want {
					t.Errorf("took %v, want %v", took, test.want)
				}
				s.busy.Wait()
				if _, ended := c.send(); !ended {
					t.Error("the connection stays")
				}
			})
		})
	}
}

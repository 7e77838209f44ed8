package door

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trackway/internal/allocs"
)

// start runs a server with TLS and HTTP/2 behind a door, on real sockets.
func start(t *testing.T, b Bounds, h http.HandlerFunc) (*Door, *httptest.Server) {
	t.Helper()
	d := New(Config{Bounds: b, HeaderTime: time.Minute})
	srv := httptest.NewUnstartedServer(nil)
	srv.EnableHTTP2 = true
	srv.Listener = d.Listener(srv.Listener)
	d.Serve(srv.Config, h)
	// httptest chains a hook of its own, and sets the protocols.
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return d, srv
}

// TestStreamsTakePlaces checks that further requests on an HTTP/2 connection
// count like connections.
func TestStreamsTakePlaces(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	d, srv := start(t, Bounds{Max: 2}, func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("got %s", r.Proto)
		}
		if r.URL.Path == "/wait" {
			began <- struct{}{}
			<-release
		}
	})
	get := func(path string) (status int, retryAfter string) {
		res, err := srv.Client().Get(srv.URL + path)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode, res.Header.Get("Retry-After")
	}
	answers := make(chan int)
	for range 2 {
		go func() {
			status, _ := get("/wait")
			answers <- status
		}()
		<-began
	}
	if status, retry := get("/"); status != http.StatusServiceUnavailable || retry == "" {
		t.Errorf("got %d, want 503 and Retry-After", status)
	}
	release <- struct{}{}
	release <- struct{}{}
	for range 2 {
		if status := <-answers; status != http.StatusOK {
			t.Errorf("got %d, want 200", status)
		}
	}
	if status, _ := get("/"); status != http.StatusOK {
		t.Errorf("got %d, want 200", status)
	}
	if d.counts.refused[refusedStream].Load() != 1 || d.counts.accepted.Load() != 1 {
		t.Errorf("got %d refused, %d accepted, want one each", d.counts.refused[refusedStream].Load(), d.counts.accepted.Load())
	}
}

// secured makes a house speak TLS, and HTTP/2 to clients that ask for it.
func secured() func(net.Listener) net.Listener {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS() // for its certificate
	conf := cert.TLS.Clone()
	cert.Close()
	conf.NextProtos = []string{"h2", "http/1.1"}
	return func(ln net.Listener) net.Listener { return tls.NewListener(ln, conf) }
}

// browser returns an HTTP/2 client that has one connection.
func (x *house) browser() *http.Transport {
	near, far := net.Pipe()
	x.conns <- from{far, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}
	dials := 0
	return &http.Transport{
		ForceAttemptHTTP2: true,
		DialTLS: func(string, string) (net.Conn, error) { //nolint:staticcheck // the pipe is there
			if dials++; dials > 1 {
				x.Errorf("%d connections were made", dials)
			}
			c := tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			return c, c.Handshake()
		},
	}
}

// TestHTTP2OutlivesHeaderTime checks that an HTTP/2 connection is not taken for
// one with a late header.
func TestHTTP2OutlivesHeaderTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 10}, fine, secured())
		web := x.browser()
		defer web.CloseIdleConnections()
		for range 3 {
			req, err := http.NewRequest(http.MethodPost, "https://x/", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := web.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.ProtoMajor != 2 {
				t.Fatalf("got %s", res.Proto)
			}
			pass(time.Minute)
		}
	})
}

// TestHandshakeTime checks that the TLS handshake and the header share one
// time.
func TestHandshakeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 10}, fine, func(ln net.Listener) net.Listener {
			return tls.NewListener(ln, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return nil, io.EOF
			}})
		})
		c := x.connect("192.0.2.1")
		pass(9 * time.Second)
		c.closed(false)
		c.send("\x16\x03\x01")
		pass(time.Second)
		c.closed(true)
	})
}

// TestHandlerDoesNotAllocate covers the path of every request.
func TestHandlerDoesNotAllocate(t *testing.T) {
	d := New(Config{Bounds: Bounds{Max: 10}})
	var n atomic.Int64
	h := d.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(nil)
		n.Add(1)
	}))
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	srv := new(http.Server)
	d.Serve(srv, h)
	c := d.admit(far)
	ctx := srv.ConnContext(t.Context(), c)
	body := io.NopCloser(strings.NewReader(""))
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
	w := httptest.NewRecorder()
	if got := allocs.PerRun(1000, func() {
		r.Body, r.ContentLength = body, 1
		srv.ConnState(c, http.StateActive)
		h.ServeHTTP(w, r)
		srv.ConnState(c, http.StateIdle)
	}); got >= 1 {
		t.Errorf("got %v allocations, want none", got)
	}
}

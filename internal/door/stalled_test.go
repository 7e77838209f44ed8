package door

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Stalled requests are closed to make room, those of the address with the most
// first: a body that does not come, an answer that nobody reads.
func TestStalledMakesPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		x := build(t, Bounds{Max: 5}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/work" {
				<-release
			}
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = w.Write(make([]byte, 1<<20))
		})
		const body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
		other := x.connect("192.0.2.9")
		other.send(body)
		working := x.connect("192.0.2.1")
		working.send("GET /work HTTP/1.1\r\nHost: x\r\n\r\n")
		moving := x.connect("192.0.2.1")
		moving.send(body)
		silent := x.connect("192.0.2.1")
		silent.send(body)
		pass(time.Millisecond) // the older one goes first
		near, far := net.Pipe()
		defer func() { _ = near.Close() }()
		x.conns <- from{far, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}}
		if _, err := io.WriteString(near, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		x.connect("192.0.2.2").closed(true) // all have just begun
		for range 3 {
			moving.send(strings.Repeat("x", 1<<10))
			pass(time.Second)
		}
		moving.send(strings.Repeat("x", 2<<10))
		x.connect("192.0.2.2").send("GET /work HTTP/1.1\r\nHost: x\r\n\r\n")
		silent.closed(true)
		x.connect("192.0.2.2").ask()
		if n, _ := io.Copy(io.Discard, near); n > 1<<20 {
			t.Error("the connection whose answer nobody read was not cut off")
		}
		other.closed(false)
		moving.closed(false)
		working.closed(false)
		if n := x.door.counts.closed[closedStalled].Load(); n != 2 {
			t.Errorf("%d are counted as stalled, want 2", n)
		}
		close(release)
		synctest.Wait()
	})
}

// A connection can be closed while the answer to its request is held back, but
// not once the handler is producing the answer.
func TestHeldMakesPlace(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{"/held": true, "/released": false} {
		synctest.Test(t, func(t *testing.T) {
			end := make(chan struct{})
			x := build(t, Bounds{Max: 1}, func(_ http.ResponseWriter, r *http.Request) {
				release := Hold(r.Context())
				if r.URL.Path == "/held" {
					<-end
				}
				release()
				<-end
			})
			refused := x.connect("192.0.2.1")
			refused.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
			x.connect("192.0.2.2").closed(!want)
			refused.closed(want)
			close(end)
			synctest.Wait()
		})
	}
}

// The contexts of a connection's requests end when the door closes it, even if
// nobody reads from it: the resources held for them must not outlive their
// place.
func TestClosedEndsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var srv http.Server
		d := New(Config{Bounds: Bounds{Max: 1}, HeaderTime: time.Second})
		d.Serve(&srv, http.NotFoundHandler())
		_, far := net.Pipe()
		c := d.admit(far)
		ctx := srv.ConnContext(t.Context(), c)
		c.begin(false)
		c.running.Add(1)
		release := Hold(ctx)
		if ctx.Err() != nil {
			t.Error("the context ended while the connection was open")
		}
		if _, far = net.Pipe(); d.admit(far) == nil {
			t.Error("a held request made no place")
		}
		if ctx.Err() == nil {
			t.Error("the context of a request goes on without its connection")
		}
		release()
	})
}

// If the client makes no room for an HTTP/2 answer, the connection cannot tell
// that a write is waiting. The door can close it all the same, but not one
// whose answer is being produced.
func TestUnreadStreamMakesPlace(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]uint64{"unread": 1, "made": 0} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			x := build(t, Bounds{Max: 1}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/made" {
					<-release
				}
				for err := error(nil); err == nil && r.URL.Path == "/unread"; {
					_, err = w.Write(make([]byte, 64<<10))
				}
			}, secured())
			web := x.browser()
			defer web.CloseIdleConnections()
			req, err := http.NewRequest(http.MethodGet, "https://x/"+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				if res, err := web.RoundTrip(req); err == nil {
					<-release
					_ = res.Body.Close()
				}
			}()
			pass(unread + time.Second)
			x.connect("192.0.2.2")
			if n := x.door.counts.closed[closedStalled].Load(); n != want {
				t.Errorf("%s: %d are counted as stalled, want %d", path, n, want)
			}
			close(release)
			<-ended
		})
	}
}

package door

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"trackway/internal/clientip"
)

// house is a server behind a door, in a synctest bubble. Its connections are
// pipes.
type house struct {
	*testing.T

	door  *Door
	srv   *http.Server
	conns chan net.Conn
	fails chan error // of Accept
	once  sync.Once
	gone  chan struct{}
}

// build runs a server until the end of the bubble.
func build(t *testing.T, b Bounds, h http.HandlerFunc, wrap ...func(net.Listener) net.Listener) *house {
	t.Helper()
	x := &house{
		T: t, conns: make(chan net.Conn), fails: make(chan error), gone: make(chan struct{}),
		door: New(Config{Bounds: b, HeaderTime: 10 * time.Second, Trusted: netip.MustParsePrefix("10.0.0.0/8").Contains}),
	}
	x.srv = &http.Server{ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Hour}
	x.door.Serve(x.srv, h)
	ln := x.door.Listener(x)
	for _, w := range wrap {
		ln = w(ln)
	}
	served := make(chan error, 1)
	go func() { served <- x.srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = x.srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		synctest.Wait()
		if n := x.door.Open(); n != 0 || x.door.places != 0 || len(x.door.holders) != 0 || x.door.headers.Load() != 0 {
			t.Errorf("all is closed: %d connections, %d places, %d addresses, %d bytes of headers are left",
				n, x.door.places, len(x.door.holders), x.door.headers.Load())
		}
	})
	return x
}

func (x *house) Accept() (net.Conn, error) {
	select {
	case c := <-x.conns:
		return c, nil
	case err := <-x.fails:
		return nil, err
	case <-x.gone:
		return nil, net.ErrClosed
	}
}

func (x *house) Close() error { x.once.Do(func() { close(x.gone) }); return nil }

func (x *house) Addr() net.Addr { return &net.TCPAddr{} }

// from is a pipe with a remote address.
type from struct {
	net.Conn

	addr net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.addr }

// client is the other end.
type client struct {
	net.Conn

	x     *house
	in    *bufio.Reader
	ended chan struct{}
	got   chan int // the received statuses
}

// connect connects from an address and reads the answers.
func (x *house) connect(addr string) *client {
	x.Helper()
	near, far := net.Pipe()
	x.conns <- from{far, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 1))}
	c := &client{Conn: near, x: x, in: bufio.NewReader(near), ended: make(chan struct{}), got: make(chan int, 10)}
	go func() {
		defer close(c.ended)
		for {
			res, err := http.ReadResponse(c.in, nil)
			if err != nil {
				return
			}
			_, err = io.Copy(io.Discard, res.Body)
			if err = errors.Join(err, res.Body.Close()); err != nil {
				return
			}
			c.got <- res.StatusCode
		}
	}()
	x.Cleanup(func() { _ = near.Close() })
	synctest.Wait()
	return c
}

const simple = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func (c *client) send(text string) {
	go func() { _, _ = io.WriteString(c, text) }() // a pipe waits for its reader
	synctest.Wait()
}

// ask makes a request that must be answered.
func (c *client) ask() *client {
	c.x.Helper()
	c.send(simple)
	c.answered()
	return c
}

// answered returns the status of an answer that must have arrived.
func (c *client) answered() int {
	c.x.Helper()
	select {
	case status := <-c.got:
		return status
	default:
		c.x.Error("there is no answer")
		return 0
	}
}

func (c *client) closed(want bool) {
	c.x.Helper()
	synctest.Wait()
	select {
	case <-c.ended:
		if !want {
			c.x.Error("the connection was closed")
		}
	default:
		if want {
			c.x.Error("the connection is open")
		}
	}
}

func fine(http.ResponseWriter, *http.Request) {}

// pass lets time pass in the bubble.
func pass(d time.Duration) { <-time.After(d); synctest.Wait() }

// TestFullDoorMakesPlace checks that the door closes the longest idle
// connection of the address that has the most, and never an active one.
func TestFullDoorMakesPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 4}, func(_ http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				_, _ = io.Copy(io.Discard, r.Body)
			}
		})
		other := x.connect("192.0.2.9").ask()
		pass(time.Minute)
		old, working, young := x.connect("192.0.2.1").ask(), x.connect("192.0.2.1"), x.connect("192.0.2.1")
		working.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
		pass(time.Second)
		young.ask()
		pass(time.Second)

		x.connect("192.0.2.3").ask()
		old.closed(true)
		for _, c := range []*client{other, working, young} {
			c.closed(false)
		}
		x.connect("192.0.2.4").ask() // all others have one or two: one address with two follows
		young.closed(true)
		x.connect("192.0.2.5").ask()
		other.closed(true)
		working.closed(false)
		working.send("b")
		working.answered()
	})
}

// TestFullDoorTurnsAway checks that no connection is closed if all are active.
func TestFullDoorTurnsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		x := build(t, Bounds{Max: 2}, func(http.ResponseWriter, *http.Request) { <-release })
		a, b := x.connect("192.0.2.1"), x.connect("192.0.2.1")
		a.send(simple)
		b.send(simple)
		pass(time.Minute)
		x.connect("192.0.2.2").closed(true)
		if n := x.door.counts.refused[refusedFull].Load(); n != 1 {
			t.Errorf("%d were counted as refused, want 1", n)
		}
		close(release)
		synctest.Wait()
		a.answered()
		b.answered()
		x.connect("192.0.2.2").closed(true) // no new search so soon
		pass(rest)
		x.connect("192.0.2.2").ask()
	})
}

// TestSlowMakesPlace checks that connections without a header are closed to
// make room, but not at once.
func TestSlowMakesPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 2}, fine)
		a := x.connect("192.0.2.1")
		pass(time.Millisecond) // else a map's order decides which is older
		b := x.connect("192.0.2.1")
		b.send("GET / HT")
		x.connect("192.0.2.2").closed(true)
		pass(slow + time.Millisecond)
		x.connect("192.0.2.2").ask()
		a.closed(true)
		b.closed(false)
	})
}

func TestPerAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		x := build(t, Bounds{Max: 100, PerAddress: 2}, func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				<-release
			}
		})
		wait := strings.Replace(simple, "/", "/wait", 1)
		busy := func(addr string) *client {
			c := x.connect(addr)
			c.send(wait)
			return c
		}
		busy("192.0.2.1").closed(false)
		idle := x.connect("192.0.2.1").ask()
		busy("192.0.2.1").closed(false)
		idle.closed(true)
		busy("192.0.2.1").closed(true)
		busy("::ffff:192.0.2.1").closed(true)
		busy("192.0.2.2").closed(false)
		for range 10 {
			busy("10.0.0.1").closed(false) // a proxy has no bound per address
		}
		busy("2001:db8::1").closed(false)
		busy("2001:db8::2").closed(false)
		busy("2001:db8::3").closed(true) // of the same /64
		for i := 1; i <= 3; i++ {
			for range 2 {
				busy(fmt.Sprintf("2001:db8:0:%d::1", i)).closed(false)
			}
		}
		busy("2001:db8:0:4::1").closed(true) // of the same /48
		busy("2001:db8:1::1").closed(false)
		if n := x.door.counts.refused[refusedAddress].Load(); n != 4 {
			t.Errorf("%d were counted as refused, want 4", n)
		}
	})
}

// TestSiteMakesPlace checks that new connections of a /48 replace its idle
// ones.
func TestSiteMakesPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 100, PerAddress: 1}, fine)
		var all []*client
		for i := range WideTimes + 1 {
			all = append(all, x.connect(fmt.Sprintf("2001:db8:0:%d::1", i)).ask())
			pass(time.Second)
		}
		for i, c := range all {
			c.closed(i == 0)
		}
	})
}

// TestBehindProxy checks that a connection counts for the address that the
// PROXY header names.
func TestBehindProxy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		trusted, err := clientip.New(clientip.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		defer close(release)
		x := build(t, Bounds{Max: 100, PerAddress: 2}, func(http.ResponseWriter, *http.Request) { <-release }, func(ln net.Listener) net.Listener {
			return clientip.ProxyListener(ln, 10*time.Second, func() *clientip.Resolver { return trusted })
		})
		via := func(addr string) *client {
			c := x.connect("10.0.0.1")
			c.send(fmt.Sprintf("PROXY TCP4 %s 192.0.2.1 4711 80\r\n%s", addr, simple))
			return c
		}
		via("192.0.2.1").closed(false)
		via("192.0.2.1").closed(false)
		via("192.0.2.1").closed(true)
		via("192.0.2.2").closed(false)
		for range 5 {
			via("10.0.0.7").closed(false)
		}
		silent := x.connect("10.0.0.1")
		pass(9 * time.Second)
		silent.closed(false)
		silent.send("PROXY TCP4 192.0.2.5 192.0.2.1 4711 80\r\n")
		pass(time.Second) // the proxy's header and the request's header share one time
		silent.closed(true)
	})
}

// TestHeaderTime checks that a header has a time limit and, once it has begun,
// a least rate.
func TestHeaderTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 10}, fine)
		silent, trickle, quick := x.connect("192.0.2.1"), x.connect("192.0.2.1"), x.connect("192.0.2.1")
		again := x.connect("192.0.2.1").ask()
		trickle.send("GET /")
		quick.send("GET / HTTP/1.1\r\nHost: x\r\n")
		pass(4 * time.Second)
		again.send("GE") // net/http alone would wait for as long as for an idle connection
		trickle.send("x")
		quick.send("Long: " + strings.Repeat("x", 4<<10) + "\r\n")
		pass(1500 * time.Millisecond)
		trickle.closed(true)
		silent.closed(false)
		quick.closed(false)
		pass(2 * time.Second)
		again.closed(false)
		quick.send("\r\n")
		quick.answered()
		pass(2 * time.Second)
		again.closed(true)
		pass(time.Second)
		silent.closed(true)
		pass(time.Minute)
		quick.closed(false)
		quick.ask()
		if n := x.door.counts.closed[closedHeader].Load(); n != 3 {
			t.Errorf("%d were counted, want 3", n)
		}
	})
}

// TestSlowRequest checks that the time for a header applies neither to a body
// nor to an answer.
func TestSlowRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 10}, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-time.After(time.Minute)
		})
		c := x.connect("192.0.2.1")
		c.send("POST / HTTP/1.1\r\n")
		c.send("Host: x\r\nContent-Length: 2\r\n\r\na")
		pass(time.Minute)
		c.send("b")
		pass(2 * time.Minute)
		c.answered()
	})
}

// TestLongHeaders checks that incomplete long headers share a small room, while
// short ones always have theirs.
func TestLongHeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 100, Headers: 20 << 10}, fine)
		half := "GET / HTTP/1.1\r\nHost: x\r\nLong: " + strings.Repeat("x", 16<<10)
		a, b, c := x.connect("192.0.2.1"), x.connect("192.0.2.2"), x.connect("192.0.2.3")
		a.send(half)
		b.send(half)
		c.send(half)
		a.closed(false)
		b.closed(false)
		c.closed(true)
		small := x.connect("192.0.2.3")
		small.send(half[:FreeHeader-1])
		small.closed(false)
		a.send("\r\n\r\n")
		a.answered()
		d := x.connect("192.0.2.3")
		d.send(half + "\r\n\r\n")
		d.answered()
		_ = b.Close()
		synctest.Wait()
		if n := x.door.headers.Load(); n != 0 {
			t.Errorf("%d bytes are taken for headers that have come or gone", n)
		}
	})
}

// TestAcceptFails checks that a server without descriptors makes room and does
// not spin.
func TestAcceptFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 100}, fine)
		var log bytes.Buffer
		x.door.Log = slog.New(slog.NewTextHandler(&log, nil))
		c := x.connect("192.0.2.1").ask()
		tries := 0
		for end := time.After(10 * time.Second); ; tries++ {
			select {
			case x.fails <- &net.OpError{Op: "accept", Err: syscall.EMFILE}:
				continue
			case <-end:
			}
			break
		}
		c.closed(true)
		if n := x.door.counts.refused[refusedFailed].Load(); tries > 20 || n != uint64(tries) {
			t.Errorf("accepting was tried %d times in 10 s, counted %d times", tries, n)
		}
		if n := strings.Count(log.String(), "cannot be accepted"); n != 1 {
			t.Errorf("logged %d times in 10 s, want once", n)
		}
		pass(time.Second)
		x.connect("192.0.2.1").ask()
	})
}

// TestDrain checks that stalled requests and unread answers end soon, while
// active requests are answered.
func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 100}, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			switch r.URL.Path {
			case "/compute":
				<-time.After(5 * time.Second)
			case "/long":
				for range 100 {
					_, err = w.Write(make([]byte, 64<<10))
				}
			}
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
		})
		post := "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n%s"
		idle, silent, header := x.connect("192.0.2.1").ask(), x.connect("192.0.2.1"), x.connect("192.0.2.1")
		header.send("GET / HT")
		body, moving, compute := x.connect("192.0.2.1"), x.connect("192.0.2.1"), x.connect("192.0.2.1")
		body.send(fmt.Sprintf(post, "/", "a"))
		moving.send(fmt.Sprintf(post, "/", "a"))
		compute.send(fmt.Sprintf(post, "/compute", "abcd"))
		near, far := net.Pipe() // of a client that reads nothing
		x.conns <- from{far, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2)}}
		go func() { _, _ = io.WriteString(near, strings.Replace(simple, "/", "/long", 1)) }()
		pass(4 * time.Second) // the network may have delayed them for that long already

		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		go x.door.Drain(ctx)
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- x.srv.Shutdown(ctx) }()
		pass(100 * time.Millisecond)
		idle.closed(true)
		for range 3 {
			pass(900 * time.Millisecond)
			moving.send("b")
		}
		moving.answered()
		body.closed(true)
		header.closed(true)
		silent.closed(true)
		if err := <-done; err != nil || time.Since(began) > 7*time.Second {
			t.Errorf("stopped after %v: %v", time.Since(began), err)
		}
		compute.answered()
		_ = near.Close()
	})
}

// TestAnsweredBodyThatDoesNotCome checks that a stop does not wait for a
// request that was answered but whose body net/http still waits for.
func TestAnsweredBodyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 100}, fine)
		c := x.connect("192.0.2.1")
		c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\na")
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		go x.door.Drain(ctx)
		began := time.Now()
		if err := x.srv.Shutdown(ctx); err != nil || time.Since(began) > 3*time.Second {
			t.Errorf("stopped after %v: %v", time.Since(began), err)
		}
	})
}

// TestTransferEncoding checks RFC 9112 section 6.1, for requests whose end
// depends on the reader.
func TestTransferEncoding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 100}, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		const chunks = "1\r\na\r\n0\r\n\r\n"
		for fields, status := range map[string]int{
			"Transfer-Encoding: chunked\r\nContent-Length: 5":          200,
			"Content-Length: 5\r\nTransfer-Encoding: chunked":          200,
			"Content-Length: 5\r\nContent-Length: 6":                   400,
			"Content-Length: 5, 6":                                     400,
			"Content-Length: +5":                                       400,
			"Content-Length: -5":                                       400,
			"Content-Length: 0x5":                                      400,
			"Transfer-Encoding: xchunked":                              501,
			"Transfer-Encoding: chunked, chunked":                      501,
			"Transfer-Encoding: gzip, chunked":                         501,
			"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked": 501,
			"Transfer-Encoding : chunked":                              400,
			"Transfer-Encoding:\x0bchunked":                            400,
			"Content-Length : 5":                                       400,
		} {
			c := x.connect("192.0.2.1")
			c.send("POST / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n\r\n" + chunks + simple)
			pass(time.Second) // net/http lets the answer arrive
			if got := c.answered(); got != status {
				t.Errorf("%q: got %d, want %d", fields, got, status)
			}
			c.closed(true)
			if len(c.got) != 0 {
				t.Errorf("%q: what came after it was answered", fields)
			}
		}
	})
}

// TestFoldedField checks that a field that continues on another line (RFC 9112
// section 5.2) is read as one field.
func TestFoldedField(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var encodings, folded []string
		x := build(t, Bounds{Max: 100}, func(_ http.ResponseWriter, r *http.Request) {
			encodings, folded = r.TransferEncoding, r.Header["X-Folded"]
		})
		x.connect("192.0.2.1").send("GET / HTTP/1.1\r\nHost: x\r\nX-Folded: a\r\n Transfer-Encoding: chunked\r\n\r\n")
		if len(encodings) != 0 || len(folded) != 1 || folded[0] != "a Transfer-Encoding: chunked" {
			t.Errorf("got %q and %q", encodings, folded)
		}
	})
}

// TestReload checks that other bounds apply to new connections.
func TestReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := build(t, Bounds{Max: 10, PerAddress: 1}, fine)
		a := x.connect("192.0.2.1")
		x.connect("192.0.2.1").closed(true)
		x.door.Reload(Bounds{Max: 10, PerAddress: 2})
		b := x.connect("192.0.2.1").ask()
		x.door.Reload(Bounds{Max: 1, PerAddress: 2})
		a.closed(false)
		b.closed(false)
		a.send(simple)
		a.answered()
		x.connect("192.0.2.2").ask()
		a.closed(true)
		b.closed(true)
	})
}

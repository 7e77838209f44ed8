package door

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
)

// Serve connects a server to d, so that d learns what its connections do, and
// sets the bounds of HTTP/2. d admits requests to h; see [Door.Handler].
func (d *Door) Serve(srv *http.Server, h http.Handler) {
	srv.Handler = d.Handler(h)
	srv.ConnState = d.connState
	srv.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		if c := within(nc); c != nil {
			ctx = c.context(context.WithValue(ctx, connKey{}, c))
		}
		return ctx
	}
	srv.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReadFrameSize:              minFrame,
		MaxReceiveBufferPerConnection: connBuffer,
		MaxReceiveBufferPerStream:     streamBuffer,
	}
}

// Bounds on one HTTP/2 connection. Go's defaults allow each to hold 250
// requests, a frame of 1 MiB and a MiB of unread bodies.
const (
	maxStreams   = 64
	minFrame     = 16 << 10 // the minimum of RFC 9113 section 4.2
	connBuffer   = 256 << 10
	streamBuffer = 128 << 10
)

type connKey struct{}

// within returns the door's connection inside other connections, or nil.
func within(nc net.Conn) *conn {
	for {
		if c, ok := nc.(*conn); ok {
			return c
		}
		outer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		nc = outer.NetConn()
	}
}

// connState is [http.Server.ConnState]. The header of a request is complete
// when its connection becomes active.
func (d *Door) connState(nc net.Conn, s http.ConnState) {
	if s != http.StateActive && s != http.StateIdle {
		return
	}
	c := within(nc)
	if c == nil {
		return
	}
	if s == http.StateIdle {
		c.rest()
		return
	}
	if !c.known { // net/http reports the states of a connection one at a time
		secure, ok := nc.(*tls.Conn)
		c.known, c.frames = true, ok && secure.ConnectionState().NegotiatedProtocol == "h2"
	}
	c.begin(c.frames)
}

// Handler returns a handler that passes the admitted requests to h. It admits
// all HTTP/1 requests. An HTTP/2 request beside another on its connection takes
// a place of its own, of the door and of the address. If there is no place, it
// is answered with 503.
//
// Handler closes the connection after a request with Transfer-Encoding. RFC
// 9112 section 6.1 requires this if the request has Content-Length as well: an
// intermediary that relies on the length sees the next request elsewhere.
// net/http relies on Transfer-Encoding and does not reveal whether both were
// sent.
func (d *Door) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(*conn)
		if c == nil {
			h.ServeHTTP(w, r)
			return
		}
		if len(r.TransferEncoding) > 0 && r.ProtoMajor == 1 {
			w.Header()["Connection"] = closed
		}
		if c.running.Add(1); r.ProtoMajor > 1 {
			further, ok := d.enter(c)
			defer d.leave(c, further)
			if !ok {
				c.running.Add(-1)
				turnAway(w)
				return
			}
			w = &answer{w, c}
		}
		defer c.running.Add(-1)
		if r.ContentLength != 0 {
			in := intakes.Get().(*intake) // of this pool
			in.ReadCloser, in.c = r.Body, c
			r.Body = in
			defer in.done(r)
		}
		h.ServeHTTP(w, r)
	})
}

// Hold notes that the answer to the request of ctx is held back on purpose, as
// refusals are during a flood, until release is called. A connection whose
// answers are all held can be closed like an idle one: refused callers must not
// keep everybody else out.
func Hold(ctx context.Context) (release func()) {
	c, _ := ctx.Value(connKey{}).(*conn)
	if c == nil {
		return func() {}
	}
	c.held.Add(1)
	return func() { c.held.Add(-1) }
}

// answer is the response of an HTTP/2 request. It notes that a handler waits
// until the client makes room for more. With HTTP/1, the connection's own
// writes show this.
type answer struct {
	http.ResponseWriter

	c *conn
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) Write(b []byte) (int, error) {
	a.c.toWrite(1)
	defer a.c.toWrite(-1)
	return a.ResponseWriter.Write(b)
}

func (a *answer) FlushError() error {
	a.c.toWrite(1)
	defer a.c.toWrite(-1)
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// toWrite notes that n more handlers are about to write, or with -1 that one
// has written.
func (c *conn) toWrite(n int32) {
	c.wrote.Store(int64(c.door.now()))
	c.waiting.Add(n)
}

var closed = []string{"close"}

func turnAway(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	// The errors are an array of strings: tracking-api.md names clients that
	// would drop data if they got another type.
	_, _ = io.WriteString(w, `{"success":false,"errors":["The server has no room for this request at the moment. Try again."]}`)
}

// enter takes a place for a request beside others of its connection. The first
// request uses the connection's place. further reports whether it took one.
func (d *Door) enter(c *conn) (further, ok bool) {
	if c.running.Load() <= 1 {
		return false, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, here := d.conns[c]
	most := d.bounds.PerAddress
	free := here && d.places < d.bounds.Max && (c.trusted || most <= 0 ||
		c.holder.places < most && (c.site == nil || c.site.places < most*WideTimes))
	if !free {
		d.counts.refused[refusedStream].Add(1)
		return false, false
	}
	c.further++
	d.places++
	c.countLocked(1)
	return true, true
}

// leave gives up the place of such a request, unless its connection has ended
// and given up all places.
func (d *Door) leave(c *conn, further bool) {
	if !further {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.further > 0 {
		c.further--
		d.places--
		c.countLocked(-1)
	}
}

// intake is a request body that notes when a handler waits for more.
type intake struct {
	io.ReadCloser

	c *conn
}

var intakes = sync.Pool{New: func() any { return new(intake) }}

func (in *intake) Read(b []byte) (int, error) {
	in.c.waiting.Add(1)
	n, err := in.ReadCloser.Read(b)
	in.c.waiting.Add(-1)
	return n, err
}

// done notes that the handler has returned and reads no more. It gives net/http
// its own body back: its type says whether the client waits for Expect, and
// what was not read.
func (in *intake) done(r *http.Request) {
	r.Body = in.ReadCloser
	*in = intake{}
	intakes.Put(in)
}

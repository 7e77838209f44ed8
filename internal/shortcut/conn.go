package shortcut

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// place is the server's position on a connection. The server's buffer is known
// to be empty only if the connection has carried nothing but requests that were
// understood to the last byte. Otherwise a request could be answered out of
// turn.
type place uint8

const (
	// next: net/http's server waits for a request and has nothing unread. It
	// reads the next request itself.
	next    place = iota
	plain         // the same, but the shortcut may take the next request
	within        // a request is being read or answered
	unknown       // its buffer may hold anything, from now on
)

// How long the rest of a body, and the sending of an answer, may take once
// their connection is to be closed. They do not bound the time of the handler.
const (
	bodyTime  = 5 * time.Second
	closeTime = 2 * time.Second
)

// conn is a connection that the server serves.
type conn struct {
	net.Conn

	shortcut *shortcut
	ctx      context.Context //nolint:containedctx // of the connection, and so of its requests
	base     *http.Request   // the common part of all its plain requests; nil: no such request yet
	broken   func()          // ends their context, which otherwise ends with ctx

	// The fields below belong to the reader: the server has one at a time.
	place       place
	post        bool      // the server's last request is a POST
	left        int64     // bytes of it that have not come; below 0: that many of the next one came
	last        byte      // that came
	ahead       bool      // last is the first byte of the current request
	read, write time.Time // deadlines that this package set

	mu      sync.Mutex
	running bool // a plain request is running
	closing bool // the connection closes after it
	closed  bool
	bodyEnd time.Time // if closing: until when the rest of its body may arrive
}

// Read reads for the server. It answers plain requests before that.
func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if n == 0 || c.place == unknown {
			return n, err
		}
		x := c.follow(b[:n])
		if x == nil {
			return n, err
		}
		if !c.serve(x, b[:n]) {
			return 0, io.EOF
		}
	}
}

// follow tracks the server's position using the bytes that arrive. If they are
// a plain request that may be taken, or its beginning, it returns an exchange
// with its head.
func (c *conn) follow(b []byte) *exchange {
	if c.place == within {
		c.left -= int64(len(b))
		c.last = b[len(b)-1]
		return nil
	}
	x := exchanges.Get().(*exchange) // of this pool
	if c.ahead {
		x.wire = append(append(x.wire[:0], c.last), b...)
		b = x.wire
	}
	understood := x.head.parse(b)
	left := x.head.left(b)
	if c.place == plain && understood && left >= 0 && x.head.isPlain(b, &c.shortcut.Config) {
		x.whole = left == 0
		return x
	}
	c.left, c.post, c.last, c.ahead = left, x.head.isPost(b), b[len(b)-1], false
	exchanges.Put(x)
	if c.place = within; !understood {
		c.place = unknown
	}
	return nil
}

// awaitNext notes that the server waits for the next request. net/http skips an
// empty line, which some clients send, only after a POST. So the last request
// that the server itself saw must be a POST.
//
// While it answers a request, net/http reads one byte more, to see whether the
// client goes away. With a fast client, this is the first byte of the next
// request.
func (c *conn) awaitNext() {
	c.ahead = c.left == -1
	switch {
	case c.place != within || c.left != 0 && !c.ahead:
		c.place = unknown
	case c.post && !c.ahead:
		c.place = plain
	default:
		c.place = next
	}
	c.read, c.write = time.Time{}, time.Time{} // the server has set its own
}

// serve answers a plain request. It returns false if the connection has ended.
func (c *conn) serve(x *exchange, b []byte) (open bool) {
	if !c.begin() {
		return false
	}
	// This also runs after a panic, which the server handles as in any other
	// request.
	defer func() { open = c.end() && open }()
	c.shortcut.told(c, http.StateActive)
	now := time.Now()
	if answerTime := c.shortcut.Server.WriteTimeout; c.write.Sub(now) < answerTime {
		c.write = now.Add(answerTime + answerTime/spare)
		if c.Conn.SetWriteDeadline(c.write) != nil {
			return false
		}
	}
	if !x.whole && c.awaitBody(now) != nil {
		return false
	}
	ok := x.run(c, b, now)
	if !x.whole {
		c.read = time.Time{} // the handler may have set another deadline
	}
	exchanges.Put(x)
	c.shortcut.told(c, http.StateIdle)
	if !ok {
		return false
	}
	if idleTime := c.shortcut.Server.IdleTimeout; c.read.Sub(now) < idleTime {
		c.read = now.Add(idleTime + idleTime/spare)
		return c.Conn.SetReadDeadline(c.read) == nil
	}
	return true
}

// spare is the fraction by which a deadline may be later than necessary, so
// that few requests have to set one.
const spare = 8

// begin notes that a request runs, unless the connection is closed.
func (c *conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running = true
	c.shortcut.Busy.Add(1)
	return true
}

// end notes that the request has been answered, and reports whether the
// connection stays open.
func (c *conn) end() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	c.shortcut.Busy.Done()
	return !c.closing
}

// awaitBody gives the rest of a body the server's time for reading. A handler
// may set another deadline.
func (c *conn) awaitBody(now time.Time) error {
	return c.readUntil(now.Add(c.shortcut.Server.ReadTimeout))
}

// readUntil sets the deadline for the rest of a body. It is safe for concurrent
// use.
func (c *conn) readUntil(end time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing && (end.IsZero() || end.After(c.bodyEnd)) {
		end = c.bodyEnd
	}
	return c.Conn.SetReadDeadline(end)
}

// isClosing reports whether the answer is the last one.
func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// Close closes the connection. If a request runs, the connection closes after
// it.
func (c *conn) Close() error {
	c.mu.Lock()
	wait := c.running && !c.closing
	c.closing = true
	c.closed = !wait
	if wait {
		c.bodyEnd = time.Now().Add(bodyTime)
	}
	end := c.bodyEnd
	c.mu.Unlock()
	if wait {
		return errors.Join(c.readUntil(end), c.hurry()) // the body or the answer may be under way
	}
	return c.Conn.Close()
}

// hurry limits the last answer to closeTime from now on.
func (c *conn) hurry() error { return c.Conn.SetWriteDeadline(time.Now().Add(closeTime)) }

// NetConn returns the inner connection.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite says that nothing more will be sent, if the connection can say so.
// net/http calls it to let the last answer arrive.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}

package door

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// state is the phase of a connection.
type state uint8

const (
	awaited state = iota // waiting for a header, or reading one
	active               // serving a request
	idle                 // silent since the last answer
	gone                 // closed, or about to be
)

// perSecond is the least rate of a header that has begun. The header has half
// of its time, plus a second for each KiB received, up to all of its time. A
// connection whose body is slower can be closed to make room for another.
const perSecond = 1 << 10

// conn is an admitted connection.
type conn struct {
	net.Conn

	door *Door

	// Guarded by door.mu.
	holder, site *holder // its owner, and the IPv6 /48 of the owner
	trusted      bool    // belongs to a proxy, which connects for everybody
	further      int     // places of requests beyond the first, on HTTP/2

	running atomic.Int32 // running handlers
	// waiting counts the handlers that wait for more of a body. On HTTP/2 it
	// also counts those that wait until the client takes an answer.
	waiting atomic.Int32
	held    atomic.Int32 // handlers whose answer is held back on purpose
	// wrote is for HTTP/2: when a handler last began or ended a write, in ns
	// since door.began.
	wrote   atomic.Int64
	writing atomic.Int64 // since when a write waits, in ns since door.began; 0: no write waits

	// known means that net/http has told whether the connection speaks HTTP/2.
	// frames means that it does.
	known, frames bool

	// mu guards the fields below. Only deadlines are set under it. It is taken
	// after door.mu.
	mu        sync.Mutex
	state     state
	since     time.Duration // when state began; for a header: its first byte, or the connection
	heard     time.Duration // when the last bytes came
	header    int           // bytes received of the header
	body      int           // bytes received since the last request began
	taken     int64         // from the door's budget for long headers
	multi     bool          // speaks HTTP/2, whose frames come at any time
	deadline  time.Time     // for reading, as the user has set it
	shortened bool          // the deadline in force is the header's, not the user's

	end context.CancelFunc // of the context of its requests; nil: nobody has asked for it
}

// Read reads. While it waits for a header, the header's deadline applies.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.hurry(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if n > 0 {
		return c.came(n, err)
	}
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && c.late() {
		c.door.counts.closed[closedHeader].Add(1)
	}
	return n, err
}

// hurry sets the deadline of the header for a read if it is earlier.
func (c *conn) hurry() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != awaited {
		return nil
	}
	allowed := c.door.HeaderTime
	if c.header > 0 {
		allowed = min(allowed, allowed/2+time.Duration(c.header)*time.Second/perSecond)
	}
	until := c.door.began.Add(c.since + allowed)
	if !c.deadline.IsZero() && c.deadline.Before(until) {
		return nil
	}
	c.shortened = true
	return c.Conn.SetReadDeadline(until)
}

// late reports whether the deadline that passed was a header's.
func (c *conn) late() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == awaited && c.shortened
}

// came notes the arrival of bytes. Bytes are lost if they arrive after the
// connection was chosen for eviction, as they would be a moment later.
func (c *conn) came(n int, err error) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = c.door.now()
	switch {
	case c.state == gone:
		return 0, net.ErrClosed
	case c.state == active:
		c.body += n
	case c.state == idle && !c.multi:
		c.state, c.since, c.header = awaited, c.heard, n
	case c.state == awaited:
		c.header += n
		if !c.roomLocked() {
			c.state = gone // the user closes it
			c.door.counts.closed[closedRoom].Add(1)
			return 0, ErrLongHeader
		}
	default:
		c.body += n
	}
	return n, err
}

// ErrLongHeader is the error of reading a header that is long and not yet
// complete, if there is no room for another long header.
var ErrLongHeader = errors.New("no room for a long header")

// roomLocked takes room for the part of the header beyond the free size.
func (c *conn) roomLocked() bool {
	more := int64(c.header-FreeHeader) - c.taken
	if more <= 0 || c.door.Bounds.Headers == 0 {
		return true
	}
	if c.door.headers.Add(more) > int64(c.door.Bounds.Headers) {
		c.door.headers.Add(-more)
		return false
	}
	c.taken += more
	return true
}

// begin notes that a request has begun, since its header is complete.
func (c *conn) begin(multi bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == gone {
		return
	}
	c.multi = c.multi || multi
	c.state, c.since, c.body = active, c.door.now(), 0
	c.restLocked()
	if c.shortened {
		c.shortened = false
		_ = c.Conn.SetReadDeadline(c.deadline) // the next read fails, too
	}
}

// rest notes that the connection has no request under way any more.
func (c *conn) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == active {
		c.state, c.since = idle, c.door.now()
	}
}

// restLocked forgets a header and gives its room back.
func (c *conn) restLocked() {
	c.header = 0
	if c.taken > 0 {
		c.door.headers.Add(-c.taken)
		c.taken = 0
	}
}

// Write writes and notes how long the write waits.
func (c *conn) Write(b []byte) (int, error) {
	c.writing.Store(max(int64(c.door.now()), 1))
	n, err := c.Conn.Write(b)
	c.writing.Store(0)
	return n, err
}

// context returns a context that ends when the connection is closed on this
// side. A waiting request must not outlive the place of its connection, and not
// all requests notice that nothing can be read any more.
func (c *conn) context(parent context.Context) context.Context {
	ctx, end := context.WithCancel(parent)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end = end; c.state == gone {
		end()
	}
	return ctx
}

// Close closes the connection and gives up its place.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	c.state = gone
	c.restLocked()
	if c.end != nil {
		c.end()
	}
	c.mu.Unlock()
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.door.leaveLocked(c)
	return err
}

// CloseWrite says that nothing more will be sent, if the connection can say so.
// net/http calls it to let the last answer arrive.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.Conn.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline for reading. The next read applies that of
// a header again.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline, c.shortened = t, false
	return c.Conn.SetReadDeadline(t)
}

// Behind sets the address that a proxy's header names. The reader of that
// header calls it. An error means that this address may have no more
// connections.
func (c *conn) Behind(addr netip.Addr) error { return c.door.behind(c, addr) }

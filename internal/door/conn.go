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

// state is what a connection does.
type state uint8

const (
	awaited state = iota // a header is awaited, or has begun to come
	active               // a request is under way
	idle                 // nothing has come since the last answer
	gone                 // closed, or about to be
)

// The least rate of a header that has begun: it has half of its time, and a
// second more for each KiB that has come, up to all of it. A body below this
// rate can make place for another connection.
const perSecond = 1 << 10

// conn is a connection that was let in.
type conn struct {
	net.Conn

	door *Door

	// Guarded by door.mu.
	holder, site *holder // whose it is, and of which IPv6 /48
	trusted      bool    // it is a proxy's, which connects for everybody
	further      int     // places of requests beside the first, on HTTP/2

	running atomic.Int32 // handlers that run
	waiting atomic.Int32 // those of them that wait for more of a body; of HTTP/2 also until an answer is taken
	held    atomic.Int32 // those of them whose answer is held back on purpose
	wrote   atomic.Int64 // of HTTP/2: when a handler last began or ended to write, in ns since door.began
	writing atomic.Int64 // since when a write waits, in ns since door.began; 0: none does

	known, frames bool // it is known whether it speaks HTTP/2, and it does; of what net/http tells

	mu        sync.Mutex // guards what follows; only deadlines are set under it. It is taken after door.mu.
	state     state
	since     time.Duration // when state began; of a header: its first byte, or the connection
	heard     time.Duration // when bytes came last
	header    int           // bytes of it that have come
	body      int           // bytes that have come since a request began last
	taken     int64         // of the door's room for long headers
	multi     bool          // it speaks HTTP/2, whose frames come at any time
	deadline  time.Time     // for reading, as the user has set it
	shortened bool          // the deadline that holds is the header's and not the user's

	end context.CancelFunc // of the context of its requests; nil: nobody has asked for it
}

// Read reads. While a header is awaited the time for that bounds it.
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

// hurry gives a read the deadline of the header, if that is sooner.
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

// late tells whether it was a header's deadline that passed.
func (c *conn) late() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == awaited && c.shortened
}

// came notes that bytes came. Those that come after the connection was chosen
// to make place are lost, as they would be a moment later.
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

// ErrLongHeader is what the reading of a connection ends with whose header is
// long and not whole, while there is no room for more of those.
var ErrLongHeader = errors.New("no room for a long header")

// roomLocked takes room for what the header has beyond what each may have.
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

// begin notes that a request has begun: its header is whole.
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

// rest notes that nothing is under way any more.
func (c *conn) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == active {
		c.state, c.since = idle, c.door.now()
	}
}

// restLocked forgets a header, and gives its room back.
func (c *conn) restLocked() {
	c.header = 0
	if c.taken > 0 {
		c.door.headers.Add(-c.taken)
		c.taken = 0
	}
}

// Write writes.
func (c *conn) Write(b []byte) (int, error) {
	c.writing.Store(max(int64(c.door.now()), 1))
	n, err := c.Conn.Write(b)
	c.writing.Store(0)
	return n, err
}

// context returns a context that ends when the connection is closed on this
// side. A request that waits must not outlive the place of its connection, and
// not all requests notice that nothing can be read any more.
func (c *conn) context(parent context.Context) context.Context {
	ctx, end := context.WithCancel(parent)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end = end; c.state == gone {
		end()
	}
	return ctx
}

// Close closes the connection, and gives its place up.
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

// CloseWrite says that nothing more will be sent, where the connection can say
// so: net/http does it to let the last answer arrive.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.Conn.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline for reading. That of a header is applied
// again by the next read.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline, c.shortened = t, false
	return c.Conn.SetReadDeadline(t)
}

// Behind is called by what reads the header of a proxy, with the address that
// it names. An error means that this address may have no more connections.
func (c *conn) Behind(addr netip.Addr) error { return c.door.behind(c, addr) }

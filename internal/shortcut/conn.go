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

// place is where on a connection the server is. Only a connection that has had
// nothing but requests that are understood to the last byte is known to hold
// none in the server's buffer: otherwise a request could be answered out of
// turn.
type place uint8

const (
	next    place = iota // the server waits for a request and has nothing unread; the next one is its own
	plain                // the same, and the next one may be taken
	within               // a request is being read or answered
	unknown              // it may hold anything; that does not change any more
)

// closeTime is how long an answer may take to be sent once its connection is to
// be closed. How long the handler takes for it is not bounded here.
const closeTime = 2 * time.Second

// conn is a connection that the server serves.
type conn struct {
	net.Conn

	shortcut *shortcut
	ctx      context.Context //nolint:containedctx // of the connection, and so of its requests
	base     *http.Request   // what all its plain requests have in common; nil: none has come

	// The reader's fields: the server has one at a time.
	place       place
	post        bool      // the server's last request is a POST
	left        int64     // bytes of it that have not come; below 0: so many came of the next one
	last        byte      // that came
	ahead       bool      // and is the first of the request that comes now
	read, write time.Time // deadlines that were set here

	mu      sync.Mutex
	running bool // a plain request runs
	closing bool // and the connection is closed after it
	closed  bool
}

// Read reads what the server is to see. It answers plain requests before that.
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

// follow follows where the server is, with what comes. If that is a plain
// request that may be taken, it returns an exchange with its head.
func (c *conn) follow(b []byte) *exchange {
	if c.place == within {
		c.left -= int64(len(b))
		c.last = b[len(b)-1]
		return nil
	}
	x := exchanges.Get().(*exchange) //nolint:forcetypeassert // of this pool
	if c.ahead {
		x.wire = append(append(x.wire[:0], c.last), b...)
		b = x.wire
	}
	understood := x.head.parse(b)
	left := x.head.left(b)
	if c.place == plain && understood && left == 0 && x.head.isPlain(b, c.shortcut.Prefix) {
		return x
	}
	c.left, c.post, c.last, c.ahead = left, x.head.isPost(b), b[len(b)-1], false
	exchanges.Put(x)
	if c.place = within; !understood {
		c.place = unknown
	}
	return nil
}

// awaitNext notes that the server waits for the next request. Only behind a
// POST does net/http skip an empty line, which some clients send. So the server
// must have seen one last, and not only this package.
//
// While a request is answered, net/http reads a byte more, to see whether the
// client goes away. It gets the next request's first one from a client that is
// fast.
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

// serve has a plain request answered. It returns false if the connection has
// ended.
func (c *conn) serve(x *exchange, b []byte) (open bool) {
	if !c.begin() {
		return false
	}
	defer func() { open = c.end() && open }() // after a panic, too, which is the server's as that of any other request
	c.shortcut.told(c, http.StateActive)
	now := time.Now()
	if answerTime := c.shortcut.Server.WriteTimeout; c.write.Sub(now) < answerTime {
		c.write = now.Add(answerTime + answerTime/spare)
		if c.Conn.SetWriteDeadline(c.write) != nil {
			return false
		}
	}
	ok := x.run(c, b, now)
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

// spare is which part a deadline is later than it need be, so that few requests
// have to set one.
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

// end notes that the request has been answered, and tells whether the
// connection stays open.
func (c *conn) end() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	c.shortcut.Busy.Done()
	return !c.closing
}

// isClosing tells whether the answer is the last one.
func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// Close closes the connection, or has the request that runs close it.
func (c *conn) Close() error {
	c.mu.Lock()
	wait := c.running && !c.closing
	c.closing = true
	c.closed = !wait
	c.mu.Unlock()
	if wait {
		return c.hurry() // the answer may be under way
	}
	return c.Conn.Close()
}

// hurry lets the last answer take no longer than closeTime from now on.
func (c *conn) hurry() error { return c.Conn.SetWriteDeadline(time.Now().Add(closeTime)) }

// NetConn returns the connection within.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite says that nothing more will be sent, where the connection can say
// so: net/http does it to let the last answer arrive.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Package shortcut answers plain requests of HTTP/1.1 where they are read, and
// leaves all others to net/http. net/http takes more processor time for a small
// request than all that is done for it (docs/adr/0014).
//
// It sits between a listener and a server. While the server waits on a
// connection for the next request, the connection looks at the bytes that come.
// If they are exactly one plain request, it calls the handler itself, writes
// the answer, and goes on waiting. Otherwise the server gets the bytes as they
// are.
// So the server still owns the connection: it accepts, times out and closes.
//
// A request is plain if it is a POST below a prefix, has come whole with one
// read, and says nothing about its connection or its transfer: see
// [head.parse]. Whatever is unusual is the server's, errors included.
package shortcut

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config is what a shortcut is made of. All fields are required.
type Config struct {
	// Server is the server that other requests are left to. Its timeouts for
	// idle connections and for writing hold here, too; both must be set.
	Server *http.Server

	// Prefix is what the paths of plain requests begin with. The handler must
	// answer them with a few KB: an answer is kept until the handler returns.
	// The context of such a request does not end when its client goes away, but
	// only with that of the connection.
	Prefix string

	// Busy counts the requests whose answers have not been sent. A connection
	// on which one runs is closed only once its answer is sent, however it is
	// closed: the server believes that it is idle. A stop has to wait for them.
	Busy *sync.WaitGroup
}

// shortcut is what all connections share.
type shortcut struct {
	Config

	handler http.Handler
	told    func(net.Conn, http.ConnState)
	date    date
}

// Listener returns ln with a shortcut past the server that will serve it. It
// takes the place of the server's ConnState and ConnContext, and calls those
// that were set.
func Listener(ln net.Listener, c Config) net.Listener {
	s := &shortcut{Config: c, handler: c.Server.Handler, told: c.Server.ConnState}
	if s.told == nil {
		s.told = func(net.Conn, http.ConnState) {}
	}
	within := c.Server.ConnContext
	c.Server.ConnState = s.state
	c.Server.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		if within != nil {
			ctx = within(ctx, nc)
		}
		if c, ok := nc.(*conn); ok {
			c.ctx = ctx
		}
		return ctx
	}
	return &listener{ln, s}
}

// state is [http.Server.ConnState].
func (s *shortcut) state(nc net.Conn, state http.ConnState) {
	if c, ok := nc.(*conn); ok && state == http.StateIdle {
		c.awaitNext()
	}
	s.told(nc, state)
}

type listener struct {
	net.Listener

	shortcut *shortcut
}

// Accept accepts a connection.
func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: nc, shortcut: l.shortcut}, nil
}

// date is the value of the field Date, which changes once a second. Safe for
// concurrent use.
type date struct {
	mu     sync.Mutex
	second int64
	text   [len(http.TimeFormat)]byte
}

// append appends the date at a time.
func (d *date) append(dst []byte, now time.Time) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := now.Unix(); s != d.second {
		d.second = s
		now.UTC().AppendFormat(d.text[:0], http.TimeFormat)
	}
	return append(dst, d.text[:]...)
}

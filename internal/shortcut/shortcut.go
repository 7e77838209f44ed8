// Package shortcut answers plain HTTP/1.1 requests where they are read, and
// leaves all others to net/http. For a small request, net/http takes more
// processor time than all other work for it (docs/adr/0014).
//
// The package sits between a listener and a server. While the server waits on a
// connection for the next request, the connection inspects the bytes that
// arrive. If they are one plain request, or its head and the first part of its
// body, it calls the handler itself, writes the answer, and continues to wait.
// Otherwise it passes the bytes on unchanged. The server still owns the
// connection: it accepts it, times it out and closes it.
//
// A request is plain if it is a POST below one of some prefixes, has a body of
// bounded length whose beginning arrives together with the head, and says
// nothing about its connection, its transfer or an encoding of its body: see
// [head.parse] and [head.isPlain]. The server handles anything unusual,
// including errors.
package shortcut

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config holds the settings of a shortcut. All fields are required.
type Config struct {
	// Server handles the other requests. Its timeouts for idle connections,
	// for reading and for writing also apply here; all must be set.
	Server *http.Server

	// Prefixes are the starts of the paths of plain requests. The handler must
	// answer them with a few KB: the answer is kept until the handler returns.
	// The context of such a request ends with its connection. If its client
	// goes away, it ends only while the body is being read.
	Prefixes []string

	// MaxBody is the largest body of a plain request in bytes. The handler must
	// not wait for anything but the rest of such a body, and the disk.
	MaxBody int

	// Busy counts the requests whose answers have not been sent. If such a
	// request runs on a connection, any close takes effect after its answer:
	// the server believes that the connection is idle. A stop has to wait for
	// Busy.
	Busy *sync.WaitGroup
}

// shortcut is the state that all connections share.
type shortcut struct {
	Config

	handler http.Handler
	told    func(net.Conn, http.ConnState)
	date    date
}

// Listener returns ln with a shortcut around the server that will serve it. It
// replaces the server's ConnState and ConnContext, and calls the previous ones.
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

// state implements [http.Server.ConnState].
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

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: nc, shortcut: l.shortcut}, nil
}

// date is the value of the field Date, which changes once a second. It is safe
// for concurrent use.
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

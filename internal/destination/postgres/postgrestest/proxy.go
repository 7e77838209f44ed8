package postgrestest

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy is a TCP proxy in front of a server. It can break connections in
// several ways.
type Proxy struct {
	Port int

	to   string
	lose atomic.Bool // the answer to the next COMMIT
	lost atomic.Bool

	refuse atomic.Bool // connections
	slow   atomic.Bool // in the direction of the client

	mu    sync.Mutex // guards conns
	conns []net.Conn
	all   sync.WaitGroup
}

// Proxy starts a proxy that ends with the test.
func (s *Server) Proxy(tb testing.TB) *Proxy {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{Port: l.Addr().(*net.TCPAddr).Port, to: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))}
	p.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.all.Go(func() { p.serve(conn) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.Cut()
		p.all.Wait()
	})
	return p
}

// LoseCommit makes the proxy pass on the next COMMIT, wait for its answer, and
// then break the connection instead of passing the answer back.
func (p *Proxy) LoseCommit() {
	p.lost.Store(false)
	p.lose.Store(true)
}

// Lost reports whether an answer was lost since LoseCommit.
func (p *Proxy) Lost() bool { return p.lost.Load() }

// Refuse makes the proxy break all connections, and new ones at once.
func (p *Proxy) Refuse(refuse bool) {
	p.refuse.Store(refuse)
	p.Cut()
}

// Slow makes the proxy delay answers.
func (p *Proxy) Slow(slow bool) { p.slow.Store(slow) }

// Cut breaks all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *Proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	if p.refuse.Load() {
		return
	}
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.to)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	var losing atomic.Bool
	p.all.Go(func() {
		defer func() { _ = server.Close() }()
		pump(server, client, func(b []byte) bool {
			if bytes.Contains(b, []byte("COMMIT\x00")) && p.lose.CompareAndSwap(true, false) {
				losing.Store(true)
			}
			return true
		})
	})
	pump(client, server, func([]byte) bool {
		if p.slow.Load() {
			<-time.After(30 * time.Millisecond)
		}
		if losing.Load() {
			p.lost.Store(true)
			return false
		}
		return true
	})
	_ = server.Close()
}

// pump copies until an error, or until pass returns false.
func pump(to, from net.Conn, pass func([]byte) bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !pass(buffer[:n]) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

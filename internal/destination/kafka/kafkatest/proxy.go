package kafkatest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"trackway/internal/sleep"
)

// Fault is a way in which a proxy may break connections.
type Fault int

// The faults.
const (
	None       Fault = iota
	Refused          // there are no connections
	Unanswered       // requests arrive, but their answers do not
	Slow             // each answer arrives a second late
)

// Proxy passes connections on to an address.
type Proxy struct {
	address string // its own
	to      string

	mu    sync.Mutex
	fault Fault
	conns map[net.Conn]struct{}
}

// newProxy starts a proxy that ends with the test.
func newProxy(tb testing.TB, to string) *Proxy {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{address: l.Addr().String(), to: to, conns: make(map[net.Conn]struct{})}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(ctx, conn) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.Set(Refused)
		all.Wait()
	})
	return p
}

// Set breaks the connections, or repairs them. The remaining answers on a
// broken connection are lost for good.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f == Refused || p.fault == Unanswered {
		for conn := range p.conns {
			_ = conn.Close()
		}
	}
	p.fault = f
}

func (p *Proxy) now() Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

// enter notes a connection. It reports false if no connection is allowed now.
func (p *Proxy) enter(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == Refused {
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *Proxy) leave(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	if !p.enter(client) {
		return
	}
	defer p.leave(client)
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.to)
	if err != nil {
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(server, client) // the end of either ends both
		_ = server.Close()
	})
	p.answers(ctx, client, server)
	_, _ = server.Close(), client.Close()
	up.Wait()
}

// answers passes on what the server sends, in the way that the fault demands.
func (p *Proxy) answers(ctx context.Context, client, server net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		switch p.now() {
		case Unanswered:
			continue
		case Slow:
			_ = sleep.For(ctx, time.Second)
		case None, Refused:
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

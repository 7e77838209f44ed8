package s3

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"trackway/internal/destination/destinationtest"
)

// proxy is a TCP proxy in front of the server. It can break connections.
type proxy struct {
	listener net.Listener
	to       string

	mu    sync.Mutex // guards the others
	fault destinationtest.Fault
	conns map[net.Conn]bool
}

// newProxy starts a proxy that ends with the test.
func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		l.Close()
		p.cut()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// keep notes a connection, and returns the fault in force.
func (p *proxy) keep(conn net.Conn) destinationtest.Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = true
	return p.fault
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.Close()
	}
	clear(p.conns)
}

// set changes the fault for new connections, and closes the others.
func (p *proxy) set(fault destinationtest.Fault) {
	p.mu.Lock()
	p.fault = fault
	p.mu.Unlock()
	p.cut()
}

func (p *proxy) serve(conn net.Conn) {
	defer conn.Close()
	fault := p.keep(conn)
	if fault == destinationtest.Refused {
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	p.keep(server)
	if fault == destinationtest.Slow {
		<-time.After(time.Second)
	}
	go func() {
		_, _ = io.Copy(server, conn)
		server.Close()
	}()
	if fault == destinationtest.Unanswered {
		_, _ = io.Copy(io.Discard, server)
		return
	}
	_, _ = io.Copy(conn, server)
}

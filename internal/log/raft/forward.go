package raft

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"trackway/internal/entry"
	"trackway/internal/entry/version"
	"trackway/internal/log/group"
	"trackway/internal/log/raft/peer"
)

// A connection for entries carries one entry after another: four bytes with its
// length, and the entry. The answer is a byte with the outcome, four bytes with
// the length of the results, and the results.

const (
	entryTimeout = 10 * time.Second     // for an entry that has begun to arrive
	idleConns    = group.MaxFlights + 2 // to each server
)

// forwarder sends entries to the leader. It is safe for concurrent use.
type forwarder struct {
	network   *peer.Network
	partition byte

	// mu guards idle. No connection is used under it.
	mu   sync.Mutex
	idle map[string][]net.Conn
	end  bool // nothing becomes idle any more
}

// send sends an entry to the server at an address, and returns what became of
// it. It waits for the answer until the deadline, or gone is closed.
func (f *forwarder) send(address string, b []byte, deadline time.Time, gone <-chan struct{}) (outcome, []byte) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-gone:
			cancel()
		case <-ctx.Done():
		}
	})
	conn := f.take(address)
	if conn == nil {
		target, err := peer.ParseTarget(address)
		if err != nil {
			return refused, nil
		}
		if conn, err = f.network.Dial(ctx, target, peer.Forward, f.partition); err != nil {
			return refused, nil // it was not sent
		}
	}
	forget := context.AfterFunc(ctx, func() { _ = conn.Close() })
	became, results, err := exchange(conn, b, deadline)
	if !forget() && err == nil { // there is an answer, but the connection is closed
		return became, results
	}
	if err != nil {
		_ = conn.Close()
		f.drop(address) // the others are of the same time
		return unknown, nil
	}
	f.put(address, conn)
	return became, results
}

func exchange(conn net.Conn, b []byte, deadline time.Time) (outcome, []byte, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return 0, nil, err
	}
	if _, err := conn.Write(append(appendLength(make([]byte, 0, 4+len(b)), len(b)), b...)); err != nil {
		return 0, nil, err
	}
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return 0, nil, err
	}
	results, err := readSized(conn, head[1:])
	return outcome(head[0]), results, err
}

var errSize = errors.New("more than an entry may have")

// readSized reads as many bytes as size says.
func readSized(r io.Reader, size []byte) ([]byte, error) {
	n := binary.BigEndian.Uint32(size)
	if n > maxEntry {
		return nil, errSize
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// take returns an idle connection, or nil if there is no such connection.
func (f *forwarder) take(address string) net.Conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	conns := f.idle[address]
	if len(conns) == 0 {
		return nil
	}
	conn := conns[len(conns)-1]
	f.idle[address] = conns[:len(conns)-1]
	return conn
}

func (f *forwarder) put(address string, conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end || len(f.idle[address]) >= idleConns {
		_ = conn.Close()
		return
	}
	if f.idle == nil {
		f.idle = make(map[string][]net.Conn)
	}
	f.idle[address] = append(f.idle[address], conn)
}

// drop closes the idle connections to an address.
func (f *forwarder) drop(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.idle[address] {
		_ = conn.Close()
	}
	delete(f.idle, address)
}

func (f *forwarder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end = true
	for _, conns := range f.idle {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	f.idle = nil
}

// serveForwards takes entries of another server.
func (l *Log) serveForwards(conn net.Conn) {
	served := make(chan struct{})
	var watch sync.WaitGroup
	defer watch.Wait()
	defer close(served)
	watch.Go(func() {
		select {
		case <-served:
		case <-l.closing:
			_ = conn.SetReadDeadline(time.Now()) // it waits for another entry
		}
	})
	for !isClosed(l.closing) && l.serveForward(conn) == nil {
	}
}

// isClosed reports whether a channel that gets no values is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// readable reports whether an entry can be applied. One that cannot be would
// stop all servers, now and whenever they start.
func (l *Log) readable(b []byte) bool {
	e, err := entry.Decode(b)
	if err != nil {
		return false
	}
	_, ok := e.(*entry.Once)
	return ok && l.noteEntries(version.Of(e)) == nil
}

// serveForward takes one entry. An error ends the connection.
func (l *Log) serveForward(conn net.Conn) error {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err // the other server has closed it
	}
	end, ok := l.begin()
	if !ok {
		return ErrClosed
	}
	defer end()
	if err := conn.SetReadDeadline(time.Now().Add(entryTimeout)); err != nil {
		return err
	}
	b, err := readSized(conn, size[:])
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	became, results := refused, []byte(nil)
	switch {
	case l.broken() != nil, l.Full():
	case !l.readable(b):
		became = foreign
	default:
		became, results = l.apply(b)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(entryTimeout)); err != nil {
		return err
	}
	_, err = conn.Write(append(appendLength([]byte{byte(became)}, len(results)), results...))
	return err
}

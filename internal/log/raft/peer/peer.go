// Package peer connects the servers of a cluster. Each server has one port for
// the others. The first byte of a connection says what it is for, and the
// second which partition it is about. Then comes the id of the server that is
// meant, because another one may have its address by now.
//
// Both ends of a connection show a certificate of the cluster's own authority,
// with the name of the server in it. Without certificates, servers connect on
// the loopback interface only.
package peer

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind says what a connection is for. It is the first byte of the connection.
type Kind byte

// The kinds.
const (
	Raft     Kind = 'r' // messages of Raft
	Forward  Kind = 'f' // entries for the leader
	Lease    Kind = 'l' // shares of limits
	Snapshot Kind = 's' // the state of a server
	Digests  Kind = 'd' // digests of it
	Operate  Kind = 'o' // what operators ask of the leader, in HTTP
	Question Kind = 'q' // what clients ask and another server cannot answer, in HTTP
	Hold     Kind = 'h' // calls for a server that holds a partition, and questions about partitions, in HTTP
	Change   Kind = 'c' // changes of the members; they are for whichever server is at the address
)

// Bounds.
const (
	maxConns   = 512             // accepted connections
	maxOpening = 64              // of them, those that have not said what they are for
	opening    = 5 * time.Second // how long that may take
)

// Errors.
var (
	errPlain   = errors.New("without certificates (cluster.tls), servers of a cluster connect on the loopback interface only")
	errUnknown = errors.New("the certificate is for none of the cluster's servers")
	errClosed  = net.ErrClosed
)

// Options configures a network.
type Options struct {
	Advertise   string       // host:port at which the other servers reach this one
	Credentials *Credentials // nil: plain text
	// returns the hosts of all servers that may connect; not used without
	// credentials
	Hosts func() []string
	Log   *slog.Logger // nil: nothing is logged

	// Connect makes a connection to an address; nil: by TCP.
	Connect func(ctx context.Context, address string) (net.Conn, error)
}

// Network is this server's connections to the others. Its methods are safe for
// concurrent use.
type Network struct {
	o        Options
	listener net.Listener

	conns   chan struct{} // holds a value for each accepted connection
	serving sync.WaitGroup

	// mu guards the fields below. No connection is used under it.
	mu       sync.Mutex
	closed   bool
	open     map[net.Conn]struct{} // accepted
	silent   []net.Conn            // of them, those that have not said what they are for, the oldest first
	warned   map[string]time.Time  // when a message was logged last
	handlers map[use]handler
}

// handler serves connections that are for the server with an id. Zero stands
// for connections to an address whose server is not known yet.
type handler struct {
	id    ID
	serve func(net.Conn)
}

// ID identifies a server. It belongs to what the server has promised to the
// others, and goes with it. A server with an emptied disk is another one: it
// would break what the old one has promised, above all its votes.
type ID [16]byte

// Target is a server that is meant: the address at which it was, and its id.
type Target struct {
	Address string // host:port
	ID      ID
}

// String returns the address and the id as one text.
func (t Target) String() string { return t.Address + "#" + hex.EncodeToString(t.ID[:]) }

// ParseTarget reads what [Target.String] returns.
func ParseTarget(text string) (t Target, err error) {
	address, id, _ := strings.Cut(text, "#")
	b, err := hex.DecodeString(id)
	if err == nil && len(b) != len(t.ID) {
		err = fmt.Errorf("an id of %d bytes", len(b))
	}
	if err != nil {
		return t, fmt.Errorf("server %q: %w", text, err)
	}
	return Target{address, ID(b)}, nil
}

// use is the purpose of a connection.
type use struct {
	kind      Kind
	partition byte
}

// New returns a network that takes connections from a listener, which it owns.
// It refuses plain text beyond the loopback interface.
func New(l net.Listener, o Options) (*Network, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Connect == nil {
		dialer := net.Dialer{KeepAliveConfig: keepAlive}
		o.Connect = func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}
	}
	if o.Credentials == nil {
		for _, address := range []string{l.Addr().String(), o.Advertise} {
			if !loopback(address) {
				return nil, errors.Join(fmt.Errorf("%s: %w", address, errPlain), l.Close())
			}
		}
	}
	return &Network{
		o: o, listener: l, conns: make(chan struct{}, maxConns),
		open: make(map[net.Conn]struct{}), warned: make(map[string]time.Time), handlers: make(map[use]handler),
	}, nil
}

// keepAlive finds a peer that is gone within half a minute.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4}

// loopback reports whether an address can only be of this machine.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Advertise returns the address at which the other servers reach this one.
func (n *Network) Advertise() string { return n.o.Advertise }

// Handle has connections of a kind for a partition served by h, which may be
// nil, if they are for the server with an id. A connection is closed when h
// returns.
func (n *Network) Handle(kind Kind, partition byte, id ID, h func(net.Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handlers[use{kind, partition}] = handler{id, h}
}

// Run takes connections until ctx ends. It then closes all that it took, and
// waits until their handlers have returned.
func (n *Network) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, n.close)
	defer stop()
	defer n.serving.Wait()
	defer n.close()
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, errClosed) {
				return nil // it was closed because it has to end
			}
			n.o.Log.Error("a connection of another server could not be accepted", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond): // perhaps there are too many files
			}
			continue
		}
		n.accept(conn)
	}
}

// close ends all connections.
func (n *Network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	_ = n.listener.Close()
	for conn := range n.open {
		_ = conn.Close()
	}
}

// accept serves a connection, or closes it if there are too many. If too many
// have not said what they are for, it closes the oldest of those: the other
// servers say it at once.
func (n *Network) accept(conn net.Conn) {
	select {
	case n.conns <- struct{}{}:
	default:
		n.warn("too many connections of other servers", "most", maxConns)
		_ = conn.Close()
		return
	}
	n.mu.Lock()
	if n.closed {
		_ = conn.Close()
	}
	n.open[conn] = struct{}{}
	n.silent = append(n.silent, conn)
	full := len(n.silent) > maxOpening
	if full {
		_ = n.silent[0].Close()
		n.silent = slices.Delete(n.silent, 0, 1)
	}
	n.serving.Go(func() { n.serve(conn) })
	n.mu.Unlock()
	if full {
		n.warn("too many connections that have not said what they are for", "most", maxOpening)
	}
}

func (n *Network) serve(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.open, conn)
		<-n.conns
	}()
	opened, use, id, err := n.begin(conn)
	n.mu.Lock()
	n.silent = slices.DeleteFunc(n.silent, func(c net.Conn) bool { return c == conn })
	n.mu.Unlock()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			n.warn("a connection of another server failed before it said what it is for", "from", conn.RemoteAddr().String(), "error", err)
		}
		return
	}
	n.mu.Lock()
	h := n.handlers[use]
	n.mu.Unlock()
	switch {
	case h.serve == nil:
	case h.id != id:
		n.warn("a connection is for another server; perhaps this one's disk was emptied, then it has to join again", "from", conn.RemoteAddr().String())
	default:
		h.serve(opened)
	}
	_ = opened.Close()
}

// warn logs a message, each at most once a minute, because strangers who
// connect must not be able to fill the log.
func (n *Network) warn(message string, attrs ...any) {
	n.mu.Lock()
	now := time.Now()
	due := now.Sub(n.warned[message]) > time.Minute
	if due {
		n.warned[message] = now
	}
	n.mu.Unlock()
	if due {
		n.o.Log.Warn(message, attrs...) //nolint:sloglint // each caller has a literal
	}
}

// begin makes a TLS connection, if it must be one, and reads what it is for.
func (n *Network) begin(conn net.Conn) (opened net.Conn, u use, id ID, err error) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(keepAlive)
	}
	if err := conn.SetDeadline(time.Now().Add(opening)); err != nil {
		return nil, u, id, err
	}
	if c := n.o.Credentials; c != nil {
		conn = tls.Server(conn, c.server(n.o.Hosts))
	}
	var first [2 + len(id)]byte
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		return nil, u, id, err
	}
	return conn, use{Kind(first[0]), first[1]}, ID(first[2:]), conn.SetDeadline(time.Time{})
}

// Dial connects to a server. The certificate of that server must be for the
// host of its address. ctx bounds the whole opening. If the server at the
// address has another id, it closes the connection.
func (n *Network) Dial(ctx context.Context, to Target, kind Kind, partition byte) (net.Conn, error) {
	address := to.Address
	if n.o.Credentials == nil && !loopback(address) {
		return nil, fmt.Errorf("connect to %s: %w", address, errPlain)
	}
	conn, err := n.o.Connect(ctx, address)
	if err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if limit := time.Now().Add(opening); !ok || limit.Before(deadline) {
		deadline = limit
	}
	opened, err := n.hello(conn, deadline, to, use{kind, partition})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", address, err), conn.Close())
	}
	return opened, nil
}

// hello makes a TLS connection, if it must be one, and says what it is for.
func (n *Network) hello(conn net.Conn, deadline time.Time, to Target, u use) (net.Conn, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if c := n.o.Credentials; c != nil {
		host, _, err := net.SplitHostPort(to.Address)
		if err != nil {
			return nil, err
		}
		conn = tls.Client(conn, c.client(host))
	}
	if _, err := conn.Write(append([]byte{byte(u.kind), u.partition}, to.ID[:]...)); err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

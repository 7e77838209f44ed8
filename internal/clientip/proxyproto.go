package clientip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt, section
// 2): the proxy opens the connection with a header that names the client.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	maxVersion1    = 107     // bytes of a version 1 line, including its end
	maxVersion2    = 4 << 10 // bytes after the fixed part of version 2, including TLVs: a certificate's names fit
)

// ErrProxyHeader is the error of reading from a connection whose PROXY header
// is missing, malformed or too long.
var ErrProxyHeader = errors.New("no valid PROXY protocol header")

// ProxyListener returns a listener whose connections have the address from the
// PROXY header as their remote address. Connections from peers that are not
// trusted stay unchanged. Trusted peers must open with a header: the protocol
// forbids to guess whether there is one, since a client could then send it. The
// header is read on the first use of the connection, not in Accept, so that a
// silent connection does not keep others out. It must be complete within
// timeout. resolver returns the resolver in force, which knows the trusted
// proxies. If an inner connection has a method Behind(netip.Addr) error, it is
// called with the address in the header, which is invalid if the header names
// none. An error of it ends the connection.
func ProxyListener(inner net.Listener, timeout time.Duration, resolver func() *Resolver) net.Listener {
	return &proxyListener{Listener: inner, resolver: resolver, timeout: timeout}
}

type proxyListener struct {
	net.Listener
	resolver func() *Resolver
	timeout  time.Duration
}

// Accept returns the next connection.
func (l *proxyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	peer, ok := parse(conn.RemoteAddr().String())
	if !ok || !l.resolver().trusted.Contains(peer) {
		return conn, nil
	}
	return &proxyConn{Conn: conn, timeout: l.timeout}, nil
}

// proxyConn is a connection from a trusted peer.
type proxyConn struct {
	net.Conn
	timeout time.Duration

	once   sync.Once
	remote net.Addr // set by once; nil means the peer's
	err    error    // set by once

	mu       sync.Mutex // guards what follows
	deadline time.Time  // the user's deadline for reading
	reading  bool       // the header is being read: the earlier of both deadlines applies
	until    time.Time
}

// RemoteAddr returns the address that the proxy names. It returns the proxy's
// own address if the header names none or is not valid. It waits for the
// header.
func (c *proxyConn) RemoteAddr() net.Addr {
	c.once.Do(c.open)
	if c.remote == nil {
		return c.Conn.RemoteAddr()
	}
	return c.remote
}

// Read reads what follows the header.
func (c *proxyConn) Read(b []byte) (int, error) {
	c.once.Do(c.open)
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(b)
}

// NetConn returns the connection to the proxy.
func (c *proxyConn) NetConn() net.Conn { return c.Conn }

// CloseWrite tells the peer that nothing more will be sent, if the connection
// supports it. net/http calls it so that the last answer arrives.
func (c *proxyConn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetDeadline sets both deadlines.
func (c *proxyConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline for reading. While the header is read, the
// earlier deadline applies.
func (c *proxyConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.applyLocked()
}

// applyLocked sets the connection's current deadline.
func (c *proxyConn) applyLocked() error {
	t := c.deadline
	if c.reading && (t.IsZero() || c.until.Before(t)) {
		t = c.until
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *proxyConn) setReading(reading bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading, c.until = reading, time.Now().Add(c.timeout)
	return c.applyLocked()
}

// open reads the header.
func (c *proxyConn) open() {
	err := c.setReading(true)
	var source netip.AddrPort
	if err == nil {
		source, err = readProxyHeader(c.Conn)
	}
	if err == nil {
		err = c.setReading(false)
	}
	if err != nil {
		c.err = fmt.Errorf("%w from %s: %w", ErrProxyHeader, c.Conn.RemoteAddr(), err)
		return
	}
	if source.IsValid() {
		c.remote = net.TCPAddrFromAddrPort(source)
	}
	if inner, ok := c.Conn.(interface{ Behind(addr netip.Addr) error }); ok {
		c.err = inner.Behind(source.Addr())
	}
}

// readProxyHeader reads a header from in, and not a byte more, so nothing has
// to be buffered afterwards. The address is invalid if the header names none:
// the connection is then the proxy's own (a health check), or of a family
// without IP addresses.
func readProxyHeader(in io.Reader) (netip.AddrPort, error) {
	var start [len(proxySignature)]byte // shorter than the shortest line of version 1
	if _, err := io.ReadFull(in, start[:]); err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case string(start[:]) == proxySignature:
		return readVersion2(in)
	case bytes.HasPrefix(start[:], []byte("PROXY ")):
		return readVersion1(in, start[:])
	}
	return netip.AddrPort{}, errors.New("neither version of the header begins like this")
}

// readVersion1 reads "PROXY TCP4 198.51.100.1 192.0.2.1 4711 443\r\n", whose
// beginning is line. It reads byte by byte, because the end of the line is not
// known in advance. Proxies with many connections use version 2.
func readVersion1(in io.Reader, line []byte) (netip.AddrPort, error) {
	line = append(make([]byte, 0, maxVersion1), line...)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxVersion1 {
			return netip.AddrPort{}, fmt.Errorf("version 1: the line is longer than %d bytes", maxVersion1)
		}
		line = line[:len(line)+1]
		if _, err := io.ReadFull(in, line[len(line)-1:]); err != nil {
			return netip.AddrPort{}, noEOF(err)
		}
	}
	fields := strings.Split(string(line[:len(line)-2]), " ")
	switch {
	case fields[1] == "UNKNOWN":
		return netip.AddrPort{}, nil
	case len(fields) != 6 || (fields[1] != "TCP4" && fields[1] != "TCP6"):
		return netip.AddrPort{}, errors.New("version 1: the line is malformed")
	}
	source, err := version1Address(fields[1], fields[2], fields[4])
	if err != nil {
		return netip.AddrPort{}, err
	}
	if _, err := version1Address(fields[1], fields[3], fields[5]); err != nil {
		return netip.AddrPort{}, err
	}
	return source, nil
}

func version1Address(family, address, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" || a.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, fmt.Errorf("version 1: %q is no %s address", address, family)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || (port[0] == '0' && port != "0") || port[0] == '+' {
		return netip.AddrPort{}, fmt.Errorf("version 1: %q is no port", port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// readVersion2 reads what follows the signature: version and command, family,
// length, addresses, and TLVs, which it skips.
func readVersion2(in io.Reader) (netip.AddrPort, error) {
	var fixed [4]byte
	if _, err := io.ReadFull(in, fixed[:]); err != nil {
		return netip.AddrPort{}, noEOF(err)
	}
	length := int(binary.BigEndian.Uint16(fixed[2:]))
	if length > maxVersion2 {
		return netip.AddrPort{}, fmt.Errorf("version 2: %d bytes, at most %d", length, maxVersion2)
	}
	rest := make([]byte, length)
	if _, err := io.ReadFull(in, rest); err != nil {
		return netip.AddrPort{}, noEOF(err)
	}
	return version2Address(fixed[0], fixed[1], rest)
}

// version2Address returns the source address from what follows the fixed part.
func version2Address(version, family byte, rest []byte) (netip.AddrPort, error) {
	const local, proxied = 0x20, 0x21
	switch {
	case version == local:
		return netip.AddrPort{}, nil
	case version != proxied:
		return netip.AddrPort{}, fmt.Errorf("version 2: unknown version or command %#x", version)
	}
	var size int
	switch family >> 4 {
	case 0, 3: // unspecified; a Unix socket
		return netip.AddrPort{}, nil
	case 1:
		size = 4
	case 2:
		size = 16
	default:
		return netip.AddrPort{}, fmt.Errorf("version 2: unknown address family %#x", family)
	}
	if len(rest) < 2*size+4 || family&0xf > 2 {
		return netip.AddrPort{}, fmt.Errorf("version 2: family %#x with %d bytes of addresses", family, len(rest))
	}
	addr, _ := netip.AddrFromSlice(rest[:size])
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(rest[2*size:])), nil
}

// noEOF distinguishes an end within the header from the regular end of a
// connection.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

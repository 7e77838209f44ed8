package clientip

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// version2 returns a header of version 2.
func version2(command, family byte, rest string) string {
	return proxySignature + string([]byte{command, family, byte(len(rest) >> 8), byte(len(rest))}) + rest
}

const (
	tcp4  = "\xc6\x33\x64\x01\xc0\x00\x02\x01\x12\x67\x01\xbb" // 198.51.100.1:4711 to 192.0.2.1:443
	hello = "hello"
)

var tcp6 = "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01" + strings.Repeat("\x00", 16) + "\x12\x67\x01\xbb"

// mapped is 198.51.100.1 written as IPv6.
var mapped = strings.Repeat("\x00", 10) + "\xff\xff\xc6\x33\x64\x01" + strings.Repeat("\x00", 16) + "\x12\x67\x01\xbb"

func TestProxyHeader(t *testing.T) {
	t.Parallel()
	const source, none = "198.51.100.1:4711", ""
	unknownTLVs := "\x01\x00\x02h2" + "\xee\x00\x03abc" + "\x04\x00\x00"
	for _, c := range []struct{ name, header, want string }{
		{"version 1", "PROXY TCP4 198.51.100.1 192.0.2.1 4711 443\r\n", source},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", "[2001:db8::1]:4711"},
		{"version 1, mapped", "PROXY TCP6 ::ffff:198.51.100.1 ::1 4711 443\r\n", source},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", none},
		{"version 1, unknown with the rest", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", none},
		{"version 2", version2(0x21, 0x11, tcp4), source},
		{"version 2, UDP", version2(0x21, 0x12, tcp4), source},
		{"version 2, IPv6", version2(0x21, 0x21, tcp6), "[2001:db8::1]:4711"},
		{"version 2, mapped", version2(0x21, 0x21, mapped), source},
		{"version 2, unknown TLVs", version2(0x21, 0x11, tcp4+unknownTLVs), source},
		{"version 2, the largest", version2(0x21, 0x11, tcp4+strings.Repeat("\x00", maxVersion2-len(tcp4))), source},
		{"version 2, local", version2(0x20, 0x00, ""), none},
		{"version 2, local with addresses", version2(0x20, 0x11, tcp4), none},
		{"version 2, unspecified", version2(0x21, 0x00, ""), none},
		{"version 2, Unix socket", version2(0x21, 0x31, strings.Repeat("\x00", 216)), none},
	} {
		in := strings.NewReader(c.header + hello)
		got, err := readProxyHeader(in)
		if err != nil || (c.want == none) != !got.IsValid() || (c.want != none && got.String() != c.want) {
			t.Errorf("%s: got %v, %v, want %q", c.name, got, err, c.want)
		}
		if rest, _ := io.ReadAll(in); string(rest) != hello {
			t.Errorf("%s: %q is left, want %q", c.name, rest, hello)
		}
	}
}

func TestProxyHeaderRefused(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"nothing":                   "",
		"no header":                 "GET / HTTP/1.1\r\n\r\n",
		"version 1, cut":            "PROXY TCP4 198.51.100.1 192.0.2.1 4711",
		"version 1, too long":       "PROXY UNKNOWN " + strings.Repeat("x", maxVersion1),
		"version 1, family":         "PROXY TCP5 198.51.100.1 192.0.2.1 4711 443\r\n",
		"version 1, IPv6 as TCP4":   "PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n",
		"version 1, leading zero":   "PROXY TCP4 010.51.100.1 192.0.2.1 4711 443\r\n",
		"version 1, zone":           "PROXY TCP6 fe80::1%eth0 fe80::2 4711 443\r\n",
		"version 1, port":           "PROXY TCP4 198.51.100.1 192.0.2.1 65536 443\r\n",
		"version 1, port with zero": "PROXY TCP4 198.51.100.1 192.0.2.1 04711 443\r\n",
		"version 1, destination":    "PROXY TCP4 198.51.100.1 x 4711 443\r\n",
		"version 1, two blanks":     "PROXY TCP4  198.51.100.1 192.0.2.1 4711 443\r\n",
		"version 2, cut":            version2(0x21, 0x11, tcp4)[:20],
		"version 2, cut early":      proxySignature + "\x21",
		"version 2, other version":  version2(0x31, 0x11, tcp4),
		"version 2, other command":  version2(0x22, 0x11, tcp4),
		"version 2, other family":   version2(0x21, 0x41, tcp4),
		"version 2, other protocol": version2(0x21, 0x13, tcp4),
		"version 2, no addresses":   version2(0x21, 0x21, tcp4),
		"version 2, too long":       version2(0x21, 0x11, tcp4+strings.Repeat("\x00", maxVersion2)),
	} {
		if got, err := readProxyHeader(strings.NewReader(header)); err == nil {
			t.Errorf("%s: accepted as %v", name, got)
		}
	}
}

// pipes is a listener whose connections are pipes from a peer with a given
// address.
type pipes struct {
	net.Listener
	conns chan net.Conn
}

type pipe struct {
	net.Conn
	peer string
}

func (p *pipe) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(p.peer)) }

func (p *pipes) Accept() (net.Conn, error) { return <-p.conns, nil }

// accept returns both sides of a connection from peer: the server's side as the
// PROXY listener returns it, and the client's.
func accept(t *testing.T, peer string) (server, client net.Conn) {
	t.Helper()
	inner := &pipes{conns: make(chan net.Conn, 1)}
	here, there := net.Pipe()
	inner.conns <- &pipe{Conn: here, peer: peer}
	server, err := ProxyListener(inner, 5*time.Second, func() *Resolver { return mustNew(t, "", ten) }).Accept()
	if err != nil {
		t.Fatal(err)
	}
	return server, there
}

func TestProxyConn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, peer, sent, want, read string }{
		{"trusted", "10.1.2.3:1", version2(0x21, 0x11, tcp4) + hello, "198.51.100.1:4711", hello},
		{"local", "10.1.2.3:1", version2(0x20, 0, "") + hello, "10.1.2.3:1", hello},
		{"not trusted: what it sends is not the protocol's", "192.0.2.9:1", "PROXY UNKNOWN\r\n", "192.0.2.9:1", "PROXY UNKNOWN\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, client := accept(t, c.peer)
			go func() {
				_, _ = io.WriteString(client, c.sent)
				_ = client.Close()
			}()
			if got := server.RemoteAddr().String(); got != c.want {
				t.Errorf("remote address %s, want %s", got, c.want)
			}
			if got, err := io.ReadAll(server); string(got) != c.read || err != nil {
				t.Errorf("read %q, %v, want %q", got, err, c.read)
			}
		})
	}
}

// A header that arrives in pieces is read. A header that is not complete in
// time ends the connection, whatever other deadline is set. An earlier deadline
// of the server applies.
func TestSlowProxyHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		pause    time.Duration // between bytes
		deadline time.Duration // of the server, if any
		want     time.Duration // until it fails; 0: it does not fail
	}{
		{"in pieces", 100 * time.Millisecond, 0, 0},
		{"too slow", 300 * time.Millisecond, 0, 5 * time.Second},
		{"too slow, a later deadline", 300 * time.Millisecond, time.Hour, 5 * time.Second},
		{"a sooner deadline", 100 * time.Millisecond, time.Second, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server, client := accept(t, "10.1.2.3:1")
				var slow sync.WaitGroup
				slow.Go(func() { dribble(client, version2(0x21, 0x11, tcp4)+hello, c.pause) })
				defer slow.Wait()
				start := time.Now()
				if c.deadline > 0 {
					_ = server.SetDeadline(start.Add(c.deadline))
				}
				_, err := io.ReadFull(server, make([]byte, len(hello)))
				took := time.Since(start)
				_ = server.Close()
				if c.want == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.Is(err, ErrProxyHeader) || !errors.Is(err, os.ErrDeadlineExceeded) || took != c.want {
					t.Errorf("after %v: %v, want a header that is late after %v", took, err, c.want)
				}
			})
		})
	}
}

func dribble(w io.WriteCloser, text string, pause time.Duration) {
	defer w.Close()
	for i := range len(text) {
		if _, err := io.WriteString(w, text[i:i+1]); err != nil {
			return
		}
		<-time.After(pause)
	}
}

// Once the header is read, its deadline is gone, and the server's applies.
func TestDeadlineAfterProxyHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, client := accept(t, "10.1.2.3:1")
		defer client.Close()
		_ = server.SetReadDeadline(time.Now().Add(time.Minute))
		start := time.Now()
		go func() { _, _ = io.WriteString(client, version2(0x21, 0x11, tcp4)) }()
		_, err := server.Read(make([]byte, 1))
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrProxyHeader) || took != time.Minute {
			t.Errorf("after %v: %v, want the server's deadline after a minute", took, err)
		}
		_ = server.Close()
	})
}

// A real server sees the client's address, and a silent connection does not
// keep others out.
func TestProxyServer(t *testing.T) {
	t.Parallel()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := mustNew(t, "", netip.MustParsePrefix("127.0.0.0/8"))
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		addr, _ := r.Addr(req.RemoteAddr, req.Header)
		_, _ = io.WriteString(w, addr.String())
	})}
	go func() { _ = server.Serve(ProxyListener(inner, time.Minute, func() *Resolver { return r })) }()
	defer server.Close()

	dial := func() net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	silent := dial()
	defer silent.Close()
	for sent, want := range map[string]string{
		version2(0x21, 0x11, tcp4):                        "\r\n\r\n198.51.100.1",
		"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n": "\r\n\r\n2001:db8::1",
		"PROXY UNKNOWN\r\n":                               "\r\n\r\n127.0.0.1",
		"":                                                "", // no header: closed without an answer
	} {
		conn := dial()
		_, _ = io.WriteString(conn, sent+"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		got, _ := io.ReadAll(conn)
		_ = conn.Close()
		if !strings.HasSuffix(string(got), want) || (want == "" && strings.Contains(string(got), "200 OK")) {
			t.Errorf("%q: got %q, want …%q", sent, got, want)
		}
	}
}

package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// sign makes a certificate. The first one of an authority signs itself.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// write puts the files of a server into dir.
func (a *authority) write(t *testing.T, dir, host string) {
	t.Helper()
	cert, key := a.sign(t, &x509.Certificate{
		DNSNames: []string{host}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":   {Type: "CERTIFICATE", Bytes: a.cert.Raw},
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert.Raw},
		"key.pem":  {Type: "EC PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *authority) credentials(t *testing.T, host string) (c *Credentials, dir string) {
	t.Helper()
	dir = t.TempDir()
	a.write(t, dir, host)
	c, err := Load(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

// names maps the addresses of a test's servers to those of their listeners.
type names struct {
	mu sync.Mutex
	at map[string]string
}

func (n *names) connect(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	at, ok := n.at[address]
	n.mu.Unlock()
	if !ok {
		at = address
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", at)
}

// start starts a network that is known at an address, and echoes what a
// connection for partition 3 sends.
func (n *names) start(t *testing.T, address string, c *Credentials) *Network {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if address == "" {
		address = l.Addr().String()
	}
	n.mu.Lock()
	n.at[address] = l.Addr().String()
	n.mu.Unlock()
	network, err := New(l, Options{
		Advertise: address, Credentials: c, Connect: n.connect, Hosts: func() []string { return []string{"a.test", "b.test"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	network.Handle(Forward, 3, ID{7}, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- network.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return network
}

// ask sends a word over a new connection, and returns what comes back.
func ask(t *testing.T, from *Network, to string, kind Kind, partition byte) (string, error) {
	t.Helper()
	conn, err := from.Dial(t.Context(), Target{to, ID{7}}, kind, partition)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	return echo(conn)
}

func echo(conn net.Conn) (string, error) {
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return "", err
	}
	b := make([]byte, 5)
	_, err := io.ReadFull(conn, b)
	return string(b), err
}

func TestKinds(t *testing.T) {
	t.Parallel()
	n := &names{at: make(map[string]string)}
	a, b := n.start(t, "", nil), n.start(t, "", nil)
	if got, err := ask(t, a, b.Advertise(), Forward, 3); got != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, u := range []use{{Forward, 2}, {Lease, 3}, {'G', 'E'}, {0, 0}} {
		if got, err := ask(t, a, b.Advertise(), u.kind, u.partition); err == nil {
			t.Errorf("%v: got %q", u, got)
		}
	}
}

// TestAnotherServer: a server that has the address of another one by now takes
// none of its connections.
func TestAnotherServer(t *testing.T) {
	t.Parallel()
	n := &names{at: make(map[string]string)}
	a, b := n.start(t, "", nil), n.start(t, "", nil)
	conn, err := a.Dial(t.Context(), Target{b.Advertise(), ID{8}}, Forward, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := echo(conn); err == nil {
		t.Errorf("got %q", got)
	}
	_ = conn.Close()
}

func TestTarget(t *testing.T) {
	t.Parallel()
	want := Target{"a.test:7946", ID([]byte("0123456789abcdef"))}
	if got, err := ParseTarget(want.String()); got != want || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"", "a.test:7946", "a.test:7946#", "a.test:7946#00", want.String() + "00", want.String() + "x"} {
		if got, err := ParseTarget(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

// TestPlainText: without certificates, nothing leaves the machine.
func TestPlainText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ listen, advertise string }{{":0", "127.0.0.1:1"}, {"127.0.0.1:0", "a.test:1"}, {"127.0.0.1:0", "192.0.2.1:1"}} {
		l, err := net.Listen("tcp", c.listen)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(l, Options{Advertise: c.advertise}); !errors.Is(err, errPlain) {
			t.Errorf("%v: got %v", c, err)
		}
	}
	n := &names{at: make(map[string]string)}
	if _, err := n.start(t, "", nil).Dial(t.Context(), Target{"192.0.2.1:1", ID{7}}, Forward, 3); !errors.Is(err, errPlain) {
		t.Errorf("got %v", err)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t), newAuthority(t)
	for name, c := range map[string]struct {
		from, to         *authority
		client, server   string // names in the certificates
		refused, refuses bool   // by the server; by the client
	}{
		"two servers":              {ours, ours, "a.test", "b.test", false, false},
		"no server of ours":        {ours, ours, "c.test", "b.test", true, false},
		"another authority":        {others, ours, "a.test", "b.test", true, true},
		"another server's name":    {ours, ours, "a.test", "a.test", false, true},
		"another authority's name": {ours, others, "a.test", "b.test", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &names{at: make(map[string]string)}
			client, _ := c.from.credentials(t, c.client)
			server, _ := c.to.credentials(t, c.server)
			a := n.start(t, "a.test:1", client)
			n.start(t, "b.test:1", server)
			got, err := ask(t, a, "b.test:1", Forward, 3)
			if ok := err == nil && got == "hello"; ok != (!c.refused && !c.refuses) {
				t.Errorf("got %q, %v", got, err)
			}
			if dialed, err := a.Dial(t.Context(), Target{"b.test:1", ID{7}}, Forward, 3); c.refuses != (err != nil) {
				t.Errorf("connected: %v", err)
			} else if err == nil {
				_ = dialed.Close()
			}
		})
	}
}

// TestOnlyTLS13: a server that has a certificate takes no plain text, no older
// TLS, and nobody without a certificate.
func TestOnlyTLS13(t *testing.T) {
	t.Parallel()
	n := &names{at: make(map[string]string)}
	ours := newAuthority(t)
	c, _ := ours.credentials(t, "b.test")
	n.start(t, "b.test:1", c)
	for name, open := range map[string]func(net.Conn) net.Conn{
		"plain text": func(conn net.Conn) net.Conn { return conn },
		"TLS 1.2": func(conn net.Conn) net.Conn {
			config := c.client("b.test")
			config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			return tls.Client(conn, config)
		},
		"no certificate": func(conn net.Conn) net.Conn {
			config := c.client("b.test")
			config.GetClientCertificate = nil
			return tls.Client(conn, config)
		},
	} {
		conn, err := n.connect(t.Context(), "b.test:1")
		if err != nil {
			t.Fatal(err)
		}
		opened := open(conn)
		_, err = opened.Write(append([]byte{byte(Forward), 3, 7}, make([]byte, 15)...))
		if err == nil {
			_, err = echo(opened)
		}
		if err == nil {
			t.Errorf("%s was taken", name)
		}
		_ = conn.Close()
	}
}

// TestRenewal: a connection that is made after the files have changed uses the
// new certificates. Files that are wrong change nothing.
func TestRenewal(t *testing.T) {
	t.Parallel()
	n := &names{at: make(map[string]string)}
	before, after := newAuthority(t), newAuthority(t)
	client, clientDir := before.credentials(t, "a.test")
	server, serverDir := before.credentials(t, "b.test")
	a := n.start(t, "a.test:1", client)
	n.start(t, "b.test:1", server)
	works := func(want bool) {
		t.Helper()
		if got, err := ask(t, a, "b.test:1", Forward, 3); (err == nil && got == "hello") != want {
			t.Errorf("got %q, %v, want that it works: %t", got, err, want)
		}
	}
	works(true)
	after.write(t, clientDir, "a.test")
	works(true)
	if err := client.Refresh(); err != nil {
		t.Fatal(err)
	}
	works(false)
	after.write(t, serverDir, "b.test")
	server.look()
	works(true)
	if err := os.WriteFile(filepath.Join(serverDir, "ca.pem"), []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Refresh(); err == nil || !strings.Contains(err.Error(), "ca.pem") {
		t.Errorf("got %v", err)
	}
	works(true)
}

// TestBounds: connections that do not say what they are for are few, and do not
// keep a server from connecting.
func TestBounds(t *testing.T) {
	t.Parallel()
	n := &names{at: make(map[string]string)}
	a, b := n.start(t, "", nil), n.start(t, "", nil)
	before, err := a.Dial(t.Context(), Target{b.Advertise(), ID{7}}, Forward, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = before.Close() }()
	if _, err := echo(before); err != nil { // it is open
		t.Fatal(err)
	}
	var silent []net.Conn
	for range maxOpening {
		conn, err := n.connect(t.Context(), b.Advertise())
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, conn)
	}
	if got, err := ask(t, a, b.Advertise(), Forward, 3); err != nil || got != "hello" {
		t.Errorf("a server among silent ones: got %q, %v", got, err)
	}
	if _, err := silent[0].Read(make([]byte, 1)); err == nil {
		t.Error("the oldest silent one was not closed")
	}
	if _, err := echo(before); err != nil {
		t.Error(err)
	}
	for _, conn := range silent {
		_ = conn.Close()
	}
}

// TestOneSnapshot: a server receives one snapshot at a time, and messages of
// Raft meanwhile.
func TestOneSnapshot(t *testing.T) {
	t.Parallel()
	_, _, from, to := two(t)
	target := to.LocalAddr()
	content := strings.Repeat("state", 100_000)
	install := func() error {
		return from.InstallSnapshot("b", target, &hraft.InstallSnapshotRequest{Size: int64(len(content))}, new(hraft.InstallSnapshotResponse), strings.NewReader(content))
	}
	first := make(chan error, 1)
	go func() { first <- install() }()
	rpc := <-to.Consumer() // the first has begun
	if err := install(); err == nil {
		t.Error("a second one was taken")
	}
	voted := make(chan error, 1)
	go func() {
		voted <- from.RequestVote("b", target, new(hraft.RequestVoteRequest), new(hraft.RequestVoteResponse))
	}()
	vote := <-to.Consumer()
	vote.Respond(new(hraft.RequestVoteResponse), nil)
	if err := <-voted; err != nil {
		t.Error(err)
	}
	got, err := io.ReadAll(rpc.Reader)
	if string(got) != content || err != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	rpc.Respond(&hraft.InstallSnapshotResponse{Success: true}, nil)
	if err := <-first; err != nil {
		t.Error(err)
	}
	go func() {
		for install() != nil { // until the server has noticed that the first is done
		}
		first <- nil
	}()
	rpc = <-to.Consumer()
	_, _ = io.Copy(io.Discard, rpc.Reader)
	rpc.Respond(&hraft.InstallSnapshotResponse{Success: true}, nil)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// two starts two servers, and returns their networks and transports.
func two(t *testing.T) (a, b *Network, from, to *Transport) {
	t.Helper()
	n := &names{at: make(map[string]string)}
	a, b = n.start(t, "", nil), n.start(t, "", nil)
	quiet := hclog.NewNullLogger()
	from, to = a.Transport(0, ID{1}, 10*time.Second, quiet), b.Transport(0, ID{2}, 10*time.Second, quiet)
	t.Cleanup(func() { _ = errors.Join(from.Close(), to.Close()) })
	return a, b, from, to
}

// TestUnreadAnswers: messages to a follower go on and come to an end though
// nobody reads the answers.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	_, _, from, to := two(t)
	const messages = 10
	go func() {
		for range messages {
			rpc := <-to.Consumer()
			rpc.Respond(new(hraft.AppendEntriesResponse), nil)
		}
	}()
	p, err := from.AppendEntriesPipeline("b", to.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		var last hraft.AppendFuture
		for i := range messages {
			sent, err := p.AppendEntries(&hraft.AppendEntriesRequest{LeaderCommitIndex: uint64(i)}, new(hraft.AppendEntriesResponse))
			if err != nil {
				answered <- err
				return
			}
			last = sent
		}
		answered <- last.Error()
	}()
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the sender is blocked")
	}
	for range messages {
		if answer := <-p.Consumer(); answer.Error() != nil {
			t.Error(answer.Error())
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestNothingNew: a message without entries that says the same as the one
// before is left out for a while.
func TestNothingNew(t *testing.T) {
	t.Parallel()
	_, _, from, to := two(t)
	p, err := from.AppendEntriesPipeline("b", to.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	entries := []*hraft.Log{{Index: 5}}
	ours, ok := p.(*pipeline)
	if !ok || ours.repeat > time.Second {
		t.Fatalf("got %+v", p)
	}
	for i, c := range []struct {
		request hraft.AppendEntriesRequest
		want    bool
	}{
		{hraft.AppendEntriesRequest{}, true},
		{hraft.AppendEntriesRequest{}, false},
		{hraft.AppendEntriesRequest{Term: 1}, true},
		{hraft.AppendEntriesRequest{Term: 1, PrevLogEntry: 4, Entries: entries}, true},
		{hraft.AppendEntriesRequest{Term: 1, PrevLogEntry: 5}, true},
		{hraft.AppendEntriesRequest{Term: 1, PrevLogEntry: 5}, false},
		{hraft.AppendEntriesRequest{Term: 1, PrevLogEntry: 5, LeaderCommitIndex: 5}, true},
		{hraft.AppendEntriesRequest{Term: 1, PrevLogEntry: 5, LeaderCommitIndex: 5, Entries: entries}, true},
		{hraft.AppendEntriesRequest{Term: 1, PrevLogEntry: 6, LeaderCommitIndex: 5}, true},
		{hraft.AppendEntriesRequest{Term: 1, PrevLogEntry: 6, LeaderCommitIndex: 5}, true}, // repeated after a while
	} {
		if ours.repeat = time.Hour; i == 9 {
			ours.repeat = 0
		}
		sent, err := p.AppendEntries(&c.request, new(hraft.AppendEntriesResponse))
		if err != nil {
			t.Fatal(err)
		}
		if (sent != nil) != c.want {
			t.Fatalf("message %d is sent: %t, want %t", i, sent != nil, c.want)
		}
		if !c.want {
			continue
		}
		rpc := <-to.Consumer()
		if got, ok := rpc.Command.(*hraft.AppendEntriesRequest); !ok || got.LeaderCommitIndex != c.request.LeaderCommitIndex || len(got.Entries) != len(c.request.Entries) {
			t.Errorf("message %d: got %+v", i, rpc.Command)
		}
		rpc.Respond(new(hraft.AppendEntriesResponse), nil)
		if answer := <-p.Consumer(); answer.Error() != nil {
			t.Error(answer.Error())
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

package chaos

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trackway/internal/prereq"
)

var partitionsFlag = flag.Int("partitions", 1, "how many `partitions` the servers have")

var keepFlag = flag.String("keep", "", "a `directory` for disks and logs that stays after the test")

const (
	project = "12345678-1234-1234-1234-123456789abc"
	key     = "Token public-key-7d1f0c52aa"
	reserve = 32 // mebibytes
	skew    = 2  // seconds
)

const baseConfig = `
server: {name: chaos-%d, region: test}
projects:
  - name: demo
    token: ` + project + `
    identifiers: {hard: [registered], soft: [cookie]}
    personal: [email]
    keys:
      - {name: web, kind: public, token: public-key-7d1f0c52aa}
      - {name: backend, kind: private, id: private-id-0b9e6f41c3, secret: secret-key-e83a1795d4}
`

// wideLimits are for tests that are not about limits.
const wideLimits = `
trusted_proxies: [127.0.0.0/8]
limits:
  - {name: track, paths: [/track/], limit: 4000000, window: 60s, per: ip}
  - {name: api, paths: [/api/, /data/], limit: 4000000, window: 30s, per: ip+path}
`

// cluster is the servers of a test.
type cluster struct {
	t       testing.TB
	random  *mathrand.Rand
	network *switchboard
	servers []*server
	load    *ledger
}

// newCluster starts servers, each of which joins the first one.
func newCluster(t *testing.T, n int, random *mathrand.Rand, limits, binary string) *cluster {
	t.Helper()
	places, network := newPlaces(t, n)
	c := &cluster{t: t, random: random, network: network}
	dir := *keepFlag
	if dir == "" {
		dir = t.TempDir()
	}
	certify := newAuthority(t)
	var peers []string
	for _, p := range places {
		peers = append(peers, fmt.Sprintf("%q", p.address.String()+":7946"))
	}
	const diskSize = 8 << 10 // most of it is never written
	for i, p := range places {
		home := filepath.Join(dir, fmt.Sprintf("%s-%d", t.Name(), i+1))
		if err := os.MkdirAll(home, 0o700); err != nil {
			t.Fatal(err)
		}
		s := newServer(t, p, i+1, home)
		s.binary = binary
		if err := p.disk(s.dir, diskSize); err != nil {
			prereq.Missing(t, prereq.Namespaces, "a file cannot be mounted: "+err.Error())
		}
		s.clock = newClock(t, home)
		config := fmt.Sprintf("partitions: %d\n", *partitionsFlag) + fmt.Sprintf(baseConfig, i+1) + others() + limits + fmt.Sprintf(`
cluster:
  name: chaos
  listen: %q
  peers: [%s]
  tls: {ca: ca.pem, cert: cert.pem, key: key.pem}
  reserve: %dMiB
  max_clock_skew: %ds
`, p.address.String()+":7946", strings.Join(peers, ", "), reserve, skew)
		s.files(func() error {
			return errors.Join(os.WriteFile(s.config(), []byte(config), 0o600), certify(s.dir, p.address.String()))
		})
		c.servers = append(c.servers, s)
	}
	t.Cleanup(func() {
		for _, s := range c.servers {
			if s.exited != nil {
				s.kill()
			}
			s.checkLog()
		}
	})
	for i, s := range c.servers {
		s.start()
		if i == 0 {
			s.must("cluster", "init")
		} else {
			s.must("cluster", "join", places[0].address.String()+":7946")
		}
	}
	c.awaitReady()
	return c
}

// others returns projects to which nothing is sent. Their tokens come first, so
// that the project of the test is in the last partition.
func others() string {
	var b strings.Builder
	for i := range *partitionsFlag - 1 {
		fmt.Fprintf(&b, "  - {name: other%d, token: %08d-0000-4000-8000-000000000000, identifiers: {hard: [registered]}, "+
			"keys: [{name: backend, kind: private, id: other-id-%d-0b9e6f41c3, secret: other-key-%d-e83a1795d4}]}\n", i, i, i, i)
	}
	return b.String()
}

// newAuthority returns a function that writes the certificate of a host into a
// directory.
func newAuthority(t *testing.T) func(dir, host string) error {
	t.Helper()
	authority := &x509.Certificate{
		Subject: pkix.Name{CommonName: "chaos"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SerialNumber: big.NewInt(1),
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0), // clocks will be wrong
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.CreateCertificate(rand.Reader, authority, authority, &signer.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return func(dir, host string) error {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(2), NotBefore: authority.NotBefore, NotAfter: authority.NotAfter, IPAddresses: []net.IP{net.ParseIP(host)},
		}, authority, &key.PublicKey, signer)
		if err != nil {
			return err
		}
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return err
		}
		write := func(name, kind string, der []byte) error {
			return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		return errors.Join(write("ca.pem", "CERTIFICATE", root), write("cert.pem", "CERTIFICATE", cert), write("key.pem", "EC PRIVATE KEY", der))
	}
}

func (c *cluster) awaitReady() {
	c.t.Helper()
	for _, s := range c.servers {
		s.awaitReady()
	}
}

// leader returns the server that leads. A server that was cut off may not know
// yet that it leads no more, so the highest term counts.
func (c *cluster) leader() *server {
	c.t.Helper()
	var found *server
	c.servers[0].eventually("a server leads", func(ctx context.Context) bool {
		term := uint64(0)
		for _, s := range c.servers {
			if !s.running() {
				continue
			}
			if status, err := s.status(ctx); err == nil && status.Leading && status.Term > term {
				found, term = s, status.Term
			}
		}
		return found != nil
	}, func() string { return "none does" })
	return found
}

// others returns the servers except some, in random order.
func (c *cluster) others(not ...*server) (others []*server) {
	for _, i := range c.random.Perm(len(c.servers)) {
		s := c.servers[i]
		skip := false
		for _, n := range not {
			skip = skip || s == n
		}
		if !skip {
			others = append(others, s)
		}
	}
	return others
}

// either returns the leader or another server.
func (c *cluster) either() *server {
	leader := c.leader()
	if c.random.IntN(2) == 0 {
		return leader
	}
	return c.others(leader)[0]
}

// settle waits until all servers are members with a vote and have the same
// entries. No data may differ.
func (c *cluster) settle() {
	c.t.Helper()
	var state strings.Builder
	c.servers[0].eventually("all servers have the same entries", func(ctx context.Context) bool {
		state.Reset()
		equal, applied := true, uint64(0)
		for i, s := range c.servers {
			status, err := s.status(ctx)
			if err != nil {
				fmt.Fprintf(&state, " %d: %v;", s.n, err)
				equal = false
				continue
			}
			fmt.Fprintf(&state, " %d: %d of %d, %d members;", s.n, status.Applied, status.Last, len(status.Members))
			if i == 0 {
				applied = status.Applied
			}
			equal = equal && status.Applied == applied && status.Ready == "" && len(status.Members) == len(c.servers)
			for _, m := range status.Members {
				equal = equal && m.Voter
				if m.Differs != 0 {
					c.t.Fatalf("server %d says that the data of %s differs", s.n, m.Address)
				}
			}
		}
		return equal
	}, state.String)
}

// pass waits.
func (c *cluster) pass(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.t.Context().Done():
	}
}

// between returns a random time.
func (c *cluster) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.random.Int64N(int64(most-least)))
}

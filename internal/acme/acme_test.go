package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"trackway/internal/certificate"
)

const site = "tracking.example.com"

// issued returns a certificate in PEM, with its key.
func issued(t *testing.T, name string, from, until time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(from.Unix()), DNSNames: []string{name}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := appendKey(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newManager(t *testing.T, dir string, hosts ...string) *Manager {
	t.Helper()
	m, err := New(Config{Hosts: hosts, Directory: certificate.LetsEncrypt, Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// life is how long the fake authority's certificates are valid.
const life = 90 * 24 * time.Hour

// pass lets time pass in a bubble.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // a bubble's time passes at once
	synctest.Wait()
}

// TestRun: a host without a certificate gets one at once, and another one when
// a third of its life is left. After a failure the pauses grow, and Let's
// Encrypt is only asked again after a successful rehearsal.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, t.TempDir(), site)
		began := time.Now()
		var mu sync.Mutex      // guards the next three
		var at []time.Duration // of rehearsals
		var calls []string
		down := 5 // attempts that fail
		seen := func() []string {
			mu.Lock()
			defer mu.Unlock()
			last := calls
			calls = nil
			return last
		}
		m.issue = func(_ context.Context, directory, name string) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			if name != site {
				t.Errorf("an order for %s", name)
			}
			switch directory {
			case certificate.LetsEncrypt:
				calls = append(calls, "order")
			case staging:
				calls = append(calls, "rehearsal")
				at = append(at, time.Since(began))
			}
			if down > 0 {
				down--
				return nil, errors.New("down")
			}
			return issued(t, name, time.Now(), time.Now().Add(life)), nil
		}
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = m.Run(ctx) }()
		pass(time.Hour)
		want := []string{"order", "rehearsal", "rehearsal", "rehearsal", "rehearsal", "rehearsal", "order"}
		if got := seen(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		mu.Lock()
		for i, m := range []int{1, 3, 7, 15, 31} {
			if want := time.Duration(m) * time.Minute; at[i] != want {
				t.Errorf("rehearsal %d came after %v, want %v", i, at[i], want)
			}
		}
		mu.Unlock()
		first, err := m.Get(&tls.ClientHelloInfo{ServerName: site})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Expires(); !got.Equal(first.Leaf.NotAfter) {
			t.Errorf("expires %v, want %v", got, first.Leaf.NotAfter)
		}

		pass(life/3*2 - life/30 - 2*time.Hour)
		if got := seen(); len(got) != 0 {
			t.Errorf("the certificate was renewed too early: %q", got)
		}
		pass(life/30 + 2*time.Hour)
		if got, want := seen(), []string{"order"}; !slices.Equal(got, want) { // no rehearsal: nothing failed before
			t.Errorf("got %q, want %q", got, want)
		}
		if cert, err := m.Get(&tls.ClientHelloInfo{ServerName: site}); err != nil || cert == first {
			t.Errorf("the first certificate is still served (%v)", err)
		}
		if got := testutil.ToFloat64(m.orders.WithLabelValues(failed)); got != 5 {
			t.Errorf("counted %v failures, want 5", got)
		}
		stop()
		synctest.Wait()
	})
}

// TestRunGoesOnServing: a certificate that cannot be renewed is served to its
// end and beyond, as the authority may come back.
func TestRunGoesOnServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := store(dir, site, issued(t, site, time.Now(), time.Now().Add(life))); err != nil {
			t.Fatal(err)
		}
		m := newManager(t, dir, site)
		var orders atomic.Int64
		m.issue = func(context.Context, string, string) ([]byte, error) { orders.Add(1); return nil, errors.New("down") }
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = m.Run(ctx) }()
		pass(life + time.Hour)
		if _, err := m.Get(&tls.ClientHelloInfo{ServerName: site}); err != nil {
			t.Error(err)
		}
		if n, most := int(orders.Load()), int(life/3/mostPause)+12+int(life/30/mostPause); n < 100 || n > most {
			t.Errorf("the authority was asked %d times in a third of the certificate's life, want 100 to %d", n, most)
		}
		stop()
		synctest.Wait()
	})
}

// TestRunWithWrongClock: if the clock is so far ahead that a new certificate
// seems to have ended, orders have pauses, as after failures.
func TestRunWithWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, t.TempDir(), site)
		const ahead = 100 * 24 * time.Hour
		var orders atomic.Int64
		m.issue = func(_ context.Context, directory, name string) ([]byte, error) {
			if directory == certificate.LetsEncrypt {
				if orders.Add(1) > 100 {
					return nil, errors.New("too many orders")
				}
			}
			return issued(t, name, time.Now().Add(-ahead), time.Now().Add(life-ahead)), nil
		}
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = m.Run(ctx) }()
		pass(time.Hour)
		if n := orders.Load(); n != 6 { // at 0, 1, 3, 7, 15 and 31 minutes
			t.Errorf("%d certificates were ordered in an hour, want 6", n)
		}
		if cert, err := m.Get(&tls.ClientHelloInfo{ServerName: site}); err != nil || cert.Leaf.NotAfter.After(time.Now()) {
			t.Errorf("the new certificate is not served (%v)", err)
		}
		stop()
		synctest.Wait()
	})
}

// TestClockTurnedBack: an order that failed while the clock was a year ahead is
// tried again within the longest pause, and not in a year.
func TestClockTurnedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, t.TempDir(), site)
		m.issue = func(_ context.Context, _, name string) ([]byte, error) {
			return issued(t, name, time.Now(), time.Now().Add(life)), nil
		}
		m.hosts[0].failures, m.hosts[0].due = 1, time.Now().AddDate(1, 0, 0)
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = m.Run(ctx) }()
		pass(mostPause + look)
		if _, err := m.Get(&tls.ClientHelloInfo{ServerName: site}); err != nil {
			t.Error(err)
		}
		stop()
		synctest.Wait()
	})
}

// TestRateLimit: an authority that refuses more orders has an hour's rest.
func TestRateLimit(t *testing.T) {
	m := newManager(t, t.TempDir(), site)
	m.issue = func(context.Context, string, string) ([]byte, error) {
		return nil, fmt.Errorf("creating new order: %w", acme.Problem{Type: acme.ProblemTypeRateLimited})
	}
	before := time.Now()
	m.renew(t.Context(), m.hosts[0])
	if wait := m.hosts[0].due.Sub(before); wait < time.Hour-time.Second {
		t.Errorf("the next order comes after %v, want an hour", wait)
	}
}

// TestGet: each host has its certificate, and a stranger's name gets that of
// the first host. Nothing but a running challenge answers a check.
func TestGet(t *testing.T) {
	dir := t.TempDir()
	const second = "ts2.example.com"
	for _, name := range []string{site, second} {
		if err := store(dir, name, issued(t, name, time.Now(), time.Now().Add(life))); err != nil {
			t.Fatal(err)
		}
	}
	m := newManager(t, dir, site, second, "new.example.com")
	for asked, want := range map[string]string{
		site: site, "TRACKING.example.com.": site, second: second, "other.example.org": site, "": site,
	} {
		cert, err := m.Get(&tls.ClientHelloInfo{ServerName: asked})
		if err != nil {
			t.Errorf("%q: %v", asked, err)
			continue
		}
		if got := cert.Leaf.DNSNames[0]; got != want {
			t.Errorf("%q got the certificate of %s, want %s", asked, got, want)
		}
	}
	if _, err := m.Get(&tls.ClientHelloInfo{ServerName: "new.example.com"}); err == nil || !strings.Contains(err.Error(), "new.example.com") {
		t.Errorf("got %v, want an error that names the host", err)
	}
	if !m.Expires().IsZero() {
		t.Error("a host has no certificate, and Expires does not show it")
	}
	check := &tls.ClientHelloInfo{ServerName: site, SupportedProtos: []string{ALPN}}
	if _, err := m.Get(check); err == nil {
		t.Error("a check was answered without a challenge")
	}
	challenge := new(tls.Certificate)
	m.hosts[0].challenge.Store(challenge)
	if got, err := m.Get(check); err != nil || got != challenge {
		t.Errorf("got %p (%v), want the challenge", got, err)
	}
}

// TestChallenge: only the path of a running challenge is answered.
func TestChallenge(t *testing.T) {
	m := newManager(t, t.TempDir(), site)
	m.tokens["/.well-known/acme-challenge/token"] = "token.key"
	w := httptest.NewRecorder()
	if !m.Challenge(w, httptest.NewRequest(http.MethodGet, "/.well-known/acme-challenge/token", nil)) || w.Body.String() != "token.key" {
		t.Errorf("got %q", w.Body)
	}
	for _, path := range []string{"/.well-known/acme-challenge/other", "/.well-known/acme-challenge/", "/"} {
		if m.Challenge(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)) {
			t.Errorf("%s was answered", path)
		}
	}
}

// TestFiles: keys are readable for their owner only, a certificate for another
// host or a damaged one counts as missing, and authorities do not share files.
func TestFiles(t *testing.T) {
	dir := certificate.Folder(t.TempDir(), certificate.LetsEncrypt)
	if other := certificate.Folder("x", staging); other == certificate.Folder("x", certificate.LetsEncrypt) || strings.ContainsAny(other[2:], ":?&") {
		t.Errorf("the staging directory has the folder %q", other)
	}
	newManager(t, dir, site) // makes the folder
	if _, err := accountKey(dir); err != nil {
		t.Fatal(err)
	}
	if err := store(dir, site, issued(t, site, time.Now(), time.Now().Add(life))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700, certificate.File(dir, site): 0o600, dir + "/" + account: 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has the mode %v, want %v", path, got, want)
		}
	}
	first, err := accountKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := accountKey(dir); err != nil || !again.(*ecdsa.PrivateKey).Equal(first) {
		t.Errorf("the account's key changed (%v)", err)
	}
	for name, text := range map[string][]byte{
		"of another host": issued(t, "other.example.com", time.Now(), time.Now().Add(life)),
		"cut off":         issued(t, site, time.Now(), time.Now().Add(life))[:300],
		"empty":           nil,
	} {
		if err := store(dir, site, text); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, site); err == nil || missing(err) {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := newManager(t, dir, site).Get(&tls.ClientHelloInfo{ServerName: site}); err == nil {
			t.Errorf("%s: it is served", name)
		}
	}
}

func TestLate(t *testing.T) {
	now := time.Now()
	leaf := &x509.Certificate{NotBefore: now.Add(-70 * 24 * time.Hour), NotAfter: now.Add(20 * 24 * time.Hour)}
	if !Late(leaf, now) || Late(leaf, now.Add(-10*24*time.Hour)) {
		t.Error("a certificate is late if less than a quarter of its life is left")
	}
}

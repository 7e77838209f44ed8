package certificate

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// issue writes a certificate for a host and its key into a directory.
func issue(t *testing.T, dir, host string, from, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: from, NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return cert, key
}

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSource: a renewed certificate is served after a minute. A bad one is
// never served, and is logged once.
func TestSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, now := t.TempDir(), time.Now()
		cert, key := issue(t, dir, "a.example", now, now.Add(time.Hour))
		var log bytes.Buffer
		s, err := New(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = s.Run(ctx) }()
		served := func() string {
			<-time.After(Look + time.Second)
			synctest.Wait()
			c, err := s.Get(nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.Leaf.DNSNames[0]
		}
		if got := served(); got != "a.example" || log.Len() > 0 {
			t.Errorf("got %s, log %q", got, log.String())
		}
		old, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		issue(t, dir, "b.example", now, now.Add(2*time.Hour))
		renewed, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, key, old) // the certificate is new, the key is still old
		for range 3 {
			if got := served(); got != "a.example" {
				t.Errorf("got %s", got)
			}
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "private key does not match") {
			t.Errorf("%d lines: %s", n, log.String())
		}
		if s.Refresh() == nil {
			t.Error("a reload is not told that the pair is wrong")
		}
		write(t, key, renewed)
		if got := served(); got != "b.example" || !s.Expires().Equal(now.Add(2*time.Hour).Truncate(time.Second)) {
			t.Errorf("got %s until %v", got, s.Expires())
		}
		if err := os.Remove(cert); err != nil {
			t.Fatal(err)
		}
		if got := served(); got != "b.example" {
			t.Errorf("got %s", got)
		}
	})
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	leaf := func(from, until time.Time) *x509.Certificate {
		c, err := Load(issue(t, t.TempDir(), "a.example", from, until))
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf
	}
	day := 24 * time.Hour
	for _, c := range []struct {
		from, until time.Time
		host, want  string
	}{
		{now.Add(-day), now.Add(15 * day), "", ""},
		{now.Add(-day), now.Add(15 * day), "a.example", ""},
		{now.Add(-day), now.Add(15 * day), "b.example", "not for the host of server.url"},
		{now.Add(-day), now.Add(13 * day), "", "expires on 2026-12-11 12:00 UTC, in 13 days"},
		{now.Add(-2 * day), now.Add(-day), "", "expired on 2026-11-27"},
		{now.Add(day), now.Add(15 * day), "", "not valid before 2026-11-29"},
	} {
		got := Warnings(leaf(c.from, c.until), c.host, now)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

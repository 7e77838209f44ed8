// Package certificate provides the server's TLS certificate as its files hold
// it at the moment, so that the server uses a renewed one without a restart. It
// does not request certificates.
package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Look is the interval at which the files are checked.
const Look = time.Minute

// Soon is how long before a certificate ends the operator is warned.
const Soon = 14 * 24 * time.Hour

// Load reads a certificate and its key from PEM files. It parses the
// certificate's Leaf. An error says what is wrong with which file, or that the
// key does not match.
func Load(cert, key string) (*tls.Certificate, error) {
	p, err := read(cert, key)
	if err != nil {
		return nil, err
	}
	return Parse(p.cert, p.key)
}

// Parse reads a certificate and its key in PEM. It parses the certificate's
// Leaf.
func Parse(cert, key []byte) (*tls.Certificate, error) {
	made, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	if made.Leaf == nil { // GODEBUG=x509keypairleaf=0 leaves it out
		if made.Leaf, err = x509.ParseCertificate(made.Certificate[0]); err != nil {
			return nil, err
		}
	}
	return &made, nil
}

// pair is the content of the two files.
type pair struct{ cert, key []byte }

func read(cert, key string) (p pair, err error) {
	if p.cert, err = os.ReadFile(cert); err != nil {
		return p, err // the error names the file
	}
	p.key, err = os.ReadFile(key)
	return p, err
}

func (p pair) equal(q pair) bool { return bytes.Equal(p.cert, q.cert) && bytes.Equal(p.key, q.key) }

// Warnings returns reasons why clients will refuse a certificate, now or within
// [Soon]. host is the name under which they reach the server; empty means
// unknown.
func Warnings(leaf *x509.Certificate, host string, now time.Time) []string {
	var found []string
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
	switch left := leaf.NotAfter.Sub(now); {
	case left < 0:
		found = append(found, "the certificate expired on "+day(leaf.NotAfter)+": clients refuse to connect")
	case left < Soon:
		found = append(found, fmt.Sprintf("the certificate expires on %s, in %d days: renew it", day(leaf.NotAfter), int(left.Hours()/24)))
	}
	if now.Before(leaf.NotBefore) {
		found = append(found, "the certificate is not valid before "+day(leaf.NotBefore)+": clients refuse to connect")
	}
	if host != "" {
		if err := leaf.VerifyHostname(host); err != nil {
			found = append(found, "the certificate is not for the host of server.url: "+err.Error())
		}
	}
	return found
}

// Source serves the certificate in two files. It is safe for concurrent use.
type Source struct {
	cert, key string // the files
	log       *slog.Logger

	served atomic.Pointer[tls.Certificate]

	mu    sync.Mutex // held during a whole check; guards what follows
	pair  pair       // the pair that is served
	wrong string     // what was logged about the files; empty if nothing is wrong
}

// New returns a source for two files. They must be valid.
func New(cert, key string, log *slog.Logger) (*Source, error) {
	s := &Source{cert: cert, key: key, log: log}
	if err := s.Refresh(); err != nil {
		return nil, err
	}
	return s, nil
}

// Get is [tls.Config.GetCertificate].
func (s *Source) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.served.Load(), nil }

// Expires returns when the served certificate ends.
func (s *Source) Expires() time.Time { return s.served.Load().Leaf.NotAfter }

// Collector returns a metric: when the served certificate ends, or the first of
// several. A zero time means that one is missing, and makes the metric 0.
func Collector(expires func() time.Time) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "trackway_tls_certificate_expires_timestamp_seconds",
		Help: "When the served certificate ends, in Unix time: the first of several, and 0 if one is missing.",
	}, func() float64 {
		if at := expires(); !at.IsZero() {
			return float64(at.Unix())
		}
		return 0
	})
}

// Refresh starts to serve what is in the files. If that is wrong, it returns
// the reason, and the server keeps the previous certificate. If nothing has
// changed, it costs two reads.
func (s *Source) Refresh() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := read(s.cert, s.key)
	if err != nil {
		return err
	}
	if p.equal(s.pair) {
		s.wrong = ""
		return nil
	}
	made, err := Parse(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", s.cert, s.key, err)
	}
	renewed := s.served.Swap(made) != nil
	s.pair, s.wrong = p, ""
	if renewed {
		s.log.Info("a new certificate is served", "expires", made.Leaf.NotAfter)
	}
	return nil
}

// Run checks the files each minute until ctx ends. It logs a problem once,
// until it changes: a new pair is written one file after the other.
func (s *Source) Run(ctx context.Context) error {
	tick := time.NewTicker(Look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.Refresh(); err != nil {
			s.complain(err)
		}
	}
}

func (s *Source) complain(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong == err.Error() {
		return
	}
	s.wrong = err.Error()
	s.log.Warn("the certificate in the files cannot be used: the previous one is still served", "err", err, "expires", s.Expires())
}

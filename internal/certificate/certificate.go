// Package certificate has the TLS certificate of a server as it is in its files
// now, so that a renewed one is served without a restart. It asks nobody for
// a certificate.
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

// Look is how often the files are looked at.
const Look = time.Minute

// Soon is how long before a certificate's end its operator is warned.
const Soon = 14 * 24 * time.Hour

// Load reads a pair of files in PEM. The certificate's Leaf is parsed. An
// error says what is wrong with which file, or that the key is another's.
func Load(cert, key string) (*tls.Certificate, error) {
	p, err := read(cert, key)
	if err != nil {
		return nil, err
	}
	return p.parse()
}

// pair is what is in the two files.
type pair struct{ cert, key []byte }

func read(cert, key string) (p pair, err error) {
	if p.cert, err = os.ReadFile(cert); err != nil {
		return p, err // which names the file
	}
	p.key, err = os.ReadFile(key)
	return p, err
}

func (p pair) equal(q pair) bool { return bytes.Equal(p.cert, q.cert) && bytes.Equal(p.key, q.key) }

func (p pair) parse() (*tls.Certificate, error) {
	made, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, err
	}
	if made.Leaf == nil { // as GODEBUG=x509keypairleaf=0 leaves it
		if made.Leaf, err = x509.ParseCertificate(made.Certificate[0]); err != nil {
			return nil, err
		}
	}
	return &made, nil
}

// Warnings returns what clients will not like about a certificate, now or
// within [Soon]. host is the name under which they reach the server; empty:
// not known.
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

// Source serves the pair of two files. Safe for concurrent use.
type Source struct {
	cert, key string // the files
	log       *slog.Logger

	served atomic.Pointer[tls.Certificate]

	mu    sync.Mutex // makes a look one step, and guards what follows
	pair  pair       // that is served
	wrong string     // what was logged about what is in the files; empty: nothing is wrong
}

// New returns a source for two files, which have to be right.
func New(cert, key string, log *slog.Logger) (*Source, error) {
	s := &Source{cert: cert, key: key, log: log}
	if err := s.Refresh(); err != nil {
		return nil, err
	}
	return s, nil
}

// Get is [tls.Config.GetCertificate].
func (s *Source) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.served.Load(), nil }

// Expires returns the end of the certificate that is served.
func (s *Source) Expires() time.Time { return s.served.Load().Leaf.NotAfter }

// Collector returns when the certificate that is served ends, as a metric.
func (s *Source) Collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "trackway_tls_certificate_expires_timestamp_seconds", Help: "When the certificate that is served ends, in Unix time.",
	}, func() float64 { return float64(s.Expires().Unix()) })
}

// Refresh serves from now on what is in the files. If that is wrong the error
// says why, and what was served goes on being served. It costs two reads if
// nothing has changed.
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
	made, err := p.parse()
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", s.cert, s.key, err)
	}
	renewed := s.served.Swap(made) != nil
	s.pair, s.wrong = p, ""
	if renewed {
		s.log.Info("another certificate is served", "expires", made.Leaf.NotAfter)
	}
	return nil
}

// Run looks at the files each minute until ctx ends. What is wrong with them is
// logged once, until it changes: a pair is written file by file.
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
	s.log.Warn("the certificate in the files cannot be used: the one before is still served", "err", err, "expires", s.Expires())
}

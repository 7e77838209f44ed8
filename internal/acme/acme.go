// Package acme gets the server's TLS certificates from an authority such as
// Let's Encrypt, and renews them (RFC 8555). It proves that the server holds
// each host by the challenges tls-alpn-01 (RFC 8737) and http-01 (RFC 8555,
// section 8.3). github.com/mholt/acmez speaks the protocol.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/certificate"
)

// ALPN is the protocol of connections that only check a challenge.
const ALPN = acmez.ACMETLS1Protocol

// staging is Let's Encrypt's directory for rehearsals. Few failed challenges
// there do not lock a host out for hours
// (letsencrypt.org/docs/staging-environment).
const staging = "https://acme-staging-v02.api.letsencrypt.org/directory"

const (
	look       = time.Minute     // how often the manager reads the clock, at least
	orderTime  = 5 * time.Minute // for one certificate
	leastPause = time.Minute     // after a failed order; each further one doubles it
	mostPause  = 6 * time.Hour
)

// Config holds the settings of a manager.
type Config struct {
	// Hosts are the DNS names that get a certificate each, in lower case and
	// without a dot at the end. There is at least one.
	Hosts     []string
	Email     string // where the authority reaches the operator; may be empty
	Directory string // URL of the authority's directory
	Dir       string // where the keys and certificates are, see [certificate.Folder]

	// HTTP says that [Manager.Challenge] answers requests on port 80 of the
	// hosts, so that http-01 is possible.
	HTTP bool

	Log *slog.Logger
}

// Manager serves a certificate for each host. It is safe for concurrent use.
type Manager struct {
	Config

	hosts  []*host
	orders *prometheus.CounterVec // by result

	// issue gets a certificate for a host from a directory, in PEM with its
	// key. Tests replace it.
	issue func(ctx context.Context, directory, host string) ([]byte, error)

	mu     sync.RWMutex
	tokens map[string]string // bodies of the answers to http-01, by path
}

// host is one host. Only the goroutine of [Manager.Run] uses due and failures.
type host struct {
	name      string
	served    atomic.Pointer[tls.Certificate]
	challenge atomic.Pointer[tls.Certificate] // while the authority checks tls-alpn-01

	due      time.Time // when the next order is due
	failures int       // since the last certificate
}

// New returns a manager that serves the certificates that are there. It makes
// the folder for them. A damaged certificate counts as missing, and is logged.
func New(c Config) (*Manager, error) {
	if err := makeFolder(c.Dir); err != nil {
		return nil, err
	}
	m := &Manager{Config: c, tokens: make(map[string]string), orders: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trackway_acme_orders_total", Help: "Orders of certificates from the authority.",
	}, []string{"result"})}
	for _, result := range []string{done, failed} {
		m.orders.WithLabelValues(result)
	}
	m.issue = m.order
	for _, name := range c.Hosts {
		h := &host{name: name}
		cert, err := Load(c.Dir, name)
		switch {
		case err == nil:
			h.served.Store(cert)
			h.due = renewal(cert)
		case !missing(err):
			c.Log.Warn("a certificate cannot be used: another one will be ordered", "host", name, "err", err)
		}
		m.hosts = append(m.hosts, h)
	}
	return m, nil
}

const done, failed = "done", "failed" // results of an order

// Get is [tls.Config.GetCertificate]. A client that names another host, or
// none, gets the certificate of the first host. Get never waits: it returns an
// error as long as the authority has issued no certificate.
func (m *Manager) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	h := m.host(hello.ServerName)
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == ALPN {
		if h != nil {
			if cert := h.challenge.Load(); cert != nil {
				return cert, nil
			}
		}
		return nil, errors.New("no challenge is under way")
	}
	if h == nil {
		h = m.hosts[0]
	}
	if cert := h.served.Load(); cert != nil {
		return cert, nil
	}
	return nil, fmt.Errorf("the authority has not issued a certificate for %s yet", h.name)
}

// host returns the host of a server name, or nil.
func (m *Manager) host(name string) *host {
	for _, h := range m.hosts {
		if strings.EqualFold(strings.TrimSuffix(name, "."), h.name) {
			return h
		}
	}
	return nil
}

// Challenge answers r if it is a request of the authority for http-01. It
// reports whether it did.
func (m *Manager) Challenge(w http.ResponseWriter, r *http.Request) bool {
	m.mu.RLock()
	body, ok := m.tokens[r.URL.Path]
	m.mu.RUnlock()
	if !ok {
		return false
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write([]byte(body)) // the authority asks again
	return true
}

// Expires returns when the first of the certificates ends. It is the zero time
// if a host has none.
func (m *Manager) Expires() time.Time {
	var first time.Time
	for _, h := range m.hosts {
		cert := h.served.Load()
		if cert == nil {
			return time.Time{}
		}
		if first.IsZero() || cert.Leaf.NotAfter.Before(first) {
			first = cert.Leaf.NotAfter
		}
	}
	return first
}

// Collector returns the number of orders as a metric.
func (m *Manager) Collector() prometheus.Collector { return m.orders }

// Refresh exists for a reload. The manager renews certificates by itself.
func (m *Manager) Refresh() error { return nil }

// Run orders certificates when they are due, one after the other, until ctx
// ends. Failures are logged and tried again.
func (m *Manager) Run(ctx context.Context) error {
	for {
		wait := look
		for _, h := range m.hosts {
			if next := wall().Add(mostPause); h.failures > 0 && next.Before(h.due) {
				h.due = next // the clock was ahead when the order failed
			}
			if ctx.Err() == nil && !wall().Before(h.due) {
				m.renew(ctx, h)
			}
			wait = min(wait, h.due.Sub(wall()))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// renew orders a certificate for h and says when the next order is due.
func (m *Manager) renew(ctx context.Context, h *host) {
	cert, err := m.attempt(ctx, h)
	if err != nil {
		if ctx.Err() != nil {
			return // the server stops
		}
		h.failures++
		pause := pause(h.failures)
		if refused(err) {
			pause = max(pause, time.Hour)
		}
		h.due = wall().Add(pause)
		m.orders.WithLabelValues(failed).Inc()
		m.Log.Warn("no certificate from the authority", "host", h.name, "err", err, "next", h.due, "failures", h.failures)
		return
	}
	h.served.Store(cert)
	m.orders.WithLabelValues(done).Inc()
	m.Log.Info("a new certificate is served", "host", h.name, "expires", cert.Leaf.NotAfter)
	if h.due = renewal(cert); h.due.After(wall()) {
		h.failures = 0
		return
	}
	// Without a pause, the server would order one certificate after another,
	// and the authority would lock the host out for a week.
	h.failures++
	h.due = wall().Add(pause(h.failures))
	m.Log.Warn("the new certificate would have to be renewed already: is this machine's clock right?", "host", h.name,
		"issued", cert.Leaf.NotBefore, "expires", cert.Leaf.NotAfter, "next", h.due)
}

// attempt orders a certificate. After a failure at Let's Encrypt, it rehearses
// at the staging directory first, because a host that fails five times an hour
// is refused (letsencrypt.org/docs/rate-limits).
func (m *Manager) attempt(ctx context.Context, h *host) (*tls.Certificate, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, orderTime, errors.New("the authority did not answer in time"))
	defer cancel()
	if h.failures > 0 && m.Directory == certificate.LetsEncrypt {
		if _, err := m.issue(ctx, staging, h.name); err != nil {
			return nil, fmt.Errorf("rehearsal: %w", err)
		}
	}
	return m.obtain(ctx, h.name)
}

// wall returns the time of the wall clock, which goes on while the machine
// sleeps.
func wall() time.Time { return time.Now().Round(0) }

// renewal returns when a certificate is to be renewed: after about two thirds
// of its life, and a little earlier at random, so that many servers do not ask
// at the same time.
func renewal(cert *tls.Certificate) time.Time {
	life := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)
	return cert.Leaf.NotAfter.Add(-life/3 - rand.N(life/30+1)) //nolint:gosec // no secret
}

// Late reports whether a certificate should have been renewed before now.
func Late(leaf *x509.Certificate, now time.Time) bool {
	return now.After(leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 4))
}

// pause returns how long to wait after a number of failures.
func pause(failures int) time.Duration {
	return min(leastPause<<min(failures-1, 16), mostPause)
}

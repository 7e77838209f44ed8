package peer

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

	"trackway/internal/certificate"
)

// Credentials are this server's certificate, and the authority that signs those
// of all servers of the cluster. They are as the files hold them at the moment:
// a connection that is made after a change of the files uses the new ones. It
// is safe for concurrent use.
type Credentials struct {
	own  *certificate.Source
	ca   string // the file
	log  *slog.Logger
	pool atomic.Pointer[x509.CertPool]

	mu    sync.Mutex // held during a whole check; guards what follows
	read  []byte     // content of ca
	wrong string     // what was logged about the files; empty if nothing is wrong
}

// Load reads the files: the certificates of the authority, and this server's
// certificate and key, as PEM.
func Load(ca, cert, key string, log *slog.Logger) (*Credentials, error) {
	own, err := certificate.New(cert, key, log)
	if err != nil {
		return nil, err
	}
	c := &Credentials{own: own, ca: ca, log: log}
	return c, c.Refresh()
}

// Refresh starts to use what is in the files. If something is wrong, it returns
// the reason, and what is wrong stays as it was.
func (c *Credentials) Refresh() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	read, err := os.ReadFile(c.ca)
	if err != nil {
		return err
	}
	if !bytes.Equal(read, c.read) {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(read) {
			return fmt.Errorf("%s holds no certificate", c.ca)
		}
		c.pool.Store(pool)
		c.read = read
	}
	return c.own.Refresh()
}

// Run checks the files each minute until ctx ends. It logs a problem once.
func (c *Credentials) Run(ctx context.Context) error {
	tick := time.NewTicker(certificate.Look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			c.look()
		}
	}
}

func (c *Credentials) look() {
	wrong := ""
	if err := c.Refresh(); err != nil {
		wrong = err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if wrong != "" && wrong != c.wrong {
		c.log.Error("the certificates of the cluster were not renewed", "error", wrong)
	}
	c.wrong = wrong
}

// server returns the settings of the end that was connected to. The other end
// must show a certificate for one of hosts.
func (c *Credentials) server(hosts func() []string) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: c.own.Get,
		ClientAuth:     tls.RequireAndVerifyClientCert,
		ClientCAs:      c.pool.Load(),
		VerifyConnection: func(s tls.ConnectionState) error {
			for _, host := range hosts() {
				if s.PeerCertificates[0].VerifyHostname(host) == nil {
					return nil
				}
			}
			return errUnknown
		},
		SessionTicketsDisabled: true, // a renewed authority decides at once
	}
}

// client returns the settings of the end that connects to host.
func (c *Credentials) client(host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: host,
		RootCAs:    c.pool.Load(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.own.Get(nil)
		},
	}
}

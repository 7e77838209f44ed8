package app

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/acme"
	"trackway/internal/certificate"
	"trackway/internal/config/reach"
	"trackway/internal/httpsonly"
	"trackway/internal/listen"
)

// certificates is where the certificate of the public listener comes from:
// [certificate.Source] or [acme.Manager].
type certificates interface {
	Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
	Expires() time.Time
	Refresh() error
	Run(ctx context.Context) error
}

// secure makes the public listener speak TLS if a certificate is configured. If
// plain HTTP is to be redirected, it opens a listener for that.
func (s *server) secure(ctx context.Context, reg *prometheus.Registry) error {
	t := &s.Config.TLS
	if !t.Secure() {
		return nil
	}
	home := reach.HTTPS(s.Config)
	s.home.Store(&home)
	port := s.public.Addr().(*net.TCPAddr).Port // listen.TCP opened it
	plain := httpsonly.Config{URL: func() string { return *s.home.Load() }, Port: uint16(port)}
	if t.Cert != "" {
		files, err := certificate.New(t.Cert, t.Key, s.Log)
		if err != nil {
			return err
		}
		s.certificate = files
		s.public.Secure(files.Get)
	} else {
		authority, err := acme.New(acme.Config{
			Hosts: t.ACME.Hosts, Email: t.ACME.Email, Directory: t.ACME.Directory, Dir: s.Config.CertificateFolder(),
			HTTP: t.Redirect != "", Log: s.Log,
		})
		if err != nil {
			return err
		}
		reg.MustRegister(authority.Collector())
		s.certificate, plain.Challenge = authority, authority.Challenge
		s.public.Secure(authority.Get, acme.ALPN)
	}
	reg.MustRegister(certificate.Collector(s.certificate.Expires))
	return s.redirect(ctx, t.Redirect, plain)
}

// redirect opens a listener for plain HTTP at addr, unless that is empty.
func (s *server) redirect(ctx context.Context, addr string, c httpsonly.Config) (err error) {
	if addr == "" {
		return nil
	}
	if s.plain, err = listen.TCP(ctx, "tls.redirect", addr, s.operatorBounds(), nil, s.Log); err != nil {
		return err
	}
	if s.Config.ProxyProtocol { // a proxy of TCP sends its header on both ports
		s.plain.BehindProxies(s.api.Clients)
	}
	s.plain.Handle(httpsonly.Handler(c))
	s.Log.Info("plain HTTP is redirected", "addr", s.plain.Addr().String())
	return nil
}

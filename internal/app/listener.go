package app

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/certificate"
	"trackway/internal/door"
)

// listener is an address and the server behind it.
type listener struct {
	ln   net.Listener
	srv  *http.Server
	door *door.Door
	log  *slog.Logger
	busy sync.WaitGroup // handlers that run
}

// Bounds on what a slow or idle client can hold: none of them concerns a client that sends and receives.
const (
	headerTimeout  = 10 * time.Second // from the connection on, its TLS handshake included
	requestTimeout = 60 * time.Second
	answerTimeout  = 2 * time.Minute // from the request's header on; a streamed answer gets more while it moves
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
)

func listen(ctx context.Context, addr string, d *door.Door, log *slog.Logger) (*listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &listener{ln: d.Listener(ln), door: d, log: log}
	l.srv = &http.Server{
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// net/http would answer "OPTIONS *" itself, past the limits.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
	}
	return l, nil
}

// handle has h serve the requests.
func (l *listener) handle(h http.Handler) { l.door.Serve(l.srv, l.counted(h)) }

// counted returns h, with what runs of it counted as busy.
func (l *listener) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.busy.Add(1)
		defer l.busy.Done()
		h.ServeHTTP(w, r)
	})
}

// secure has the public listener speak TLS if a certificate is configured.
func (s *server) secure(public *listener, reg prometheus.Registerer) error {
	t := s.Config.TLS
	if t.Cert == "" {
		return nil
	}
	source, err := certificate.New(t.Cert, t.Key, s.Log)
	if err != nil {
		return err
	}
	s.certificate = source
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "trackway_tls_certificate_expires_timestamp_seconds", Help: "When the certificate that is served ends, in Unix time.",
	}, func() float64 { return float64(source.Expires().Unix()) }))
	public.ln = tls.NewListener(public.ln, &tls.Config{
		GetCertificate: source.Get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	})
	return nil
}

// keepCertificate serves the certificate as it is in its files, until ctx ends.
func (s *server) keepCertificate(ctx context.Context) error {
	if s.certificate == nil {
		return nil
	}
	return s.certificate.Run(ctx)
}

func (l *listener) serve() error {
	if err := l.srv.Serve(l.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close stops at once but for the handlers that run: they are waited for.
func (l *listener) close() error {
	defer l.busy.Wait()
	return l.srv.Close()
}

// drain stops accepting, and waits for requests under way. Those are cut off at once of which nothing comes on, whose answer
// nobody reads, or that were answered; at the end of the time all others. No handler runs any more when it
// returns, so that what handlers use can be closed.
func (l *listener) drain() error {
	defer l.busy.Wait() // a request that was cut off has its context ended
	ctx, cancel := context.WithTimeoutCause(context.Background(), drainTime, errStopping)
	defer cancel()
	var draining sync.WaitGroup
	defer draining.Wait()
	defer cancel()
	draining.Go(func() { l.door.Drain(ctx) })
	err := l.srv.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	l.log.Warn("requests under way are cut off: they take longer than a stop may", "connections", l.door.Open(), "after", drainTime)
	return l.srv.Close()
}

// Package listen serves HTTP at an address, from the first connection to an
// orderly stop, with bounds on what a slow or idle client can hold. It knows no
// routes.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"trackway/internal/clientip"
	"trackway/internal/door"
	"trackway/internal/shortcut"
)

// An active client reaches none of these bounds.
const (
	headerTime  = 10 * time.Second // from the start of the connection, including its TLS handshake
	requestTime = 60 * time.Second
	answerTime  = 2 * time.Minute // from the request's header; an active streamed answer gets more
	idleTime    = 2 * time.Minute
	maxHeader   = 32 << 10 // bytes
)

// drainTime is how long requests under way may take after a stop has begun.
// Together with the steps that follow, it stays below the ten seconds that a
// stop may take.
const drainTime = 8 * time.Second

// Listener is an address and the HTTP server behind it. Call its methods in the
// order of their declaration, except [Listener.Serve] and those that end it.
type Listener struct {
	net.Listener

	Door *door.Door // bounds the connections

	srv   *http.Server
	log   *slog.Logger
	busy  sync.WaitGroup // running handlers, and answers to plain requests
	plain []string       // prefixes of the paths of plain requests; none: net/http serves all

	maxBody int // of plain requests, in bytes
}

// TCP listens on host:port, which is the value of a setting. trusted reports
// whether an address belongs to a proxy, see [door.Config]. If it is nil, no
// address is trusted.
func TCP(ctx context.Context, setting, addr string, b door.Bounds, trusted func(netip.Addr) bool, log *slog.Logger) (*Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	l := newListener(ln, b, trusted, log)
	l.srv.ReadTimeout, l.srv.WriteTimeout, l.srv.IdleTimeout, l.srv.MaxHeaderBytes = requestTime, answerTime, idleTime, maxHeader
	// net/http would answer "OPTIONS *" itself, bypassing the limits.
	l.srv.DisableGeneralOptionsHandler = true
	return l, nil
}

// Patient serves the connections that ln accepts. A request takes as long as it
// needs, or until ctx ends.
func Patient(ctx context.Context, ln net.Listener, b door.Bounds, log *slog.Logger) *Listener {
	l := newListener(ln, b, nil, log)
	l.srv.BaseContext = func(net.Listener) context.Context { return ctx }
	return l
}

func newListener(ln net.Listener, b door.Bounds, trusted func(netip.Addr) bool, log *slog.Logger) *Listener {
	l := &Listener{Door: door.New(door.Config{Bounds: b, HeaderTime: headerTime, Trusted: trusted, Log: log}), log: log}
	l.Listener = l.Door.Listener(ln)
	l.srv = &http.Server{
		ReadHeaderTimeout: headerTime,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // errors of clients
	}
	return l
}

// Handle sets the handler of the requests.
func (l *Listener) Handle(h http.Handler) {
	l.Door.Serve(l.srv, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.busy.Add(1)
		defer l.busy.Done()
		h.ServeHTTP(w, r)
	}))
}

// Shortcut answers plain requests below these prefixes without net/http, unless
// the listener is secure. Their answers must be short, and must not wait if the
// body has at most maxBody bytes: see [shortcut.Config].
func (l *Listener) Shortcut(maxBody int, prefixes ...string) { l.maxBody, l.plain = maxBody, prefixes }

// BehindProxies reads the addresses of callers from the PROXY header at the
// start of connections from trusted proxies.
func (l *Listener) BehindProxies(clients func() *clientip.Resolver) {
	l.Listener = clientip.ProxyListener(l.Listener, headerTime, clients)
}

// Secure makes the listener speak TLS. protocols are those of connections that
// end with the handshake (ALPN).
func (l *Listener) Secure(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), protocols ...string) {
	l.plain = nil // net/http has to see that it is TLS
	l.Listener = tls.NewListener(l.Listener, &tls.Config{
		GetCertificate: certificate, MinVersion: tls.VersionTLS12, NextProtos: append([]string{"h2", "http/1.1"}, protocols...),
	})
}

// Serve serves until the listener is closed, which is not an error.
func (l *Listener) Serve() error {
	ln := l.Listener
	if len(l.plain) > 0 {
		ln = shortcut.Listener(ln, shortcut.Config{Server: l.srv, Prefixes: l.plain, MaxBody: l.maxBody, Busy: &l.busy})
	}
	if err := l.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops at once. It returns after the last handler, so that the resources
// of handlers can then be closed.
func (l *Listener) Close() error {
	defer l.busy.Wait()
	err := l.srv.Close()
	if closeErr := l.Listener.Close(); !errors.Is(closeErr, net.ErrClosed) { // Serve never ran
		err = errors.Join(err, closeErr)
	}
	return err
}

// Drain accepts no more connections and waits up to eight seconds for requests
// under way. It closes at once the connections that send nothing more, whose
// answer nobody reads, or that are idle. Like Close, it returns after the last
// handler.
func (l *Listener) Drain() error {
	defer l.busy.Wait() // the context of a request that was cut off has ended
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var draining sync.WaitGroup
	defer draining.Wait()
	defer cancel()
	draining.Go(func() { l.Door.Drain(ctx) })
	err := l.srv.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		l.busy.Wait() // for plain requests, of which Shutdown does not know
		return err
	}
	l.log.Warn("requests under way are cut off: they take longer than a stop may", "connections", l.Door.Open(), "after", drainTime)
	return l.srv.Close()
}

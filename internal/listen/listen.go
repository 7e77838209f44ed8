// Package listen serves HTTP at an address: from the first connection, with
// bounds on what a slow or idle client can hold, to an orderly stop. It knows no
// route.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
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

// No client that sends and receives reaches one of these bounds.
const (
	headerTime  = 10 * time.Second // from the connection on, its TLS handshake included
	requestTime = 60 * time.Second
	answerTime  = 2 * time.Minute // from the request's header on; a streamed answer gets more while it moves
	idleTime    = 2 * time.Minute
	maxHeader   = 32 << 10 // bytes
)

// drainTime is how long requests that are under way may take once a stop began.
// With what follows it stays under the ten seconds that a stop may take.
const drainTime = 8 * time.Second

// Listener is an address and the HTTP server behind it. Its methods are called
// in the order in which they are declared, [Listener.Serve] and those that end
// it apart.
type Listener struct {
	net.Listener

	Door *door.Door // bounds the connections

	srv   *http.Server
	log   *slog.Logger
	busy  sync.WaitGroup // handlers that run, and answers of plain requests
	plain string         // prefix of the paths of those; empty: net/http has all
}

// TCP listens on host:port. trusted tells whether an address is a proxy's, see
// [door.Config]; nil: none is.
func TCP(ctx context.Context, addr string, b door.Bounds, trusted func(netip.Addr) bool, log *slog.Logger) (*Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	l := newListener(ln, b, trusted, log)
	l.srv.ReadTimeout, l.srv.WriteTimeout, l.srv.IdleTimeout, l.srv.MaxHeaderBytes = requestTime, answerTime, idleTime, maxHeader
	// net/http would answer "OPTIONS *" itself, past the limits.
	l.srv.DisableGeneralOptionsHandler = true
	return l, nil
}

// Patient serves what ln accepts. A request takes as long as it takes, or until
// ctx ends.
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
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
	}
	return l
}

// Handle has h serve the requests.
func (l *Listener) Handle(h http.Handler) {
	l.Door.Serve(l.srv, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.busy.Add(1)
		defer l.busy.Done()
		h.ServeHTTP(w, r)
	}))
}

// Shortcut has plain requests below a prefix answered past net/http, unless the
// listener is secure. Their answers must be short: see [shortcut.Config].
func (l *Listener) Shortcut(prefix string) { l.plain = prefix }

// BehindProxies takes the addresses of callers from the PROXY header with which
// connections from trusted proxies begin.
func (l *Listener) BehindProxies(clients func() *clientip.Resolver) {
	l.Listener = clientip.ProxyListener(l.Listener, headerTime, clients)
}

// Secure speaks TLS from now on.
func (l *Listener) Secure(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) {
	l.plain = "" // net/http has to see that it is TLS
	l.Listener = tls.NewListener(l.Listener, &tls.Config{
		GetCertificate: certificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	})
}

// Serve serves until the listener is closed, which is no error.
func (l *Listener) Serve() error {
	ln := l.Listener
	if l.plain != "" {
		ln = shortcut.Listener(ln, shortcut.Config{Server: l.srv, Prefix: l.plain, Busy: &l.busy})
	}
	if err := l.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops at once. It returns when no handler runs any more, so that what
// handlers use can be closed.
func (l *Listener) Close() error {
	defer l.busy.Wait()
	err := l.srv.Close()
	if closeErr := l.Listener.Close(); !errors.Is(closeErr, net.ErrClosed) { // it was not served
		err = errors.Join(err, closeErr)
	}
	return err
}

// Drain accepts no more, and waits for requests under way, for up to eight
// seconds. It cuts off at once those of which nothing more comes, whose answer
// nobody reads, or that were answered. Like Close, it returns when no handler
// runs any more.
func (l *Listener) Drain() error {
	defer l.busy.Wait() // a request that was cut off has its context ended
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var draining sync.WaitGroup
	defer draining.Wait()
	defer cancel()
	draining.Go(func() { l.Door.Drain(ctx) })
	err := l.srv.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	l.log.Warn("requests under way are cut off: they take longer than a stop may", "connections", l.Door.Open(), "after", drainTime)
	return l.srv.Close()
}

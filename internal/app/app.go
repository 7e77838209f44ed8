// Package app builds the server's graph of parts, starts it and stops it in order. Its one idea is that it alone knows both
// an interface and what implements it. It decides nothing else.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"trackway"
	"trackway/internal/api"
	"trackway/internal/auth"
	"trackway/internal/clientip"
	"trackway/internal/config"
	"trackway/internal/ingest"
	"trackway/internal/limit"
	"trackway/internal/ops"
	"trackway/internal/store"
)

// drainTime is how long requests that are under way may take once a stop began. With what follows it stays under the ten
// seconds that a stop may take.
const drainTime = 8 * time.Second

// maxCallers is how many callers can be counted at once, at 27 bytes each.
const maxCallers = 1 << 20

// errStopping is what /-/ready answers during a stop, so that balancers send nobody any more.
var errStopping = errors.New("stopping")

// Run serves until ctx ends, and returns nil once everything has stopped cleanly: requests under way are answered, then the
// store is closed. ready is called once, when both listeners accept; it gets their addresses.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger, ready func(public, ops net.Addr)) (err error) {
	reg := newRegistry()
	st, err := openStore(cfg, log, reg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	handler, err := newAPI(cfg, log, reg, st)
	if err != nil {
		return err
	}
	var stopping atomic.Bool
	isReady := func() error {
		if stopping.Load() {
			return errStopping
		}
		return nil
	}
	public, err := listen(ctx, cfg.Listen, handler, log)
	if err != nil {
		return err
	}
	private, err := listen(ctx, cfg.OpsListen, ops.Handler(reg, isReady), log)
	if err != nil {
		return errors.Join(err, public.ln.Close())
	}
	if public.ln, err = withTLS(public.ln, cfg.TLS); err != nil {
		return errors.Join(err, public.ln.Close(), private.ln.Close())
	}
	ready(public.ln.Addr(), private.ln.Addr())
	return serve(ctx, public, private, func() { stopping.Store(true) })
}

// serve runs both listeners until ctx ends or one fails. The operator's stays until the public one has drained.
func serve(ctx context.Context, public, private *listener, stopping func()) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(public.serve)
	g.Go(private.serve)
	g.Go(func() error {
		<-ctx.Done()
		stopping()
		return errors.Join(public.drain(), private.srv.Close())
	})
	return g.Wait()
}

// newRegistry returns the process's own metrics; the parts add theirs.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return reg
}

func openStore(cfg *config.Config, log *slog.Logger, reg prometheus.Registerer) (*store.Store, error) {
	const private = 0o700
	if err := os.MkdirAll(cfg.DataDir, private); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	return store.Open(filepath.Join(cfg.DataDir, "store"), store.Options{
		Log: log, Registry: reg,
		Fatal: func(err error) {
			log.Error("the disk does not keep what is written to it: stopping", "err", err)
			os.Exit(1) //nolint:forbidigo // a clean stop would go on writing to a disk that has failed
		},
	})
}

func newAPI(cfg *config.Config, log *slog.Logger, reg prometheus.Registerer, st *store.Store) (*api.Server, error) {
	projects := make([]trackway.Project, len(cfg.Projects))
	for i, p := range cfg.Projects {
		var err error
		if p.Number, err = st.Project(p.Token); err != nil {
			return nil, fmt.Errorf("register project %q: %w", p.Name, err)
		}
		projects[i] = p
	}
	clients, err := clientip.New(clientip.Config{Trusted: cfg.TrustedProxies, Header: cfg.ClientIPHeader})
	if err != nil {
		return nil, err
	}
	set, err := limit.NewSet(cfg.Policies, cfg.Overrides)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	return api.New(api.Config{
		Name: cfg.Server.Name, Access: api.Access{Keys: auth.New(projects), Clients: clients}, Limits: limit.New(set, maxCallers),
		Ingest: ingest.New(st, reg), Store: st, Eraser: st, Log: log, Registry: reg,
	}), nil
}

// listener is an address and the server behind it.
type listener struct {
	ln  net.Listener
	srv *http.Server
}

// Bounds on what a slow or idle client can hold: none of them concerns a client that sends and receives.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 60 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
)

func listen(ctx context.Context, addr string, h http.Handler, log *slog.Logger) (*listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &listener{ln: ln, srv: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
	}}, nil
}

// withTLS wraps the listener if a certificate is configured.
func withTLS(ln net.Listener, t config.TLS) (net.Listener, error) {
	if t.Cert == "" {
		return ln, nil
	}
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return ln, fmt.Errorf("load certificate: %w", err)
	}
	return tls.NewListener(ln, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	}), nil
}

func (l *listener) serve() error {
	if err := l.srv.Serve(l.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drain stops accepting, waits for requests under way, and cuts off those that take too long.
func (l *listener) drain() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), drainTime, errStopping)
	defer cancel()
	if err := l.srv.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("drain: %w", err), l.srv.Close())
	}
	return nil
}

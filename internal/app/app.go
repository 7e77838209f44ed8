// Package app builds the server's graph of parts, starts it and stops it in order. Its one idea is that it alone knows both
// an interface and what implements it. It decides nothing else.
package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"trackway/internal/api"
	"trackway/internal/clientip"
	"trackway/internal/config"
	"trackway/internal/fleet"
	"trackway/internal/ingest"
	"trackway/internal/limit"
	"trackway/internal/limit/traffic"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/ops"
	"trackway/internal/rates"
	"trackway/internal/store"
	"trackway/internal/upkeep"
	"trackway/web"
)

// drainTime is how long requests that are under way may take once a stop began. With what follows it stays under the ten
// seconds that a stop may take.
const drainTime = 8 * time.Second

// storeDir is the store's folder in the data directory.
const storeDir = "store"

// MaxCallers is how many callers can be counted at once, at 27 bytes each.
const MaxCallers = 1 << 20

// errStopping is what /-/ready answers during a stop, so that balancers send nobody any more.
var errStopping = errors.New("stopping")

// Run serves until ctx ends, and returns nil once everything has stopped cleanly: requests under way are answered, then the
// store is closed.
func Run(ctx context.Context, setup Setup) (err error) {
	cfg, log := setup.Config, setup.Log
	reg := newRegistry()
	s := &server{Setup: setup}
	if s.store, err = openStore(cfg, log, reg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.store.Close()) }()
	if s.history, err = openHistory(cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.history.Close()) }()
	s.traffic = newTraffic(cfg, log)
	reg.MustRegister(traffic.NewCollector(s.traffic))
	defer func() { _ = s.traffic.Close() }()         // it has been logged, and is no failure of a server
	public, err := listen(ctx, cfg.Listen, nil, log) // first, because the guide says where
	if err != nil {
		return err
	}
	s.address = public.ln.Addr()
	if err := s.build(reg); err != nil {
		return errors.Join(err, public.ln.Close())
	}
	public.srv.Handler = public.counted(s.api)
	private, err := listen(ctx, cfg.OpsListen, ops.Handler(ops.Config{
		Gatherer: reg, Reload: s.reload,
		Ready: s.ready,
	}), log)
	if err != nil {
		return errors.Join(err, public.ln.Close())
	}
	if cfg.ProxyProtocol {
		public.ln = clientip.ProxyListener(public.ln, headerTimeout, s.api.Clients)
	}
	if public.ln, err = withTLS(public.ln, cfg.TLS); err != nil {
		return errors.Join(err, public.ln.Close(), private.ln.Close())
	}
	socket, err := s.listenControl(ctx)
	if err != nil {
		return errors.Join(err, public.ln.Close(), private.ln.Close())
	}
	setup.Ready(public.ln.Addr(), private.ln.Addr())
	return s.serve(ctx, public, private, socket)
}

// build makes the parts between the store and the listeners.
func (s *server) build(reg *prometheus.Registry) error {
	set, err := limit.NewSet(s.Config.Policies, s.Config.Overrides)
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	s.limits = limit.New(set, MaxCallers)
	s.traffic.Reload(recording(s.Config))
	reg.MustRegister(limit.NewCollector(s.limits))
	access, err := newAccess(s.Config, s.store)
	if err != nil {
		return err
	}
	if access.Guide, err = s.publish(s.Config, set); err != nil {
		return err
	}
	projects, err := numbered(s.Config, s.store)
	if err != nil {
		return err
	}
	s.upkeep = upkeep.New(s.store, projects, s.Log, reg)
	s.fleet = fleet.New(fleetOf(s.Config, s.address))
	site, err := web.Built()
	if err != nil {
		return err
	}
	now := time.Now()
	s.ingest = ingest.New(s.store, reg)
	callers, meter := watch.New(now), rates.New(now)
	s.live = live.New(s.store, func(err error) { s.Log.Error("the log cannot be read for those who watch", "err", err) })
	s.pages = s.newPages(access.Keys, callers, meter)
	s.api = api.New(api.Config{
		Access: access, Limits: s.limits, Ingest: s.ingest, Store: s.store, Eraser: eraser{s.store, s.live},
		Fleet: s.fleet, History: s.history, Watch: callers, Traffic: s.traffic, Rates: meter, Live: s.live, Grid: s.pages, Site: site,
		Version: s.Version, Log: s.Log, Registry: reg,
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaitEndLocked()
	return nil
}

// serve runs the listeners until ctx ends or one fails. The operator's stays until the public one has drained.
func (s *server) serve(ctx context.Context, public, private, socket *listener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(public.serve)
	g.Go(private.serve)
	g.Go(socket.serve)
	g.Go(func() error { return s.fleet.Run(ctx) })
	g.Go(func() error { return s.live.Run(ctx) }) // which ends the streams, so that draining need not wait for them
	g.Go(func() error { return s.upkeep.Run(ctx) })
	g.Go(func() error { return s.traffic.Run(ctx) })
	g.Go(func() error {
		s.reloadOnHangup(ctx)
		s.stopping.Store(true)
		s.awaitNoEnd()
		s.fleet.Stop()
		return errors.Join(socket.close(), public.drain(), private.close()) //nolint:contextcheck // ctx has ended; draining has its own time
	})
	return g.Wait()
}

// ready tells a balancer whether to send requests here.
func (s *server) ready() error {
	if s.stopping.Load() {
		return errStopping
	}
	return s.store.Ready()
}

// reloadOnHangup reloads whenever it is asked to, until ctx ends.
func (s *server) reloadOnHangup(ctx context.Context) {
	for {
		select {
		case <-s.Hangup:
			_ = s.reload() // it has been logged, and there is nobody else to tell
		case <-ctx.Done():
			return
		}
	}
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
	dir, err := privateDir(cfg.DataDir, log)
	if err != nil {
		return nil, err
	}
	return store.Open(dir, store.Options{Log: log, Registry: reg, Name: rand.Text(), Fatal: ends(log)})
}

// listener is an address and the server behind it.
type listener struct {
	ln   net.Listener
	srv  *http.Server
	busy sync.WaitGroup // handlers that run
}

// Bounds on what a slow or idle client can hold: none of them concerns a client that sends and receives.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 60 * time.Second
	answerTimeout  = 2 * time.Minute // from the request's header on; a streamed answer gets more while it moves
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
)

func listen(ctx context.Context, addr string, h http.Handler, log *slog.Logger) (*listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &listener{ln: ln}
	l.srv = &http.Server{
		Handler:           l.counted(h),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
	}
	return l, nil
}

// counted returns h, with what runs of it counted as busy.
func (l *listener) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.busy.Add(1)
		defer l.busy.Done()
		h.ServeHTTP(w, r)
	})
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

// close stops at once but for the handlers that run: they are waited for.
func (l *listener) close() error {
	defer l.busy.Wait()
	return l.srv.Close()
}

// drain stops accepting, waits for requests under way, and cuts off those that take too long. No handler runs any more when it
// returns, so that what handlers use can be closed.
func (l *listener) drain() error {
	defer l.busy.Wait() // a request that was cut off has its context ended
	ctx, cancel := context.WithTimeoutCause(context.Background(), drainTime, errStopping)
	defer cancel()
	if err := l.srv.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("drain: %w", err), l.srv.Close())
	}
	return nil
}

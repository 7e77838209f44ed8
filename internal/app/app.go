// Package app builds the server's graph of parts, starts it and stops it in order. Its one idea is that it alone knows both
// an interface and what implements it. It decides nothing else.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
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

// MaxCallers is how many callers can be counted at once at most, at 27 bytes each; a process that may take little memory counts fewer.
const MaxCallers = 1 << 20

// errStopping is what /-/ready answers during a stop, so that balancers send nobody any more.
var errStopping = errors.New("stopping")

// Run serves until ctx ends, and returns nil once everything has stopped cleanly: requests under way are answered, then the
// store is closed.
func Run(ctx context.Context, setup Setup) (err error) {
	cfg, log := setup.Config, setup.Log
	reg := newRegistry()
	s := &server{Setup: setup}
	if s.bounds, err = boundsOf(cfg); err != nil {
		return err
	}
	reg.MustRegister(s.bounds.collectors()...)
	if s.store, err = openStore(cfg, s.bounds, log, reg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.store.Close()) }()
	if s.history, err = openHistory(cfg, log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.history.Close()) }()
	s.traffic = newTraffic(cfg, log)
	reg.MustRegister(traffic.NewCollector(s.traffic))
	defer func() { _ = s.traffic.Close() }() // it has been logged, and is no failure of a server
	s.door = newDoor(s.bounds.public(cfg, log), func(a netip.Addr) bool { return s.api.Clients().Trusts(a) }, log)
	reg.MustRegister(s.door.Collector())
	public, err := listen(ctx, cfg.Listen, s.door, log) // first, because the guide says where
	if err != nil {
		return err
	}
	s.address = public.ln.Addr()
	if err := s.build(reg); err != nil {
		return errors.Join(err, public.ln.Close())
	}
	public.handle(s.api)
	private, err := listen(ctx, cfg.OpsListen, newDoor(s.bounds.operator(), nil, log), log)
	if err != nil {
		return errors.Join(err, public.ln.Close())
	}
	private.handle(ops.Handler(ops.Config{Gatherer: reg, Reload: s.reload, Ready: s.ready, Listen: cfg.OpsListen}))
	if cfg.ProxyProtocol {
		public.ln = clientip.ProxyListener(public.ln, headerTimeout, s.api.Clients)
	}
	if err := s.secure(public, reg); err != nil {
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
	s.limits = limit.New(set, s.bounds.memory.Callers)
	s.traffic.Reload(recording(s.Config))
	reg.MustRegister(limit.NewCollector(s.limits))
	access, projects, err := newAccess(s.Config, s.store)
	if err != nil {
		return err
	}
	if access.Guide, err = s.publish(s.Config, set); err != nil {
		return err
	}
	s.upkeep = upkeep.New(s.store, projects, s.Log, reg)
	s.fleet = fleet.New(fleetOf(s.Config, s.address))
	built, err := web.Built()
	if err != nil {
		return err
	}
	now := time.Now()
	s.ingest = ingest.New(s.store, reg)
	callers, meter := watch.New(now), rates.New(now)
	s.live = live.New(s.store, func(err error) { s.Log.Error("the log cannot be read for those who watch", "err", err) })
	s.dashboard = s.newDashboard(access.Keys, callers, meter)
	s.api = api.New(api.Config{
		Access: access, Limits: s.limits, Ingest: s.ingest, Store: s.store, Eraser: eraser{s.store, s.live},
		Fleet: s.fleet, History: s.history, Watch: callers, Traffic: s.traffic, Rates: meter, Live: s.live, Dashboard: s.dashboard, Built: built,
		Version: s.Version, Log: s.Log, Registry: reg, Bodies: s.bounds.memory.Bodies, Answers: s.bounds.memory.Answers,
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
	g.Go(func() error { return s.keepCertificate(ctx) })
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

func openStore(cfg *config.Config, b bounds, log *slog.Logger, reg prometheus.Registerer) (*store.Store, error) {
	dir, err := privateDir(cfg.DataDir, log)
	if err != nil {
		return nil, err
	}
	return store.Open(dir, store.Options{
		Log: log, Registry: reg, Name: rand.Text(), Fatal: ends(log),
		Cache: b.memory.Cache, MemTable: b.memory.MemTable,
	})
}

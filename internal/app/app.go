// Package app builds the server's graph of parts, starts it and stops it in
// order. It alone knows both an interface and what implements it. It decides
// nothing else.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"trackway/internal/api"
	"trackway/internal/budget"
	"trackway/internal/certificate"
	"trackway/internal/config"
	"trackway/internal/datadir"
	"trackway/internal/door"
	"trackway/internal/fleet"
	"trackway/internal/ingest"
	"trackway/internal/limit"
	"trackway/internal/limit/watch"
	"trackway/internal/listen"
	"trackway/internal/live"
	"trackway/internal/ops"
	"trackway/internal/rates"
	"trackway/internal/store"
	"trackway/internal/upkeep"
	"trackway/web"
)

// errStopping is what /-/ready answers during a stop, so that balancers send nobody any more.
var errStopping = errors.New("stopping")

// Run serves until ctx ends, and returns nil once everything has stopped
// cleanly: requests under way are answered, then the store is closed.
func Run(ctx context.Context, setup Setup) (err error) {
	cfg, log, reg := setup.Config, setup.Log, newRegistry()
	s := &server{Setup: setup}
	closing := func(f func() error) { err = errors.Join(err, f()) }
	if err := s.openStore(reg); err != nil {
		return err
	}
	defer closing(s.store.Close)
	reg.MustRegister(s.budget.Collectors()...)
	if s.history, err = openHistory(cfg, log); err != nil {
		return err
	}
	s.traffic = newTraffic(cfg, log)
	s.traffic.Register(reg)
	defer func() { _ = s.traffic.Close() }() // it has been logged, and is no failure of a server
	trusted := func(a netip.Addr) bool { return s.api.Clients().Trusts(a) }
	if s.public, err = listen.TCP(ctx, cfg.Listen, s.publicBounds(cfg), trusted, log); err != nil { // first, because the guide says where
		return err
	}
	defer closing(s.public.Close)
	reg.MustRegister(s.public.Door.Collector())
	defer s.stop()
	if err := s.build(reg); err != nil { //nolint:contextcheck // requests have contexts of their own
		return err
	}
	s.public.Handle(s.api)
	private, err := listen.TCP(ctx, cfg.OpsListen, s.operatorBounds(), nil, log)
	if err != nil {
		return err
	}
	defer closing(private.Close)
	private.Handle(ops.Handler(ops.Config{Gatherer: reg, Reload: s.reload, Ready: s.ready, Listen: cfg.OpsListen}))
	if cfg.ProxyProtocol {
		s.public.BehindProxies(s.api.Clients)
	}
	if err := s.secure(reg); err != nil {
		return err
	}
	socket, err := s.listenControl(ctx)
	if err != nil {
		return err
	}
	defer closing(socket.Close)
	setup.Ready(s.public.Addr(), private.Addr())
	return s.serve(ctx, private, socket)
}

// build makes the parts between the store and the listeners.
func (s *server) build(reg *prometheus.Registry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.prepare(s.Config)
	if err != nil {
		return err
	}
	s.limits = limit.New(p.limits, s.budget.Memory.Callers)
	reg.MustRegister(limit.NewCollector(s.limits))
	if p.access.Guide, err = s.publishLocked(s.Config, p.limits); err != nil {
		return err
	}
	built, err := web.Built()
	if err != nil {
		return err
	}
	s.traffic.Reload(recording(s.Config))
	s.upkeep = upkeep.New(s.store, p.projects, s.Log, reg)
	s.fleet = fleet.New(fleetOf(s.Config, s.public.Addr()))
	now := time.Now()
	s.ingest = ingest.New(s.store, reg)
	callers, meter := watch.New(now), rates.New(now)
	s.live = live.New(s.store, func(err error) { s.Log.Error("the log cannot be read for those who watch", "err", err) })
	s.dashboard = s.newDashboard(p.projects, callers, meter)
	s.api = api.New(api.Config{
		Access: p.access, Limits: s.limits, Ingest: s.ingest, Store: s.store, Eraser: eraser{s.store, s.live},
		Fleet: s.fleet, History: s.history, Watch: callers, Traffic: s.traffic, Rates: meter, Live: s.live, Dashboard: s.dashboard, Built: built,
		Version: s.Version, Log: s.Log, Registry: reg, Bodies: s.budget.Memory.Bodies, Answers: s.budget.Memory.Answers,
	})
	return nil
}

// secure has the public listener speak TLS if a certificate is configured.
func (s *server) secure(reg *prometheus.Registry) (err error) {
	t := s.Config.TLS
	if t.Cert == "" {
		return nil
	}
	if s.certificate, err = certificate.New(t.Cert, t.Key, s.Log); err != nil {
		return err
	}
	reg.MustRegister(s.certificate.Collector())
	s.public.Secure(s.certificate.Get)
	return nil
}

// serve runs the listeners until ctx ends or one fails. The operator's stays until the public one has drained.
func (s *server) serve(ctx context.Context, private, socket *listen.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(s.public.Serve)
	g.Go(private.Serve)
	g.Go(socket.Serve)
	g.Go(func() error { return s.fleet.Run(ctx) })
	g.Go(func() error { return s.live.Run(ctx) }) // which ends the streams, so that draining need not wait for them
	g.Go(func() error { return s.upkeep.Run(ctx) })
	g.Go(func() error { return s.traffic.Run(ctx) })
	if s.certificate != nil {
		g.Go(func() error { return s.certificate.Run(ctx) })
	}
	g.Go(func() error {
		s.reloadOnHangup(ctx)
		s.stop()
		s.fleet.Stop()
		var drained errgroup.Group
		drained.Go(socket.Drain)                                              // so that batches of an import are answered, not sent again
		return errors.Join(s.public.Drain(), drained.Wait(), private.Close()) //nolint:contextcheck // ctx has ended; draining has its own time
	})
	return g.Wait()
}

// stop has balancers send nobody any more, and the guide stay as it is.
func (s *server) stop() {
	s.stopping.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publishAtLocked(time.Time{})
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

// openStore opens the store, with what the process may take.
func (s *server) openStore(reg *prometheus.Registry) (err error) {
	if s.budget, err = budget.Take(s.Config.Memory.MaxBytes(), store.Descriptors); err != nil {
		return err
	}
	dir, err := privateDir(s.Config.DataDir, s.Log)
	if err != nil {
		return err
	}
	s.store, err = store.Open(dir, store.Options{
		Log: s.Log, Registry: reg, Name: rand.Text(), Fatal: datadir.Fatal(s.Log),
		Cache: s.budget.Memory.Cache, Known: s.budget.Memory.Known, MemTable: s.budget.Memory.MemTable,
	})
	return err
}

func (s *server) publicBounds(cfg *config.Config) door.Bounds {
	most, headers := s.budget.Connections(int(cfg.Connections.Max), cfg.TLS.Cert != "", s.Log)
	return door.Bounds{Max: most, PerAddress: int(cfg.Connections.PerAddress), Headers: headers}
}

// operatorBounds are those of the operator's listener and of the control socket
// each. Files are kept for them, so that a full public listener can be looked at.
func (s *server) operatorBounds() door.Bounds { return door.Bounds{Max: s.budget.Files.Operator} }

// Package app builds the parts of the server, starts them, and stops them in
// order. Only this package knows both the interfaces and the types that
// implement them. It makes no other decisions.
package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"trackway/internal/api"
	"trackway/internal/api/body"
	"trackway/internal/app/member"
	"trackway/internal/audit"
	"trackway/internal/budget"
	"trackway/internal/config"
	"trackway/internal/datadir"
	"trackway/internal/door"
	"trackway/internal/fleet"
	"trackway/internal/ingest"
	"trackway/internal/limit"
	"trackway/internal/limit/watch"
	"trackway/internal/listen"
	"trackway/internal/ops"
	"trackway/internal/rates"
	"trackway/internal/store"
	"trackway/internal/suspect"
	"trackway/internal/trace"
	"trackway/web"
)

// errStopping is the answer of /-/ready during a stop, so that load balancers
// send no more requests.
var errStopping = errors.New("stopping")

// errAgain ends a run that must begin again. It is no failure.
var errAgain = errors.New("the server starts again")

// Run serves until ctx ends. It answers the requests under way, closes the
// store, and returns nil if everything has stopped cleanly. A member of a
// cluster whose data was replaced begins again.
func Run(ctx context.Context, setup Setup) error {
	ready, first := setup.Ready, new(sync.Once)
	setup.Ready = func(public, ops net.Addr) { first.Do(func() { ready(public, ops) }) }
	for {
		err := run(ctx, &setup)
		if !errors.Is(err, errAgain) {
			return err
		}
		setup.Log.Info("starting again, with other data")
	}
}

func run(ctx context.Context, setup *Setup) (err error) {
	cfg, log, reg := setup.Config, setup.Log, newRegistry()
	s := &server{Setup: *setup, audit: newAudit(cfg, log)}
	defer func() { setup.Config = s.Config }() // a reload may have replaced it
	closing := func(f func() error) { err = errors.Join(err, f()) }
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		if errors.Is(context.Cause(ctx), errAgain) {
			err = errAgain // what was cut off by that is no failure
		}
		cancel(nil)
	}()
	s.traces = trace.New(log, reg)
	defer s.traces.Close() //nolint:contextcheck // when all that it may record has ended
	if err := s.openStore(ctx, reg, func() { cancel(errAgain) }); err != nil {
		return err
	}
	defer closing(s.closeStore)
	if s.member != nil {
		if err := s.awaitCluster(ctx, reg); ctx.Err() != nil || err != nil {
			return unlessEnded(ctx, err)
		}
		s.serveParts()
	}
	reg.MustRegister(s.budget.Collectors()...)
	if err := s.newDestinations(); err != nil {
		return err
	}
	for _, p := range s.here() {
		p.metrics(reg).MustRegister(p.destinations.Collector())
	}
	if s.history, err = openHistory(cfg, log); err != nil {
		return err
	}
	s.traffic = newTraffic(cfg, log)
	s.traffic.Register(reg)
	defer func() { _ = s.traffic.Close() }() // the error has been logged, and is no failure of the server
	trusted := func(a netip.Addr) bool { return s.api.Clients().Trusts(a) }
	// First, because the guide names its address.
	if s.public, err = listen.TCP(ctx, "listen", cfg.Listen, s.publicBounds(cfg), trusted, log); err != nil {
		return err
	}
	defer closing(s.public.Close)
	reg.MustRegister(s.public.Door.Collector())
	defer s.stop()
	if err := s.build(reg); err != nil { //nolint:contextcheck // requests have contexts of their own
		return err
	}
	plain := []string{"/track/", "/v1/", "/api/s/", "/batch", "/capture", "/e", "/i/"} // whose answers are short
	s.public.Handle(s.handler(plain))
	s.takeQuestions(ctx)
	s.public.Shortcut(body.Light, plain...) // larger bodies may wait for their turn
	private, err := listen.TCP(ctx, "ops_listen", cfg.OpsListen, s.operatorBounds(), nil, log)
	if err != nil {
		return err
	}
	defer closing(private.Close)
	private.Handle(ops.Handler(ops.Config{Gatherer: reg, Reload: func() error { return s.reload(audit.Ops) }, Ready: s.ready, Notes: s.notes, Listen: cfg.OpsListen, Cluster: s.clusterStatus()})) //nolint:contextcheck // a reload outlives its request
	if cfg.ProxyProtocol {
		s.public.BehindProxies(s.api.Clients)
	}
	if err := s.secure(ctx, reg); err != nil {
		return err
	}
	if s.plain != nil {
		defer closing(s.plain.Close)
	}
	socket, err := s.listenControl(ctx)
	if err != nil {
		return err
	}
	defer closing(socket.Close)
	s.started()
	defer func() { s.ended(err) }()
	setup.Ready(s.public.Addr(), private.Addr())
	return s.serve(ctx, private, socket)
}

// build creates the parts between the store and the listeners.
func (s *server) build(reg *prometheus.Registry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.begin()
	if err != nil {
		return err
	}
	s.limits = limit.New(p.limits, s.budget.Memory.Callers)
	reg.MustRegister(limit.NewCollector(s.limits))
	s.shareLimits(reg)
	if p.access.Guide, err = s.publishLocked(s.Config, p.limits); err != nil {
		return err
	}
	built, err := web.Built()
	if err != nil {
		return err
	}
	s.traffic.Reload(recording(s.Config))
	s.traces.Reload(tracing(s.Config, s.Version))
	s.upkeep = s.newUpkeeps(p.projects, reg)
	s.fleet = fleet.New(s.fleetOf(s.Config))
	now := time.Now()
	s.keepContracts(reg, p.projects)
	s.ingest = ingest.New(s.taking(), s.contracts, reg)
	s.suspects = suspect.New(s.ingest, s.store, s.Log, reg)
	callers, meter := watch.New(now), rates.New(now)
	s.live = s.newLive()
	s.catalogue = s.newCatalogue(p.projects)
	sendOn, _, err := s.destinations.Reload(s.Config.Destinations, p.projects)
	if err != nil {
		return err
	}
	s.setProjects(p.projects)
	if s.alarms, err = s.newAlarms(reg, p.projects, meter); err != nil {
		return err
	}
	s.dashboard = s.newDashboard(p.projects, callers, meter)
	sendOn()
	s.api = api.New(api.Config{
		Access: p.access, Limits: s.limits, Ingest: s.ingest, Store: s.store, Eraser: eraser{s.store, s.live, s.catalogue}, Types: s.catalogue, Suspects: s.suspects, Contracts: s.contracts,
		Fleet: s.fleet, History: s.history, Watch: callers, Traffic: s.traffic, Rates: meter, Live: s.live, Dashboard: s.pages(), Built: built, Alarms: s.alarms.Report,
		Version: s.Version, Log: s.Log, Registry: reg, Bodies: s.budget.Memory.Bodies, Answers: s.budget.Memory.Answers,
		CPUs: s.Processors, Shared: s.shared(), Holders: s.holders(), Traces: s.traces, Audit: s.audit,
	})
	return nil
}

// serve runs the listeners until ctx ends or one of them fails. The operator's
// listener stays until the public one has drained.
func (s *server) serve(ctx context.Context, private, socket *listen.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(s.public.Serve)
	g.Go(private.Serve)
	if s.plain != nil {
		g.Go(s.plain.Serve)
	}
	g.Go(socket.Serve)
	g.Go(func() error { return s.fleet.Run(ctx) })
	g.Go(func() error { return s.live.Run(ctx) }) // its end ends the streams, so draining does not wait for them
	g.Go(func() error { return s.destinations.Run(ctx) })
	g.Go(func() error { return s.catalogue.Run(ctx) })
	labels, answered := context.WithCancel(context.WithoutCancel(ctx)) // ends once no call can bring another label
	g.Go(func() error { return s.suspects.Run(labels) })
	g.Go(func() error { return s.upkeep.Run(ctx) })
	g.Go(func() error { return s.traffic.Run(ctx) })
	g.Go(func() error { return s.alarms.run(ctx) })
	g.Go(func() error { return s.audit.Run(ctx) })
	if s.certificate != nil {
		g.Go(func() error { return s.certificate.Run(ctx) })
	}
	if s.member != nil {
		g.Go(func() error { return s.member.Run(ctx) })
		g.Go(func() error { return s.member.Watch(ctx) })
		g.Go(func() error { return s.followMembers(ctx) })
		for _, one := range s.away {
			g.Go(func() error { return one.Run(ctx) })
		}
		g.Go(s.others.Serve)
		g.Go(s.questions.Serve)
		g.Go(func() error { return s.sharing.Run(ctx) })
		g.Go(func() error { return s.refusals.Run(ctx, s.store, s.member.Takes) })
		g.Go(func() error { return s.registerLater(ctx) })
	}
	g.Go(func() error {
		s.reloadOnHangup(ctx)
		s.stop()
		s.fleet.Stop()
		var drained errgroup.Group
		drained.Go(socket.Drain) // ctx has ended; draining has its own
		if s.others != nil {
			drained.Go(s.others.Drain)
			drained.Go(s.questions.Drain)
		}
		if s.plain != nil {
			drained.Go(s.plain.Close)
		}
		err := s.public.Drain() //nolint:contextcheck // ctx has ended; draining has its own timeout
		answered()
		return errors.Join(err, drained.Wait(), private.Close())
	})
	return g.Wait()
}

// stop tells load balancers to send no more requests, and stops updates of the
// guide.
func (s *server) stop() {
	s.stopping.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publishAtLocked(time.Time{})
}

// ready returns an error if load balancers should not send requests here.
func (s *server) ready() error {
	if s.stopping.Load() {
		return errStopping
	}
	if s.member != nil {
		if err := s.member.Ready(); err != nil {
			return err
		}
	}
	return s.store.Ready()
}

// reloadOnHangup reloads on every hangup signal until ctx ends.
func (s *server) reloadOnHangup(ctx context.Context) {
	for {
		select {
		case <-s.Hangup:
			_ = s.reload(audit.Signal) //nolint:contextcheck // the error has been logged; exports of spans end by themselves
		case <-ctx.Done():
			return
		}
	}
}

// newRegistry returns a registry with the metrics of the process. The parts of
// the server add theirs.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return reg
}

// openStore opens the store within the budget of the process. again has a
// member of a cluster start again, with other data.
func (s *server) openStore(ctx context.Context, reg *prometheus.Registry, again func()) (err error) {
	n := int(s.Config.Partitions)
	if s.budget, err = budget.Take(s.Config.Memory.MaxBytes(), n, s.descriptors); err != nil {
		return err
	}
	if s.Config.Cluster.Member() {
		var all []*store.Store
		s.member, all, err = member.Open(ctx, member.Options{
			Cluster: s.Config.Cluster, DataDir: s.Config.DataDir, Partitions: n, Files: s.filesEach(), Version: s.Version, Log: s.Log, Again: again,
			Store: func(part int) store.Options { return s.storeOptions(labeled(reg, part, n)) }, Metrics: func(part int) prometheus.Registerer { return labeled(reg, part, n) },
		})
		if err == nil {
			s.useStores(all...)
		}
		return err
	}
	if err := datadir.CheckAlone(s.Config.DataDir, n); err != nil {
		return err
	}
	return s.openParts(reg) //nolint:contextcheck // the stores work until they are closed
}

func (s *server) storeOptions(reg prometheus.Registerer) store.Options {
	stores := int64(s.budget.Memory.Stores)
	return store.Options{
		Log: s.Log, Registry: reg, Name: rand.Text(), Fatal: datadir.Fatal(s.Log),
		Cache: s.budget.Memory.Cache / stores, Known: s.budget.Memory.Known / stores, MemTable: s.budget.Memory.MemTable,
		Files: cmp.Or(s.filesEach(), uint64(s.budget.Files.Limit)/uint64(stores)),
	}
}

// descriptors returns how many files a partition needs if it may open a number
// of them. A member of a cluster has a store and a log in each.
func (s *server) descriptors(files uint64) (int, error) {
	if !s.paired() {
		return store.Descriptors(files)
	}
	n, err := store.Descriptors(files / 2)
	return 2 * n, err
}

// filesEach returns how many files each store and each log may open if there
// are several of both, or 0.
func (s *server) filesEach() uint64 {
	if !s.paired() {
		return 0
	}
	return uint64(s.budget.Files.Limit) / uint64(2*s.Config.Partitions)
}

// paired reports whether there are several stores, each with a log that has
// files.
func (s *server) paired() bool { return s.Config.Cluster.Member() && s.Config.Partitions > 1 }

// closeStore closes the store, and then a member's connections, by which it has
// handed leadership over.
func (s *server) closeStore() error {
	err := s.store.Close()
	if s.member != nil {
		s.member.Close()
	}
	return err
}

// unlessEnded returns an error, or nil if it only says that the server has to
// stop.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was asked for, and is no failure
	}
	return err
}

func (s *server) publicBounds(cfg *config.Config) door.Bounds {
	most, headers := s.budget.Connections(int(cfg.Connections.Max), cfg.TLS.Secure(), s.Log)
	return door.Bounds{Max: most, PerAddress: int(cfg.Connections.PerAddress), Headers: headers}
}

// operatorBounds are the limits of the operator's listener, of the control
// socket, and of the listener for plain HTTP, for each of them. Files are
// reserved for them, so that the operator can reach a server whose public
// listener is full.
func (s *server) operatorBounds() door.Bounds { return door.Bounds{Max: s.budget.Files.Operator} }

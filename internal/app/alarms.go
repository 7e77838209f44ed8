package app

import (
	"context"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"trackway"
	"trackway/internal/alarm"
	"trackway/internal/alarm/notify"
	"trackway/internal/config"
	"trackway/internal/datadir"
	"trackway/internal/limit"
	"trackway/internal/partition"
	"trackway/internal/rates"
)

// alarms tell the operator what is wrong with the server.
type alarms struct {
	folders atomic.Pointer[[]string]

	watch  *alarm.Watch
	sender *notify.Sender
}

// newAlarms creates the alarms of a server, or of the part of one that answers
// commands.
func (s *server) newAlarms(reg *prometheus.Registry, projects []trackway.Project, meter *rates.Meter) (*alarms, error) {
	book, err := alarm.Open(filepath.Join(s.Config.DataDir, alarm.File), s.Log)
	if err != nil {
		return nil, err
	}
	a := &alarms{sender: notify.New(book, s.Log, reg)}
	a.watchFolders(s.Config)
	sampler := &alarm.Sampler{
		Dir: s.Config.DataDir, Folders: func() []string { return *a.folders.Load() }, Metrics: reg, Destinations: s.destinations.List, Counts: s.store,
		Limits: func(now time.Time) limit.Report { return s.limits.Usage(now) }, Projects: func() []trackway.Project { return *s.sent.Load() },
		Contracts: s.contracts.Hours, NewTypes: s.catalogue.Beginnings, ChangedTypes: s.catalogue.ChangedTypes, ByKey: meter.ByKey,
	}
	a.watch = alarm.New(alarm.Deps{
		Book: book, Counts: s.store, Sample: sampler.Take, Log: s.Log,
		Leads:   func() bool { return s.member == nil || s.member.Leads() },
		LeadsOf: func(project uint32) bool { return s.member == nil || s.member.LeadsOf(project) },
	}, alarm.Setup{Alarms: s.Config.Alarms, Projects: projects})
	reg.MustRegister(a.watch.Collector())
	use, err := a.sender.Prepare(s.Config.Server.Name, s.Config.Alarms.Receivers)
	if err != nil {
		return nil, err
	}
	use()
	return a, nil
}

// watchFolders says where data lies besides the data directory itself: parts of
// it may be on disks of their own.
func (a *alarms) watchFolders(cfg *config.Config) {
	in := func(names ...string) string { return filepath.Join(append([]string{cfg.DataDir}, names...)...) }
	folders := []string{in(datadir.Store), in(datadir.Traffic), in(datadir.Destinations)}
	for part := range max(cfg.Partitions, 1) {
		name := partition.Name(int(part))
		folders = append(folders, in(name), in(name, datadir.Store), in(name, datadir.State), in(name, datadir.Log))
	}
	for i := range cfg.Destinations {
		if d := &cfg.Destinations[i]; d.Kind == config.File {
			folders = append(folders, d.Path)
		}
	}
	a.folders.Store(&folders)
}

// prepare returns a function that puts another configuration in force.
func (a *alarms) prepare(cfg *config.Config, projects []trackway.Project) (use func(), err error) {
	useReceivers, err := a.sender.Prepare(cfg.Server.Name, cfg.Alarms.Receivers)
	return func() {
		a.watch.Reload(alarm.Setup{Alarms: cfg.Alarms, Projects: projects})
		a.watchFolders(cfg)
		useReceivers()
	}, err
}

// run watches and tells until ctx ends.
func (a *alarms) run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return a.watch.Run(ctx) })
	g.Go(func() error { return a.sender.Run(ctx) })
	return g.Wait()
}

// Report returns the state of the alarms.
func (a *alarms) Report(now time.Time) alarm.Report { return a.watch.Report(now, a.sender.Told) }

// Try implements what the commands need.
func (a *alarms) Try(ctx context.Context, names []string) ([]notify.Tried, bool) {
	return a.sender.Try(ctx, names)
}

// Simulate implements what the commands need.
func (a *alarms) Simulate(ctx context.Context, q alarm.Question) (*alarm.Simulation, error) {
	return a.watch.Simulate(ctx, time.Now(), q)
}

// CheckAlarms returns the problems with receivers of alarms that only the
// package that tells them can find.
func CheckAlarms(cfg *config.Config) (found []config.Problem) {
	notify.Check(cfg.Alarms.Receivers, func(i int, err error) {
		found = append(found, config.Problem{Field: "alarms.receivers[" + strconv.Itoa(i) + "]", Msg: err.Error()})
	})
	return found
}

package app

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"trackway"
	"trackway/internal/datadir"
	"trackway/internal/destination"
	"trackway/internal/live"
	"trackway/internal/partition"
	"trackway/internal/partition/stores"
	"trackway/internal/store"
	"trackway/internal/upkeep"
)

// part is a partition: its store, and what follows the changes of that. Here
// projects have the numbers of the store.
type part struct {
	number, of   int // of partitions there are
	store        *store.Store
	destinations *destination.Manager
	// The projects that destinations know. They are read without a lock,
	// because a reload waits for destinations.
	sent atomic.Pointer[[]trackway.Project]
}

// placed is a destination of a partition, under its name there.
type placed struct {
	*part

	name string
}

// single returns the destination that a name stands for.
func (s *server) single(name string) (placed, error) {
	p, err := s.destinations.Single(name)
	if err != nil {
		return placed{}, err
	}
	return placed{s.parts[p.Part], p.Name}, nil
}

// metrics returns where a partition registers its metrics. They have a label
// only if there are several partitions.
func (p *part) metrics(reg prometheus.Registerer) prometheus.Registerer {
	return labeled(reg, p.number, p.of)
}

func labeled(reg prometheus.Registerer, number, of int) prometheus.Registerer {
	if of == 1 {
		return reg
	}
	return prometheus.WrapRegistererWith(prometheus.Labels{"partition": strconv.Itoa(number)}, reg)
}

// inPlace returns the name of a file or directory in the data directory that a
// partition has for itself.
func (p *part) inPlace(name string) string {
	if p.of == 1 {
		return name
	}
	return partition.Name(p.number) + "/" + name
}

// openParts opens the stores of a server that stands alone.
func (s *server) openParts(reg *prometheus.Registry) (err error) {
	n := int(s.Config.Partitions)
	if err := datadir.Claim(s.Config.DataDir, n); err != nil {
		return err
	}
	var all []*store.Store
	for i := range n {
		dir, err := datadir.Private(s.Config.DataDir, datadir.StoreIn(i, n), s.Log)
		if err == nil {
			var one *store.Store
			if one, err = store.Open(dir, s.storeOptions(labeled(reg, i, n))); err == nil {
				all = append(all, one)
			}
		}
		if err != nil {
			_ = stores.Of(all...).Close() // nothing was written
			return err
		}
	}
	s.useStores(all...)
	if err := datadir.Made(s.Config.DataDir, n); err != nil {
		return errors.Join(err, s.store.Close())
	}
	return nil
}

// useStores takes over the stores, one for each partition.
func (s *server) useStores(all ...*store.Store) {
	s.store = stores.Of(all...)
	if s.member != nil {
		s.store.Share()
	}
	for i, of := range all {
		s.parts = append(s.parts, &part{number: i, of: len(all), store: of})
	}
}

// setProjects tells the partitions of their projects.
func (s *server) setProjects(projects []trackway.Project) {
	for i, here := range partition.Split(projects, len(s.parts)) {
		s.parts[i].sent.Store(&here)
	}
	s.sent.Store(&projects)
}

// newLive returns the hub of the watchers.
func (s *server) newLive() *live.Hub {
	var logs []live.Log
	for _, feed := range s.store.Feeds() {
		logs = append(logs, feed)
	}
	return live.New(func(err error) { s.Log.Error("the log cannot be read for watchers", "err", err) }, logs...)
}

// logOf returns the log that has a project, as watchers see it.
func (s *server) logOf(project uint32) live.Log { return s.store.FeedOf(project) }

// upkeeps are the upkeep of each partition.
type upkeeps []*upkeep.Upkeep

func (s *server) newUpkeeps(projects []trackway.Project, reg prometheus.Registerer) (all upkeeps) {
	for i, here := range partition.Split(projects, len(s.parts)) {
		p := s.parts[i]
		all = append(all, upkeep.New(s.kept(p), here, s.Log, p.metrics(reg)))
	}
	return all
}

// Reload puts other retention times in force.
func (u upkeeps) Reload(projects []trackway.Project) {
	for i, here := range partition.Split(projects, len(u)) {
		u[i].Reload(here)
	}
}

// Run works until ctx ends.
func (u upkeeps) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, one := range u {
		g.Go(func() error { return one.Run(ctx) })
	}
	return g.Wait()
}

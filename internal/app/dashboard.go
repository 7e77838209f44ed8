package app

import (
	"runtime"
	"runtime/metrics"
	"slices"
	"syscall"
	"time"

	"trackway"
	"trackway/internal/auth"
	"trackway/internal/config"
	"trackway/internal/dashboard"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/query"
	"trackway/internal/rates"
	"trackway/internal/store"
)

// newDashboard makes what answers the server's own pages.
func (s *server) newDashboard(keys *auth.Keys, callers *watch.Watch, meter *rates.Meter) *dashboard.Server {
	dir := s.Config.DataDir // which no reload changes
	return dashboard.New(dashboard.Config{
		Facts: factsOf(s.Config, keys), Store: s.store, Log: s.store, Live: s.live, Eraser: eraser{s.store, s.live},
		Rates: meter, Limits: s.limits, Watch: callers, History: s.history, Fleet: s.fleet, Health: func() dashboard.Health { return s.health(dir) },
		Version: s.Version, Logger: s.Log,
	})
}

// factsOf returns what the pages know of a configuration. keys were made from it.
func factsOf(cfg *config.Config, keys *auth.Keys) dashboard.Facts {
	f := dashboard.Facts{Password: cfg.Password, Projects: slices.Clone(cfg.Projects)}
	for i := range f.Projects {
		f.Projects[i].Number = keys.ProjectNumber(f.Projects[i].Token)
	}
	return f
}

// health says how the process is. What cannot be had is 0.
func (s *server) health(dir string) dashboard.Health {
	const mapped = "/memory/classes/total:bytes"
	sample := []metrics.Sample{{Name: mapped}}
	metrics.Read(sample)
	notReady := s.ready()
	h := dashboard.Health{
		Ready: notReady == nil, Damaged: s.store.Damaged(), StoreBytes: s.store.DiskBytes(), Memory: sample[0].Value.Uint64(), Goroutines: runtime.NumGoroutine(),
	}
	if notReady != nil {
		h.Reason = notReady.Error()
	}
	var disk syscall.Statfs_t
	if syscall.Statfs(dir, &disk) == nil {
		h.DiskFree = disk.Bavail * uint64(disk.Bsize)
	}
	return h
}

// eraser erases customers also from what waits for those who watch, and from
// what is remembered of refused commands.
type eraser struct {
	erasures

	live *live.Hub
}

// erasures is what erases customers in the store.
type erasures interface {
	Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (store.Erased, error)
	Erasures(project uint32) ([]query.Erasure, error)
}

// Erase implements [api.Eraser]. It forgets what the store says went: who has
// which identifiers can change until the moment at which they go.
func (e eraser) Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (query.Erasure, error) {
	done, err := e.erasures.Erase(project, c, personal, at)
	if done.ID != 0 { // also if it is not known whether the disk keeps it: nobody is to be shown more than readers are
		e.live.Forget(project, done.IDs, time.Now())
	}
	return done.Erasure, err
}

package app

import (
	"path/filepath"

	"trackway"
	"trackway/internal/api"
	"trackway/internal/catalogue"
	"trackway/internal/config"
	"trackway/internal/config/reach"
	"trackway/internal/dashboard"
	"trackway/internal/limit/watch"
	"trackway/internal/people/openid"
	"trackway/internal/rates"
)

// newDashboard creates the server of the dashboard's pages.
func (s *server) newDashboard(projects []trackway.Project, callers *watch.Watch, meter *rates.Meter) *dashboard.Server {
	dir := s.Config.DataDir // a reload never changes it
	return dashboard.New(dashboard.Config{
		Facts: s.factsOf(s.Config, projects), Store: s.store, Log: s.logOf, Live: s.live, Holds: s.store.Holds,
		Eraser: eraser{s.store, s.live, s.catalogue}, Rates: meter, Limits: s.limits, Watch: callers, History: s.history, Fleet: s.fleet,
		Health:  func() dashboard.Health { return dashboard.HealthOf(s.ready(), s.store, dir) },
		Version: s.Version, Logger: s.Log,
		Cluster:      s.clusterStatus(),
		ChangeUsers:  s.changeUsers,
		Types:        s.catalogue,
		Suspects:     s.suspects,
		Contracts:    s.trials,
		Alarms:       s.alarms.Report,
		Audit:        s.audit,
		Destinations: s.listed, Traffic: s.traffic, Floors: api.Floors(),
	})
}

// newCatalogue returns the catalogue of events. Its memory is a hundredth of
// the limit at most.
func (s *server) newCatalogue(projects []trackway.Project) *catalogue.Set {
	const entryBytes, share = 1 << 10, 100
	var all []*catalogue.Catalogue
	for _, p := range s.parts {
		if p.store == nil {
			all = append(all, nil)
			continue
		}
		all = append(all, catalogue.New(catalogue.Options{
			Log: p.store, Store: p.store.Name(), Path: filepath.Join(s.Config.DataDir, p.inPlace(catalogue.File)),
			Most: int(s.budget.Memory.Max/(entryBytes*share)) / p.of, Logger: s.Log,
		}))
	}
	set := catalogue.Together(all...)
	set.Reload(projects)
	return set
}

// factsOf returns what the pages need of a configuration. The provider stays
// the same as long as its settings do, with what it knows.
func (s *server) factsOf(cfg *config.Config, projects []trackway.Project) dashboard.Facts {
	switch base := reach.URL(cfg, s.public.Addr()); {
	case cfg.Provider == nil:
		s.provider = nil
	case !s.provider.Is(*cfg.Provider, base):
		s.provider = openid.New(*cfg.Provider, base)
	}
	return dashboard.Facts{Password: cfg.Password, Users: cfg.Users, Provider: s.provider, Projects: projects, Overrides: cfg.Overrides}
}

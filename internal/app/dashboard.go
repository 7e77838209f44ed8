package app

import (
	"path/filepath"

	"trackway"
	"trackway/internal/api"
	"trackway/internal/catalogue"
	"trackway/internal/config"
	"trackway/internal/dashboard"
	"trackway/internal/limit/watch"
	"trackway/internal/rates"
)

// newDashboard creates the server of the dashboard's pages.
func (s *server) newDashboard(projects []trackway.Project, callers *watch.Watch, meter *rates.Meter) *dashboard.Server {
	dir := s.Config.DataDir // a reload never changes it
	return dashboard.New(dashboard.Config{
		Facts: factsOf(s.Config, projects), Store: s.store, Log: s.store, Live: s.live,
		Eraser: eraser{s.store, s.live, s.catalogue}, Rates: meter, Limits: s.limits, Watch: callers, History: s.history, Fleet: s.fleet,
		Health:  func() dashboard.Health { return dashboard.HealthOf(s.ready(), s.store, dir) },
		Version: s.Version, Logger: s.Log,
		Cluster:      s.clusterStatus(),
		ChangeUsers:  s.changeUsers,
		Types:        s.catalogue,
		Contracts:    s.trials,
		Alarms:       s.alarms.Report,
		Destinations: s.listed, Traffic: s.traffic, Floors: api.Floors(),
	})
}

// newCatalogue returns the catalogue of events. Its memory is a hundredth of
// the limit at most.
func (s *server) newCatalogue(projects []trackway.Project) *catalogue.Catalogue {
	const entryBytes, part = 1 << 10, 100
	c := catalogue.New(catalogue.Options{
		Log: s.store, Store: s.store.Name(), Path: filepath.Join(s.Config.DataDir, catalogue.File),
		Most: int(s.budget.Memory.Max / (entryBytes * part)), Logger: s.Log,
	})
	c.Reload(projects)
	return c
}

// factsOf returns what the pages need of a configuration.
func factsOf(cfg *config.Config, projects []trackway.Project) dashboard.Facts {
	return dashboard.Facts{Password: cfg.Password, Users: cfg.Users, Projects: projects, Overrides: cfg.Overrides}
}

package app

import (
	"trackway"
	"trackway/internal/api"
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
		Eraser: eraser{s.store, s.live}, Rates: meter, Limits: s.limits, Watch: callers, History: s.history, Fleet: s.fleet,
		Health:  func() dashboard.Health { return dashboard.HealthOf(s.ready(), s.store, dir) },
		Version: s.Version, Logger: s.Log,
		Destinations: s.destinations.List, Traffic: s.traffic, Floors: api.Floors(), Alarms: s.alarms.Report,
	})
}

// factsOf returns what the pages need of a configuration.
func factsOf(cfg *config.Config, projects []trackway.Project) dashboard.Facts {
	return dashboard.Facts{Password: cfg.Password, Projects: projects, Overrides: cfg.Overrides}
}

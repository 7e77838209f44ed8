package app

import (
	"trackway"
	"trackway/internal/dashboard"
	"trackway/internal/limit/watch"
	"trackway/internal/rates"
)

// newDashboard creates the server of the dashboard's pages.
func (s *server) newDashboard(projects []trackway.Project, callers *watch.Watch, meter *rates.Meter) *dashboard.Server {
	dir := s.Config.DataDir // a reload never changes it
	return dashboard.New(dashboard.Config{
		Facts: dashboard.Facts{Password: s.Config.Password, Projects: projects}, Store: s.store, Log: s.store, Live: s.live,
		Eraser: eraser{s.store, s.live}, Rates: meter, Limits: s.limits, Watch: callers, History: s.history, Fleet: s.fleet,
		Health:  func() dashboard.Health { return dashboard.HealthOf(s.ready(), s.store, dir) },
		Version: s.Version, Logger: s.Log,
		Destinations: s.destinations.List,
	})
}

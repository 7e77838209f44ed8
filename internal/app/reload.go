package app

import (
	"fmt"
	"slices"
	"time"

	"trackway"
	"trackway/internal/api"
	"trackway/internal/audit"
	"trackway/internal/auth"
	"trackway/internal/clientip"
	"trackway/internal/config"
	"trackway/internal/config/difference"
	"trackway/internal/config/reach"
	"trackway/internal/limit"
)

// reload reads the configuration again and puts it in force: keys, projects,
// proxies, limits, overrides, destinations, alarms, servers, redirects, the
// contact, the provider of the pages, limits on connections, traces, the
// certificate files, and the log level. It changes everything or nothing.
// Counts and requests under way are not affected. If it fails, the error says
// why nothing was changed.
func (s *server) reload(via audit.Via) error {
	s.users.Lock() // a change of users under way would put older ones in force afterwards
	defer s.users.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.Config
	err := s.reloadLocked()
	s.reloaded(via, before, err)
	if err != nil {
		s.Log.Error("reload refused: the configuration stays as it was", "err", err)
		return err
	}
	keys := 0
	for i := range s.Config.Projects {
		keys += len(s.Config.Projects[i].Keys)
	}
	s.Log.Info("reloaded", "projects", len(s.Config.Projects), "keys", keys, "limits", len(s.Config.Policies), "overrides", len(s.Config.Overrides), "destinations", len(s.Config.Destinations))
	return nil
}

func (s *server) reloadLocked() error {
	next, err := s.Load()
	if err != nil {
		return err
	}
	if err := difference.CheckFixed(s.Config, next); err != nil {
		return err
	}
	return s.putLocked(next)
}

// putLocked puts a configuration in force.
func (s *server) putLocked(next *config.Config) error {
	p, err := s.prepare(next)
	if err != nil {
		return err
	}
	sendOn, drop, err := s.destinations.Reload(next.Destinations, p.projects)
	if err != nil {
		return err
	}
	defer drop() // unless sendOn was called
	useAlarms, err := s.alarms.prepare(next, p.projects)
	if err != nil {
		return err
	}
	if s.certificate != nil {
		if err := s.certificate.Refresh(); err != nil {
			return err
		}
	}
	if p.access.Guide, err = s.publishLocked(next, p.limits); err != nil {
		return err
	}
	home := reach.HTTPS(next)
	s.home.Store(&home)
	s.public.Door.Reload(s.publicBounds(next))
	s.limits.Reload(p.limits)
	s.traffic.Reload(recording(next))
	s.traces.Reload(tracing(next, s.Version))
	s.api.Reload(p.access)
	s.dashboard.Reload(s.factsOf(next, p.projects))
	s.fleet.Reload(s.fleetOf(next))
	s.upkeep.Reload(p.projects)
	s.catalogue.Reload(p.projects)
	s.contracts.Reload(p.projects, next.Contracts)
	s.setProjects(p.projects)
	useAlarms()
	sendOn()
	s.audit.KeepFor(time.Duration(next.Audit.Keep))
	s.Level.Set(next.Log.SlogLevel())
	s.Config = next
	s.waiting.Store(nil)
	return nil
}

// prepared is what is derived from a configuration before it is in force.
type prepared struct {
	limits   *limit.Set
	projects []trackway.Project // that can be served
	access   api.Access         // the guide is added later
}

// prepare registers the projects with the store.
func (s *server) prepare(cfg *config.Config) (p prepared, err error) {
	if p.limits, err = newSet(cfg); err != nil {
		return p, fmt.Errorf("limits: %w", err)
	}
	p.projects = slices.Clone(cfg.Projects)
	if err := s.store.Register(p.projects); err != nil {
		return p, err
	}
	p.access, err = accessOf(cfg, p.projects)
	return p, err
}

// accessOf returns who may do what with some projects.
func accessOf(cfg *config.Config, projects []trackway.Project) (api.Access, error) {
	clients, err := clientip.New(clientip.Config{Trusted: cfg.TrustedProxies, Header: cfg.ClientIPHeader})
	return api.Access{Name: cfg.Server.Name, Keys: auth.New(projects, cfg.AdminKeys...), Clients: clients, RedirectHosts: cfg.RedirectHosts}, err
}

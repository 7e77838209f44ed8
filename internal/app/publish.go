package app

import (
	"log/slog"
	"path/filepath"
	"time"

	"trackway/internal/api"
	"trackway/internal/config"
	"trackway/internal/config/reach"
	"trackway/internal/guide"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
)

// openHistory opens the history of the limits in the data directory. If it is
// damaged, the server starts all the same: limits do not depend on it.
func openHistory(cfg *config.Config, log *slog.Logger) (*history.Log, error) {
	path := filepath.Join(cfg.DataDir, history.File)
	l, err := history.Open(path)
	if err == nil && len(l.Damaged()) > 0 {
		log.Error("the history of the limits was damaged: the damaged lines were moved to another file, and all others are intact",
			"file", path, "lines", l.Damaged(), "aside", path+history.DamagedSuffix)
	}
	return l, err
}

// publishLocked records how a configuration changes the limits, the proxies and
// the keys, and writes the guide for it. Call it before the limits are put in
// force, so that no change is unrecorded. If it returns an error, change
// nothing.
func (s *server) publishLocked(cfg *config.Config, set *limit.Set) (*guide.Guide, error) {
	now := time.Now()
	access := history.Access{Trusted: cfg.TrustedProxies, Header: cfg.ClientIPHeader, Projects: cfg.Projects}
	if err := s.history.Record(now, set.Policies(), cfg.Overrides, access); err != nil {
		return nil, err
	}
	overrides, end := limit.InForce(cfg.Overrides, now)
	facts := guide.Facts{
		Server:  guide.Server{Name: cfg.Server.Name, Region: cfg.Server.Region, URL: reach.URL(cfg, s.public.Addr())},
		Contact: guide.Contact(cfg.Contact), RedirectHosts: cfg.RedirectHosts, Limits: set, Sharers: s.sharers(),
		Free: api.Free(), Overrides: overrides, Since: s.history.Since,
	}
	_, others := s.fleetOf(cfg)
	for _, other := range others {
		facts.Others = append(facts.Others, guide.Server{Name: other.Name, Region: other.Region, URL: other.URL})
	}
	made, err := guide.New(facts)
	if err == nil {
		s.publishAtLocked(end)
	}
	return made, err
}

// publishAtLocked arranges that the guide is renewed at the time when the next
// override ends. With the zero time it only cancels what was arranged before.
// The limiter itself knows when an override ends, but the published text stays
// as it is until it is renewed.
func (s *server) publishAtLocked(end time.Time) {
	if s.ending != nil {
		s.ending.Stop()
	}
	if !end.IsZero() && !s.stopping.Load() {
		s.ending = time.AfterFunc(time.Until(end), func() { s.republish("an override of a limit has ended") })
	}
}

// republish publishes the limits that are in force now, for a reason. If it was
// the end of an override, and the clock was set back, they have not changed.
func (s *server) republish(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return
	}
	access := s.api.Access()
	made, err := s.publishLocked(s.Config, s.limits.Set())
	if err != nil {
		s.Log.Error("the guide shows limits as they were before", "why", why, "err", err)
		return
	}
	access.Guide = made
	s.api.Reload(access)
	s.Log.Info("the limits were published again", "why", why)
}

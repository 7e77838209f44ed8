package app

import (
	"errors"

	"trackway"
	"trackway/internal/admin"
	"trackway/internal/api"
	"trackway/internal/api/administered"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/config/difference"
)

// pages are the routes that package api leaves to others: those of the server's
// own pages, and the admin API.
type pages []api.Dashboard

// Handler implements [api.Dashboard].
func (p pages) Handler(route string) api.DashboardHandler {
	for _, d := range p {
		if h := d.Handler(route); h != nil {
			return h
		}
	}
	return nil
}

func (s *server) pages() pages {
	return pages{s.dashboard, admin.New(admin.Config{
		Read: s.Keys, Change: s.change, Sessions: s.dashboard.Sessions, SignOut: s.dashboard.SignOut, Caller: administered.Caller, Audit: s.audit,
	})}
}

// change changes the managed file for the admin API, and puts the whole
// configuration in force, as a reload does. If that fails, it changes nothing.
func (s *server) change(do func(*config.Keys) error) error {
	s.users.Lock()
	defer s.users.Unlock()
	_, err := s.Change(func(k *config.Keys) error {
		if err := s.checkData(k.DataDir()); err != nil {
			return &trackway.Error{Code: trackway.Conflict, Msg: err.Error()}
		}
		return do(k)
	}, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		before := s.Config
		err := s.reloadLocked()
		if err == nil {
			if len(difference.Of(before, s.Config)) > 0 { // the same call may come often
				s.reloaded(audit.API, before, nil) // what the operator has changed since comes into force, too
			}
			s.Log.Info("the admin API has changed the configuration")
			return nil
		}
		s.Log.Warn("a change by the admin API was refused: the configuration stays as it was", "err", err)
		if wrong, ok := errors.AsType[config.InvalidError](err); ok {
			return wrong
		}
		return &trackway.Error{Code: trackway.Conflict, Msg: "The change cannot be put in force: " + err.Error()}
	})
	return err
}

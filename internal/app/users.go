package app

import (
	"context"
	"errors"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/config/difference"
	"trackway/internal/people"
)

// changeUsers changes the users in the managed file, and puts them in force. It
// puts no other change of the configuration in force.
func (s *server) changeUsers(_ context.Context, change func(people.List) (people.List, error)) error {
	s.users.Lock() // not mu: the change may wait for a command that changes the file
	defer s.users.Unlock()
	cfg, err := s.Change(func(k *config.Keys) error {
		if err := s.checkData(k.DataDir()); err != nil {
			return err
		}
		return k.ChangeUsers(change)
	}, nil)
	if wrong, ok := errors.AsType[config.InvalidError](err); ok {
		s.Log.Warn("a change of users was refused: the configuration would be wrong", "err", wrong)
		return &trackway.Error{Code: trackway.Forbidden, Field: "users", Msg: "The configuration would be wrong after this change, or is " +
			"already. With dashboard.users_only, one admin has to stay. The server's log has more."}
	} else if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.useUsersLocked(cfg.Users)
	return nil
}

// checkData refuses the users of another data directory, which the operator has
// configured for the next start. Most of those in force may be missing there.
// REQUIRES: users is held.
func (s *server) checkData(dir string) error {
	if dir == s.Config.DataDir {
		return nil
	}
	return &trackway.Error{Code: trackway.Forbidden, Field: "users", Msg: "The configuration names another data directory. Restart the server first."}
}

// reloadUsers reads the users again, and puts them in force.
func (s *server) reloadUsers(actor string) error {
	s.users.Lock()
	defer s.users.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, err := s.Load()
	if err != nil {
		return err
	}
	if err := s.checkData(cfg.DataDir); err != nil {
		return err
	}
	changed := difference.Users(s.Config.Users, cfg.Users)
	s.useUsersLocked(cfg.Users)
	s.audit.Note(&audit.Entry{Actor: actor, Via: audit.Command, Action: audit.UserReload, Outcome: audit.Done, Detail: told(changed)})
	return nil
}

// useUsersLocked puts users in force. A configuration never changes, so the one
// in force is replaced by a copy.
func (s *server) useUsersLocked(users people.List) {
	next := *s.Config
	next.Users = users
	s.Config = &next
	s.dashboard.Use(users)
}

package app

import (
	"context"
	"errors"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/people"
)

// changeUsers changes the users in the managed file, and puts them in force. It
// puts no other change of the configuration in force.
func (s *server) changeUsers(_ context.Context, change func(people.List) (people.List, error)) error {
	return s.useUsers(func() (*config.Config, error) {
		cfg, err := s.Change(func(k *config.Keys) error { return k.ChangeUsers(change) })
		if wrong, ok := errors.AsType[config.InvalidError](err); ok {
			s.Log.Warn("a change of users was refused: the configuration would be wrong", "err", wrong)
			return nil, &trackway.Error{Code: trackway.Forbidden, Field: "users", Msg: "The configuration would be wrong after this change, or is " +
				"already. With dashboard.users_only, one admin has to stay. The server's log has more."}
		}
		return cfg, err
	})
}

// useUsers puts the users of a configuration in force.
func (s *server) useUsers(read func() (*config.Config, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, err := read()
	if err != nil {
		return err
	}
	next := *s.Config
	next.Users = from.Users
	s.Config = &next
	s.dashboard.Use(next.Users)
	return nil
}

// reloadUsers reads the users again.
func (s *server) reloadUsers() error { return s.useUsers(s.Load) }

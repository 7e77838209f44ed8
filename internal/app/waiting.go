package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/control/members"
	"trackway/internal/sleep"
)

// A new project of a member's configuration needs entries in the logs that the
// servers share. If no server leads, the member serves the projects that it
// knows, and answers calls for the new ones with 503 until there is a leader.

// begin is prepare at the start of the server.
func (s *server) begin() (prepared, error) {
	p, err := s.prepare(s.Config)
	if s.member == nil || !isOverloaded(err) {
		return p, err
	}
	all := slices.Clone(s.Config.Projects)
	if err := s.store.Known(all); err != nil {
		return p, err
	}
	// With keys of all, so that callers hear what is the matter.
	if p.access, err = accessOf(s.Config, all); err != nil {
		return p, err
	}
	waiting := []string{}
	p.projects = nil
	for i := range all {
		if all[i].Number == 0 {
			waiting = append(waiting, all[i].Name)
		} else {
			p.projects = append(p.projects, all[i])
		}
	}
	s.waiting.Store(&waiting)
	s.Log.Warn("new projects are not served before the servers of the cluster can store something", "projects", waiting)
	return p, nil
}

// isOverloaded reports whether an error only says that the servers of the
// cluster cannot store anything now.
func isOverloaded(err error) bool {
	known, is := errors.AsType[*trackway.Error](err)
	return is && known.Code == trackway.Overloaded
}

// registerLater registers the projects that wait, until ctx ends.
func (s *server) registerLater(ctx context.Context) error {
	told := ""
	for s.waiting.Load() != nil {
		s.mu.Lock()
		all := slices.Clone(s.Config.Projects)
		s.mu.Unlock()
		err := s.store.Register(all) // it takes a while without a leader, so no lock is held
		if err == nil {
			err = s.putAgain() //nolint:contextcheck // as in a reload: exports of spans end by themselves
		}
		if err != nil && !isOverloaded(err) && err.Error() != told {
			told = err.Error()
			s.Log.Error("a new project cannot be served", "err", err)
		}
		if sleep.For(ctx, time.Second) != nil {
			return nil //nolint:nilerr // the server stops, and begins with this at its next start
		}
	}
	return nil
}

// putAgain puts the configuration in force as a whole.
func (s *server) putAgain() error {
	s.users.Lock()
	defer s.users.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.putLocked(s.Config); err != nil {
		return err
	}
	s.Log.Info("all projects are served")
	return nil
}

// wait returns what the server waits for, or an empty text.
func (s *server) wait() string {
	names := s.waiting.Load()
	switch {
	case names == nil:
		return ""
	case len(*names) == 0:
		return "new identifiers of projects are not registered yet: the servers of the cluster cannot store anything"
	}
	return fmt.Sprintf("new projects (%s) are not served yet: the servers of the cluster cannot store anything", strings.Join(*names, ", "))
}

// notes returns what is not in order beside the reason why the server accepts
// no requests, if there is one.
func (s *server) notes() (all []string) {
	if s.member == nil {
		return nil
	}
	if s.member.Ready() == nil { // else that names the partitions
		for _, err := range s.member.Notes() {
			all = append(all, err.Error())
		}
	}
	if wait := s.wait(); wait != "" {
		all = append(all, wait)
	}
	return all
}

// status returns what tells of the cluster and of what this server waits for.
func (s *server) status() members.Status {
	told := s.member.Status()
	if wait := s.wait(); wait != "" {
		told.Also("On this server, " + wait + ".")
	}
	return told
}

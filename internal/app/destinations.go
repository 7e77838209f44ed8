package app

import (
	"path/filepath"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/kinds"
	"trackway/internal/store"
)

// newDestinations returns the manager of destinations, still without any, and
// registers it with the store, so that erasures and the expiry of events wait
// for destinations.
func (s *server) newDestinations() (*destination.Manager, error) {
	var m *destination.Manager
	o := destination.Options{
		Dir: filepath.Join(s.Config.DataDir, destinationsDir), Store: s.store, Log: s.Log, Traces: s.traces,
		Open: func(d config.Destination) (destination.Sink, error) {
			return kinds.New(d, kinds.Deps{Store: m.StoreID(), Projects: func() []trackway.Project { return *s.sent.Load() }})
		},
	}
	if s.member != nil {
		o.Shared = sharedNotes{s.store, s.member}
	}
	m, err := destination.New(o)
	if err != nil {
		return nil, err
	}
	s.store.SetCopies(m.Copies())
	return m, nil
}

// destinationsDir is the directory for the files of destinations, in the data
// directory.
const destinationsDir = "destinations"

// sharedNotes is the store that the servers of a cluster share. The leader
// sends to the destinations.
type sharedNotes struct {
	*store.Store

	member *member
}

// Leading implements [destination.Shared].
func (s sharedNotes) Leading() (term uint64, leading bool) { return s.member.raft.Load().Leading() }

// CheckDestinations returns the problems that the kinds find in a
// configuration's destinations.
func CheckDestinations(cfg *config.Config) []config.Problem { return kinds.Check(cfg) }

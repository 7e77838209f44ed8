package app

import (
	"path/filepath"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/kinds"
)

// newDestinations returns the manager of destinations, still without any, and
// registers it with the store, so that erasures and the expiry of events wait
// for destinations.
func (s *server) newDestinations() (*destination.Manager, error) {
	var id string
	m, err := destination.New(destination.Options{
		Dir: filepath.Join(s.Config.DataDir, "destinations"), Store: s.store, Log: s.Log, Traces: s.traces,
		Open: func(d config.Destination) (destination.Sink, error) {
			return kinds.New(d, kinds.Deps{Store: id, Projects: func() []trackway.Project { return *s.sent.Load() }})
		},
	})
	if err != nil {
		return nil, err
	}
	id = m.StoreID()
	s.store.SetCopies(m.Copies())
	return m, nil
}

// CheckDestinations returns the problems that the kinds find in a
// configuration's destinations.
func CheckDestinations(cfg *config.Config) []config.Problem { return kinds.Check(cfg) }

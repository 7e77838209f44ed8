package app

import (
	"path/filepath"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/kinds"
)

// newDestinations returns the manager of destinations, which has none yet, and
// tells the store of them: erasures and the expiry of events wait for them.
func (s *server) newDestinations() (*destination.Manager, error) {
	var id string
	m, err := destination.New(destination.Options{
		Dir: filepath.Join(s.Config.DataDir, "destinations"), Store: s.store, Log: s.Log,
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

// CheckDestinations returns the problems with a configuration's destinations
// that their kinds know of.
func CheckDestinations(cfg *config.Config) []config.Problem { return kinds.Check(cfg) }

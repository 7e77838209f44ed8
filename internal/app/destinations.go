package app

import (
	"path/filepath"

	"trackway"
	"trackway/internal/app/member"
	"trackway/internal/config"
	"trackway/internal/datadir"
	"trackway/internal/destination"
	"trackway/internal/destination/kinds"
	"trackway/internal/partition"
	"trackway/internal/partition/spread"
	"trackway/internal/store"
)

// newDestinations creates the managers of destinations, still without any, and
// registers them with the stores, so that erasures and the expiry of events
// wait for destinations.
func (s *server) newDestinations() error {
	s.destinations = &spread.Set{Part: kinds.Part}
	for _, p := range s.parts {
		o := destination.Options{
			Dir: filepath.Join(s.Config.DataDir, datadir.Destinations), Store: p.store, Log: s.Log, Traces: s.traces,
			Open: func(d config.Destination) (destination.Sink, error) {
				return kinds.New(d, kinds.Deps{Store: p.destinations.StoreID(), Projects: func() []trackway.Project { return *p.sent.Load() }})
			},
		}
		if p.of > 1 {
			o.Dir, o.Log = filepath.Join(o.Dir, partition.Name(p.number)), o.Log.With("partition", p.number)
		}
		if s.member != nil {
			o.Shared = sharedNotes{p.store, s.member.Parts()[p.number]}
		}
		var err error
		if p.destinations, err = destination.New(o); err != nil {
			return err
		}
		p.store.SetCopies(p.destinations.Copies())
		s.destinations.All = append(s.destinations.All, p.destinations)
	}
	return nil
}

// sharedNotes is the store that the servers of a cluster share. The leader
// sends to the destinations.
type sharedNotes struct {
	*store.Store
	*member.Part // says who leads
}

// CheckDestinations returns the problems that the kinds find in a
// configuration's destinations.
func CheckDestinations(cfg *config.Config) []config.Problem { return kinds.Check(cfg) }

package catalogue

import (
	"context"
	"sync"
	"time"

	"trackway"
	"trackway/internal/partition"
)

// Set has a catalogue for each partition of a server. Its methods take projects
// with the numbers that they have outside of their stores. It is safe for
// concurrent use.
type Set struct{ of []*Catalogue }

// Together returns the set of the catalogue of each partition, in their order.
// One that is nil knows nothing: other servers hold the partition.
func Together(of ...*Catalogue) *Set { return &Set{of} }

// place returns the catalogue that has a project, and the project's number
// there.
func (s *Set) place(project uint32) (*Catalogue, uint32) {
	if part := partition.Of(project); len(s.of) > 1 && part < len(s.of) {
		return s.of[part], partition.Local(project)
	}
	return s.of[0], project
}

// Reload puts the projects of a configuration in force, as [Catalogue.Reload]
// does.
func (s *Set) Reload(projects []trackway.Project) {
	for part, here := range partition.Split(projects, len(s.of)) {
		if s.of[part] != nil {
			s.of[part].Reload(here)
		}
	}
}

// Run learns until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, c := range s.of {
		if c == nil {
			continue
		}
		all.Go(func() { _ = c.Run(ctx) }) // it never fails
	}
	all.Wait()
	return nil
}

// Forget drops all examples, because a customer was erased.
func (s *Set) Forget() {
	for _, c := range s.of {
		if c != nil {
			c.Forget()
		}
	}
}

// View returns what is known of a project, as [Catalogue.View] does.
func (s *Set) View(number uint32, name string, now time.Time, may func(typ string) bool) *View {
	c, local := s.place(number)
	return c.View(local, name, now, may)
}

// Beginnings returns when types came, as [Catalogue.Beginnings] does.
func (s *Set) Beginnings(number uint32) []Beginning {
	c, local := s.place(number)
	if c == nil {
		return nil
	}
	return c.Beginnings(local)
}

// ChangedTypes returns which properties changed, as [Catalogue.ChangedTypes]
// does.
func (s *Set) ChangedTypes(number uint32) []Changed {
	c, local := s.place(number)
	if c == nil {
		return nil
	}
	return c.ChangedTypes(local)
}

// Answer answers a question about a project, as [Catalogue.Answer] does.
func (s *Set) Answer(p *trackway.Project, key *trackway.Key, query string, now time.Time) ([]byte, error) {
	c, here := s.project(p)
	return c.Answer(here, key, query, now)
}

// Types returns what is known of some types of a project, as [Catalogue.Types]
// does.
func (s *Set) Types(p *trackway.Project, types []string) (*View, error) {
	c, here := s.project(p)
	return c.Types(here, types)
}

func (s *Set) project(p *trackway.Project) (*Catalogue, *trackway.Project) {
	c, local := s.place(p.Number)
	if local == p.Number {
		return c, p
	}
	here := *p
	here.Number = local
	return c, &here
}

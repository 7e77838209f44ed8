package store

import (
	"cmp"
	"fmt"
	"slices"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/store/registry"
)

// Register gives each new project a number in this store, and stores which
// identifiers are hard and which are soft. If it fails, it stores nothing. It
// writes the numbers of all projects into projects. A name keeps its kind for
// ever, because the customers' records and the index depend on it. If a name is
// configured with the other kind, the error names it. The result is durable on
// return.
func (s *Store) Register(projects []trackway.Project) error {
	e := entry.Register{}
	for i := range projects {
		p := &projects[i]
		r := entry.Registration{Token: p.Token, Hard: p.Hard, Soft: p.Soft}
		if known, err := registry.Find(s.db, &r); err != nil {
			return fmt.Errorf("register project %q: %w", p.Name, err)
		} else if !known {
			e.Projects = append(e.Projects, r)
		}
		p.Number = r.Number
	}
	if len(e.Projects) == 0 {
		return nil
	}
	// makes the order in the configuration irrelevant
	slices.SortFunc(e.Projects, func(a, b entry.Registration) int { return cmp.Compare(a.Token, b.Token) })
	if !s.Keyed() && s.committed.Load() == 0 {
		if err := registry.DrawKey(s.log.Append); err != nil {
			return err
		}
	}
	if err := s.log.Append(&e); err != nil {
		return fmt.Errorf("register projects: %w", err)
	}
	for i := range projects {
		p := &projects[i]
		for _, r := range e.Projects {
			switch {
			case r.Token != p.Token:
			case r.Conflict != "":
				return r.Err(p.Name)
			default:
				p.Number = r.Number
			}
		}
	}
	return nil
}

// Keyed reports whether hashes are under a key: see [entry.HashKey].
func (m *machine) Keyed() bool { return m.key.Load() != nil }

// Registered looks a project up, as [registry.Find] does.
func (s *Store) Registered(r *entry.Registration) (bool, error) { return registry.Find(s.db, r) }

// Assign has projects assigned to partitions, and writes into e which ones
// count.
func (s *Store) Assign(e *entry.Assign) error { return s.log.Append(e) }

// Assigned returns the partition of a project, as [registry.Assigned] does.
func (s *Store) Assigned(token string) (uint32, bool, error) { return registry.Assigned(s.db, token) }

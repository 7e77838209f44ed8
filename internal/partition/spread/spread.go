// Package spread runs the destinations of a server with several partitions. A
// destination of the configuration is one in each partition that has projects
// for it. Operators see its name, a slash, and the partition. They may leave
// out the latter if they mean all.
package spread

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/partition"
)

// Set has the destinations of all partitions. It is safe for concurrent use.
type Set struct {
	All []*destination.Manager // one for each partition; nil: other servers hold it

	// Part returns the configuration of a destination in one of several
	// partitions.
	Part func(d config.Destination, part int) config.Destination

	mu    sync.Mutex
	names [][]string // of the destinations of each partition, wherever it is led
}

// Placed is a destination of a partition, under its name there.
type Placed struct {
	*destination.Manager

	Part int
	Name string
}

// Find returns the destinations that a name stands for: at least one. In a
// cluster, other servers may send to them.
func (s *Set) Find(name string) ([]Placed, error) {
	if len(s.All) == 1 {
		return []Placed{{s.All[0], 0, name}}, nil
	}
	plain, suffix, one := strings.Cut(name, "/")
	var all []Placed
	s.mu.Lock()
	defer s.mu.Unlock()
	for part, names := range s.names {
		if slices.Contains(names, plain) && (!one || suffix == partition.Name(part)) {
			all = append(all, Placed{s.All[part], part, plain})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%q: %w", name, destination.ErrUnknown)
	}
	return all, nil
}

// Names returns the names of the destinations that a partition has, as
// operators see them.
func (s *Set) Names(part int) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if part >= len(s.names) {
		return nil
	}
	for _, name := range s.names[part] {
		if len(s.All) > 1 {
			name += "/" + partition.Name(part)
		}
		names = append(names, name)
	}
	return names
}

// Single returns the destination that a name stands for. If there are several,
// it is an error.
func (s *Set) Single(name string) (Placed, error) {
	all, err := s.Find(name)
	if err != nil {
		return Placed{}, err
	}
	if len(all) > 1 {
		full := make([]string, len(all))
		for i, p := range all {
			full[i] = p.Name + "/" + partition.Name(p.Part)
		}
		return Placed{}, fmt.Errorf("%q is in several partitions, each with numbers of its own: name one of %s", name, strings.Join(full, ", "))
	}
	if all[0].Manager == nil {
		return Placed{}, fmt.Errorf("%q: %w", name, errElsewhere)
	}
	return all[0], nil
}

var errElsewhere = errors.New("other servers hold this partition")

// each calls do for all destinations that a name stands for.
func (s *Set) each(name string, do func(m *destination.Manager, name string) error) error {
	all, err := s.Find(name)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range all {
		if p.Manager == nil {
			errs = append(errs, fmt.Errorf("%s: %w", partition.Name(p.Part), errElsewhere))
			continue
		}
		if err := do(p.Manager, p.Name); err != nil && len(s.All) > 1 {
			errs = append(errs, fmt.Errorf("%s: %w", partition.Name(p.Part), err))
		} else if err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

// List returns the status of all destinations.
func (s *Set) List() (all []destination.Status) {
	for part, m := range s.All {
		if m == nil {
			continue
		}
		for _, st := range m.List() {
			if len(s.All) > 1 {
				st.Name += "/" + partition.Name(part)
			}
			all = append(all, st)
		}
	}
	return all
}

// Acting reports whether this server sends to the destinations of all
// partitions.
func (s *Set) Acting() bool {
	return !slices.ContainsFunc(s.All, func(m *destination.Manager) bool { return m == nil || !m.Acting() })
}

// Check implements [control.Destinations].
func (s *Set) Check(ctx context.Context, name string) error {
	return s.each(name, func(m *destination.Manager, name string) error { return m.Check(ctx, name) })
}

// Pause implements [control.Destinations].
func (s *Set) Pause(name string) error {
	return s.each(name, func(m *destination.Manager, name string) error { return m.Pause(name) })
}

// Resume implements [control.Destinations].
func (s *Set) Resume(name string) error {
	return s.each(name, func(m *destination.Manager, name string) error { return m.Resume(name) })
}

// Rewind implements [control.Destinations].
func (s *Set) Rewind(ctx context.Context, name, to string) (uint64, error) {
	p, err := s.Single(name)
	if err != nil {
		return 0, err
	}
	return p.Manager.Rewind(ctx, p.Name, to)
}

// Rejects implements [control.Destinations].
func (s *Set) Rejects(name string) ([]destination.Reject, error) {
	p, err := s.Single(name)
	if err != nil {
		return nil, err
	}
	return p.Manager.Rejects(p.Name)
}

// Run sends changes until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	errs := make([]error, len(s.All))
	var all sync.WaitGroup
	for part, m := range s.All {
		if m != nil {
			all.Go(func() { errs[part] = m.Run(ctx) })
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// Reload prepares other destinations, as [destination.Manager.Reload] does: it
// changes nothing, or all partitions.
func (s *Set) Reload(next []config.Destination, projects []trackway.Project) (apply, drop func(), err error) {
	var applies, drops []func()
	var names [][]string
	all := func(of *[]func()) func() {
		var once sync.Once
		return func() {
			once.Do(func() {
				for _, do := range *of {
					do()
				}
			})
		}
	}
	drop = all(&drops)
	for i, here := range partition.Split(projects, len(s.All)) {
		wanted := s.wanted(i, next, here)
		if m := s.All[i]; m != nil {
			apply, undo, err := m.Reload(wanted, here)
			if err != nil {
				drop()
				return nil, nil, err
			}
			applies, drops = append(applies, apply), append(drops, undo)
		}
		names = append(names, nil)
		for j := range wanted {
			names[i] = append(names[i], wanted[j].Name)
		}
	}
	applies = append(applies, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.names = names
	})
	return all(&applies), drop, nil
}

// wanted returns the destinations that a partition has: with several
// partitions, those for which it has a project.
func (s *Set) wanted(part int, all []config.Destination, projects []trackway.Project) []config.Destination {
	if len(s.All) == 1 {
		return all
	}
	var some []config.Destination
	for i := range all {
		view := destination.NewView(&all[i], projects)
		for j := range projects {
			if view.Has(projects[j].Number) {
				some = append(some, s.Part(all[i], part))
				break
			}
		}
	}
	return some
}

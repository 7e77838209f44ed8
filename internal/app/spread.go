package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/kinds"
	"trackway/internal/partition"
)

// spread is the destinations of all partitions. With several, a destination of
// the configuration is one in each partition that has projects for it.
// Operators see the name, a slash, and the partition, and may leave out the
// latter if they mean all.
type spread []*part

// placed is a destination of a partition, under its name there.
type placed struct {
	*part

	name string
}

// find returns the destinations that a name stands for: at least one.
func (s spread) find(name string) ([]placed, error) {
	if len(s) == 1 {
		return []placed{{s[0], name}}, nil
	}
	plain, suffix, one := strings.Cut(name, "/")
	var all []placed
	for _, p := range s {
		for _, st := range p.destinations.List() {
			if st.Name == plain && (!one || suffix == partition.Name(p.number)) {
				all = append(all, placed{p, plain})
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%q: %w", name, destination.ErrUnknown)
	}
	return all, nil
}

// single returns the destination that a name stands for. If there are several,
// it is an error.
func (s spread) single(name string) (placed, error) {
	all, err := s.find(name)
	if err != nil {
		return placed{}, err
	}
	if len(all) > 1 {
		full := make([]string, len(all))
		for i, p := range all {
			full[i] = p.name + "/" + partition.Name(p.number)
		}
		return placed{}, fmt.Errorf("%q is in several partitions, each with numbers of its own: name one of %s", name, strings.Join(full, ", "))
	}
	return all[0], nil
}

// each calls do for all destinations that a name stands for.
func (s spread) each(name string, do func(m *destination.Manager, name string) error) error {
	all, err := s.find(name)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range all {
		if err := do(p.destinations, p.name); err != nil && len(s) > 1 {
			errs = append(errs, fmt.Errorf("%s: %w", partition.Name(p.number), err))
		} else if err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

// List returns the status of all destinations.
func (s spread) List() (all []destination.Status) {
	for _, p := range s {
		for _, st := range p.destinations.List() {
			if len(s) > 1 {
				st.Name += "/" + partition.Name(p.number)
			}
			all = append(all, st)
		}
	}
	return all
}

// Acting reports whether this server sends to destinations.
func (s spread) Acting() bool { return s[0].destinations.Acting() }

// Check implements [control.Destinations].
func (s spread) Check(ctx context.Context, name string) error {
	return s.each(name, func(m *destination.Manager, name string) error { return m.Check(ctx, name) })
}

// Pause implements [control.Destinations].
func (s spread) Pause(name string) error {
	return s.each(name, func(m *destination.Manager, name string) error { return m.Pause(name) })
}

// Resume implements [control.Destinations].
func (s spread) Resume(name string) error {
	return s.each(name, func(m *destination.Manager, name string) error { return m.Resume(name) })
}

// Rewind implements [control.Destinations].
func (s spread) Rewind(ctx context.Context, name, to string) (uint64, error) {
	p, err := s.single(name)
	if err != nil {
		return 0, err
	}
	return p.destinations.Rewind(ctx, p.name, to)
}

// Rejects implements [control.Destinations].
func (s spread) Rejects(name string) ([]destination.Reject, error) {
	p, err := s.single(name)
	if err != nil {
		return nil, err
	}
	return p.destinations.Rejects(p.name)
}

// Use calls do with the sink of one destination, as [destination.Manager.Use]
// does.
func (s spread) Use(
	ctx context.Context, name string, prepared bool, do func(context.Context, destination.Sink, *destination.View) error,
) error {
	p, err := s.single(name)
	if err != nil {
		return err
	}
	return p.destinations.Use(ctx, p.name, prepared, do)
}

// Run sends changes until ctx ends.
func (s spread) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, p := range s {
		g.Go(func() error { return p.destinations.Run(ctx) })
	}
	return g.Wait()
}

// Reload prepares other destinations, as [destination.Manager.Reload] does: it
// changes nothing, or all partitions.
func (s spread) Reload(next []config.Destination, projects []trackway.Project) (apply, drop func(), err error) {
	var applies, drops []func()
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
	for i, here := range partition.Split(projects, len(s)) {
		apply, undo, err := s[i].destinations.Reload(s[i].wanted(next, here), here)
		if err != nil {
			drop()
			return nil, nil, err
		}
		applies, drops = append(applies, apply), append(drops, undo)
	}
	return all(&applies), drop, nil
}

// wanted returns the destinations that a partition has: with several
// partitions, those for which it has a project.
func (p *part) wanted(all []config.Destination, projects []trackway.Project) []config.Destination {
	if p.of == 1 {
		return all
	}
	var some []config.Destination
	for i := range all {
		view := destination.NewView(&all[i], projects)
		for j := range projects {
			if view.Has(projects[j].Number) {
				some = append(some, kinds.Part(all[i], p.number))
				break
			}
		}
	}
	return some
}

package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/control"
	"trackway/internal/destination"
	"trackway/internal/destination/mirror"
	"trackway/internal/destination/suggest"
	"trackway/internal/destination/verify"
	"trackway/internal/partition"
	"trackway/internal/query"
)

// verify implements [control.Verifier].
func (s *server) verify(ctx context.Context, v control.Verification) (*verify.Report, error) {
	of, err := s.single(v.Name)
	if err != nil {
		return nil, err
	}
	projects, err := s.projectsOf(of.part)
	if err != nil {
		return nil, err
	}
	c := &verify.Check{Mend: v.Mend, Rejected: make(map[uint64]bool)}
	at, err := of.status()
	if err != nil {
		return nil, err
	}
	c.After, c.Through = at.First, at.Position
	if v.From > 0 {
		c.After = v.From - 1
	}
	numbers := make(map[string]uint32)
	for i := range projects {
		numbers[projects[i].Name] = projects[i].Number
	}
	rejects, err := of.destinations.Rejects(of.name)
	if err != nil {
		return nil, err
	}
	for _, r := range rejects {
		if r.Table == "events" {
			c.Rejected[r.Number] = true
		}
	}
	c.Use = func(ctx context.Context, do func(context.Context, destination.Reader) error) error {
		return of.destinations.Use(ctx, of.name, true, func(ctx context.Context, sink destination.Sink, view *destination.View) error {
			to, ok := sink.(destination.Reader)
			if !ok {
				return fmt.Errorf("a destination of kind %s cannot be read back, and so it cannot be verified", at.Kind)
			}
			c.Log = &viewed{of, view, numbers, c}
			return do(ctx, to)
		})
	}
	c.Progress = func(through uint64) { v.Progress(through, c.Through) }
	return c.Run(ctx)
}

// suggest implements [control.Suggester].
func (s *server) suggest(ctx context.Context, name string, events int, share float64) (*suggest.Proposal, error) {
	var looked []placed
	if name == "" { // at all
		for _, p := range s.here() {
			looked = append(looked, placed{p, ""})
		}
	} else {
		all, err := s.destinations.Find(name)
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			looked = append(looked, placed{s.parts[p.Part], p.Name})
		}
	}
	var sample suggest.Sample
	for _, of := range looked {
		if err := s.sample(ctx, of, &sample, (events+len(looked)-1)/len(looked)); err != nil {
			return nil, err
		}
	}
	return sample.Propose(share), context.Cause(ctx)
}

// sample adds the newest events of a partition, up to a number, that a
// destination gets, or any if it has no name.
func (s *server) sample(ctx context.Context, of placed, sample *suggest.Sample, events int) error {
	projects, err := s.projectsOf(of.part)
	if err != nil || events == 0 {
		return err
	}
	view := destination.NewView(new(config.Destination), projects)
	if of.name != "" && s.member != nil && of.of > 1 {
		view = s.viewOf(of.name, projects) // another server may send to it
	} else if of.name != "" {
		err := of.destinations.Use(ctx, of.name, false, func(_ context.Context, _ destination.Sink, its *destination.View) error {
			view = its
			return nil
		})
		if err != nil {
			return err
		}
	}
	snapshot := of.store.Snapshot()
	err = snapshot.Log(query.LogRange{NewestFirst: true}, func(e *trackway.Event) bool {
		if row, ok := view.Event(e); ok {
			sample.Add(row.Type, row.Properties)
			events--
		}
		return events > 0 && ctx.Err() == nil
	})
	return errors.Join(err, snapshot.Close())
}

// viewOf returns what a destination of the configuration gets.
func (s *server) viewOf(name string, projects []trackway.Project) *destination.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.Config.Destinations {
		if d := &s.Config.Destinations[i]; d.Name == name {
			return destination.NewView(d, projects)
		}
	}
	return destination.NewView(new(config.Destination), nil)
}

// projectsOf returns the projects of a partition, with their numbers there.
func (s *server) projectsOf(p *part) ([]trackway.Project, error) {
	all, err := s.projects()
	if err != nil {
		return nil, err
	}
	return partition.Split(all, p.of)[p.number], nil
}

// mirrors implements [control.Config.Mirrors].
func (s *server) mirrors(ctx context.Context) (all []control.Mirrored, err error) {
	for _, st := range s.destinations.List() {
		if st.Kind != config.Mirror {
			continue
		}
		of, err := s.single(st.Name)
		if err != nil {
			return nil, err
		}
		projects, err := s.projectsOf(of.part)
		if err != nil {
			return nil, err
		}
		err = of.destinations.Use(ctx, of.name, false, func(ctx context.Context, sink destination.Sink, view *destination.View) error {
			for i := range projects {
				m, err := of.mirrored(ctx, &projects[i], sink, view)
				if err != nil {
					return err
				}
				if m != nil {
					m.Name, m.LagEvents = st.Name, st.LagEvents
					all = append(all, *m)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// mirrored counts the events of a project here and in a mirror. It returns nil
// if the mirror does not have the project.
func (p *part) mirrored(ctx context.Context, project *trackway.Project, sink destination.Sink, view *destination.View) (*control.Mirrored, error) {
	if !view.Has(project.Number) {
		return nil, nil
	}
	ours := make(map[string]uint64)
	snapshot := p.store.Snapshot()
	err := snapshot.Counts(project.Number, query.CountRange{By: query.ByReceived}, func(c query.Count) bool {
		if _, ok := view.Event(&trackway.Event{Project: project.Number, Type: c.Type}); ok && c.Type != trackway.MergeType {
			ours[c.Type] += c.Events
		}
		return true
	})
	if err := errors.Join(err, snapshot.Close()); err != nil {
		return nil, err
	}
	m := &control.Mirrored{Project: project.Name}
	var theirs mirror.Counts
	counter, ok := sink.(interface {
		Count(ctx context.Context, project string) (mirror.Counts, error)
	})
	if ok {
		if theirs, err = counter.Count(ctx, project.Name); err != nil {
			m.Error = err.Error()
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(ours)) {
		m.Types = append(m.Types, control.MirroredType{Type: typ, Ours: ours[typ], Theirs: theirs.Events[typ]})
	}
	return m, nil
}

// status returns the status of a destination.
func (p placed) status() (destination.Status, error) {
	for _, st := range p.destinations.List() {
		if st.Name == p.name {
			return st, nil
		}
	}
	return destination.Status{}, fmt.Errorf("%q: %w", p.name, destination.ErrUnknown)
}

// viewed is the log in the form that a destination gets.
type viewed struct {
	placed

	view    *destination.View
	numbers map[string]uint32 // of projects
	check   *verify.Check
}

// Events implements [verify.Log]. It also updates the highest expired number in
// the check: events may expire during a verification, and are not foreign then.
func (v *viewed) Events(
	ctx context.Context, low, high uint64, yield func(*destination.Event) error, lost func(uint64),
) (err error) {
	snapshot := v.store.Snapshot()
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	var failed error
	err = snapshot.Log(query.LogRange{First: low, Last: high - 1, Lost: func(seq uint64, _ error) { lost(seq) }}, func(e *trackway.Event) bool {
		if failed = context.Cause(ctx); failed != nil {
			return false
		}
		if row, ok := v.view.Event(e); ok {
			failed = yield(&row)
		}
		return failed == nil
	})
	return errors.Join(err, failed, v.noteExpired())
}

// noteExpired notes up to which number events have expired. It must be called
// after the log was read, so that it covers everything that the log lacks.
func (v *viewed) noteExpired() error {
	for _, number := range v.numbers {
		x, err := v.store.Expired(number)
		if err != nil {
			return err
		}
		v.check.Expired = max(v.check.Expired, x.Highest)
	}
	return nil
}

// Last implements [verify.Log].
func (v *viewed) Last() uint64 { return v.store.Synced() }

// Pending implements [verify.Log].
func (v *viewed) Pending(project string, c trackway.Customer) (bool, error) {
	number, err := v.store.Rewritten(v.numbers[project], c)
	if err != nil {
		return false, err
	}
	at, err := v.status()
	return number > at.Position, err
}

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
	"trackway/internal/query"
)

// verify implements [control.Verifier].
func (s *server) verify(ctx context.Context, v control.Verification) (*verify.Report, error) {
	projects, err := s.projects()
	if err != nil {
		return nil, err
	}
	c := &verify.Check{Mend: v.Mend, Rejected: make(map[uint64]bool)}
	at, err := s.statusOf(v.Name)
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
	rejects, err := s.destinations.Rejects(v.Name)
	if err != nil {
		return nil, err
	}
	for _, r := range rejects {
		if r.Table == "events" {
			c.Rejected[r.Number] = true
		}
	}
	c.Use = func(ctx context.Context, do func(context.Context, destination.Reader) error) error {
		return s.destinations.Use(ctx, v.Name, true, func(ctx context.Context, sink destination.Sink, view *destination.View) error {
			to, ok := sink.(destination.Reader)
			if !ok {
				return fmt.Errorf("a destination of kind %s cannot be read back, and so it cannot be verified", at.Kind)
			}
			c.Log = &viewed{s, view, v.Name, numbers, c}
			return do(ctx, to)
		})
	}
	c.Progress = func(through uint64) { v.Progress(through, c.Through) }
	return c.Run(ctx)
}

// suggest implements [control.Suggester].
func (s *server) suggest(ctx context.Context, name string, events int, share float64) (*suggest.Proposal, error) {
	projects, err := s.projects()
	if err != nil {
		return nil, err
	}
	view := destination.NewView(new(config.Destination), projects)
	if name != "" {
		err := s.destinations.Use(ctx, name, false, func(_ context.Context, _ destination.Sink, of *destination.View) error {
			view = of
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	snapshot := s.store.Snapshot()
	defer func() { _ = snapshot.Close() }() // what was read is read
	var sample suggest.Sample
	left := events
	err = snapshot.Log(query.LogRange{NewestFirst: true}, func(e *trackway.Event) bool {
		if row, ok := view.Event(e); ok {
			sample.Add(row.Type, row.Properties)
			left--
		}
		return left > 0 && ctx.Err() == nil
	})
	return sample.Propose(share), errors.Join(err, context.Cause(ctx))
}

// mirrors implements [control.Config.Mirrors].
func (s *server) mirrors(ctx context.Context) (all []control.Mirrored, err error) {
	projects, err := s.projects()
	if err != nil {
		return nil, err
	}
	for _, st := range s.destinations.List() {
		if st.Kind != config.Mirror {
			continue
		}
		err := s.destinations.Use(ctx, st.Name, false, func(ctx context.Context, sink destination.Sink, view *destination.View) error {
			for i := range projects {
				m, err := s.mirrored(ctx, &projects[i], sink, view)
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
func (s *server) mirrored(ctx context.Context, p *trackway.Project, sink destination.Sink, view *destination.View) (*control.Mirrored, error) {
	if !view.Has(p.Number) {
		return nil, nil //nolint:nilnil // as the comment says
	}
	ours := make(map[string]uint64)
	snapshot := s.store.Snapshot()
	err := snapshot.Counts(p.Number, query.CountRange{By: query.ByReceived}, func(c query.Count) bool {
		if _, ok := view.Event(&trackway.Event{Project: p.Number, Type: c.Type}); ok && c.Type != trackway.MergeType {
			ours[c.Type] += c.Events
		}
		return true
	})
	if err := errors.Join(err, snapshot.Close()); err != nil {
		return nil, err
	}
	m := &control.Mirrored{Project: p.Name}
	var theirs mirror.Counts
	counter, ok := sink.(interface {
		Count(ctx context.Context, project string) (mirror.Counts, error)
	})
	if ok {
		if theirs, err = counter.Count(ctx, p.Name); err != nil {
			m.Error = err.Error()
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(ours)) {
		m.Types = append(m.Types, control.MirroredType{Type: typ, Ours: ours[typ], Theirs: theirs.Events[typ]})
	}
	return m, nil
}

// statusOf returns the status of a destination.
func (s *server) statusOf(name string) (destination.Status, error) {
	for _, st := range s.destinations.List() {
		if st.Name == name {
			return st, nil
		}
	}
	return destination.Status{}, fmt.Errorf("%q: %w", name, destination.ErrUnknown)
}

// viewed is the log in the form that a destination gets.
type viewed struct {
	*server

	view    *destination.View
	name    string
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
	at, err := v.statusOf(v.name)
	return number > at.Position, err
}

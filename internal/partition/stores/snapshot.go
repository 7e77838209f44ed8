package stores

import (
	"errors"

	"trackway"
	"trackway/internal/partition"
	"trackway/internal/query"
)

// Snapshot implements [query.Store]. With several partitions, it shows each as
// it is when it is read first: nothing relates the data of one to that of
// another.
func (s *Set) Snapshot() query.Snapshot {
	if s.one() {
		return s.all[0].Snapshot()
	}
	return &snapshot{of: s, parts: make([]query.Snapshot, len(s.all))}
}

// snapshot has a snapshot of each partition that was read.
type snapshot struct {
	of    *Set
	parts []query.Snapshot
}

func (v *snapshot) part(part int) query.Snapshot {
	if v.parts[part] == nil {
		if here := v.of.all[part]; here != nil {
			v.parts[part] = here.Snapshot()
		} else {
			v.parts[part] = absent{v.of.elsewhere(part), part}
		}
	}
	return v.parts[part]
}

// project returns the snapshot of a project's store, and its number there.
func (v *snapshot) project(project uint32) (query.Snapshot, uint32) {
	part := partition.Of(project)
	if part >= len(v.parts) {
		return v.part(0), 0
	}
	return v.part(part), partition.Local(project)
}

// Close implements [query.Snapshot].
func (v *snapshot) Close() (err error) {
	for _, part := range v.parts {
		if part != nil {
			err = errors.Join(err, part.Close())
		}
	}
	return err
}

// Find implements [query.CustomerReader].
func (v *snapshot) Find(project uint32, id trackway.Identifier) (trackway.Customer, error) {
	of, local := v.project(project)
	return of.Find(local, id)
}

// Survivor implements [query.CustomerReader].
func (v *snapshot) Survivor(project uint32, c trackway.Customer) (trackway.Customer, error) {
	of, local := v.project(project)
	return of.Survivor(local, c)
}

// Profile implements [query.CustomerReader].
func (v *snapshot) Profile(project uint32, c trackway.Customer) (*trackway.Profile, error) {
	of, local := v.project(project)
	return of.Profile(local, c)
}

// Profiles implements [query.CustomerReader].
func (v *snapshot) Profiles(project uint32, yield func(*trackway.Profile) bool) error {
	of, local := v.project(project)
	return of.Profiles(local, yield)
}

// Customers implements [query.CustomerReader].
func (v *snapshot) Customers(project uint32, r query.CustomerRange, yield func(trackway.Customer, []byte) bool) error {
	of, local := v.project(project)
	return of.Customers(local, r, yield)
}

// Identifiers implements [query.CustomerReader].
func (v *snapshot) Identifiers(
	project uint32, name, prefix, after string, yield func(string, trackway.Customer) bool,
) error {
	of, local := v.project(project)
	return of.Identifiers(local, name, prefix, after, yield)
}

// Events implements [query.EventReader].
func (v *snapshot) Events(project uint32, c trackway.Customer, newestFirst bool, yield func(*trackway.Event) bool) error {
	of, local := v.project(project)
	return of.Events(local, c, newestFirst, func(e *trackway.Event) bool {
		e.Project = project
		return yield(e)
	})
}

// Timeline implements [query.EventReader].
func (v *snapshot) Timeline(
	project uint32, c trackway.Customer, r query.TimelineRange, yield func(*trackway.Event, query.Place) bool,
) error {
	of, local := v.project(project)
	return of.Timeline(local, c, r, func(e *trackway.Event, at query.Place) bool {
		e.Project = project
		return yield(e, at)
	})
}

// Log implements [query.EventReader].
func (v *snapshot) Log(r query.LogRange, yield func(*trackway.Event) bool) error {
	if r.Project != 0 {
		of, _ := v.project(r.Project)
		return of.Log(r, outside(partition.Of(r.Project), yield))
	}
	more := true
	for part := range v.parts {
		err := v.part(part).Log(r, outside(part, func(e *trackway.Event) bool {
			more = yield(e)
			return more
		}))
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// outside returns a function that gets the events of a store, and passes them
// on with the numbers that their projects have outside.
func outside(part int, yield func(*trackway.Event) bool) func(*trackway.Event) bool {
	return func(e *trackway.Event) bool {
		e.Project = partition.Global(part, e.Project)
		return yield(e)
	}
}

// Usage implements [query.CountReader].
func (v *snapshot) Usage(project uint32, yield func(query.Day, query.Usage) bool) error {
	of, local := v.project(project)
	return of.Usage(local, yield)
}

// Counts implements [query.CountReader].
func (v *snapshot) Counts(project uint32, r query.CountRange, yield func(query.Count) bool) error {
	of, local := v.project(project)
	return of.Counts(local, r, yield)
}

// CountedByName implements [query.CountReader].
func (v *snapshot) CountedByName(project uint32, typ string) bool {
	of, local := v.project(project)
	return of.CountedByName(local, typ)
}

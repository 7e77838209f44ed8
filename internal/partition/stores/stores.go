// Package stores keeps the data of a server in several stores, one for each
// partition, and leads each call to the store that has its project. Each store
// has its own lock, its own write-ahead log and its own groups of requests, so
// several processors can apply commands at the same time. A project is in one
// store, because its customers may be merged with each other. In a cluster, a
// store may be missing, because other servers hold its partition: see
// [Elsewhere].
//
// The package keeps nothing itself. A project is where it is registered, and
// its number says where that is: see package partition.
// docs/adr/0033-partitions.md gives the reasons.
package stores

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/partition"
	"trackway/internal/query"
	"trackway/internal/store"
)

// Set is the stores of a server. It is safe for concurrent use.
type Set struct {
	all    []*store.Store // nil: other servers hold it
	aside  []*store.Store // that are not used
	afar   []Elsewhere    // what is read of those; nil: nothing
	shared bool           // by servers of a cluster, any of which may register projects

	placing sync.Mutex // held while projects get their places
	names   names
}

// Of returns the set of some stores, in the order of their partitions. The
// first one is never missing.
func Of(all ...*store.Store) *Set { return &Set{all: all, afar: make([]Elsewhere, len(all))} }

// Share says that the servers of a cluster share the stores. They follow one
// table of places, in the first store. It must be called before Register.
func (s *Set) Share() { s.shared = true }

// All returns the stores in the order of the partitions. One that other servers
// hold is nil.
func (s *Set) All() []*store.Store { return s.all }

// Len returns the number of partitions.
func (s *Set) Len() int { return len(s.all) }

// one reports whether there is one partition. Then numbers of projects are
// those of its store.
func (s *Set) one() bool { return len(s.all) == 1 }

// of returns the store of a project, and the project's number there. The store
// is nil if other servers hold it.
func (s *Set) of(project uint32) (*store.Store, uint32) {
	if s.one() {
		return s.all[0], project
	}
	part := partition.Of(project)
	if part >= len(s.all) { // no project of the configuration in force has such a number
		return s.all[0], 0
	}
	return s.all[part], partition.Local(project)
}

// errSpread is the error for commands that no store can carry out in one step.
var errSpread = errors.New("commands of projects in different partitions came together")

// Apply implements [ingest.Store]. All commands must be of projects in one
// partition.
func (s *Set) Apply(cmds []trackway.Command, results []trackway.Result) error {
	if s.one() {
		return s.all[0].Apply(cmds, results)
	}
	part := -1
	for i := range cmds {
		switch p := cmds[i].Project; {
		case p == 0:
		case part < 0:
			part = partition.Of(p)
		case partition.Of(p) != part:
			return errSpread
		}
	}
	part = max(part, 0)
	if part >= len(s.all) {
		return fmt.Errorf("there is no partition %d", part)
	}
	if s.all[part] == nil {
		return ErrElsewhere
	}
	for i := range cmds {
		cmds[i].Project = partition.Local(cmds[i].Project)
	}
	err := s.all[part].Apply(cmds, results)
	for i := range cmds { // they are the caller's
		cmds[i].Project = partition.Global(part, cmds[i].Project)
	}
	return err
}

// Refused implements [ingest.Store].
func (s *Set) Refused(project uint32, at trackway.Micros, n int) error {
	of, local := s.of(project)
	if of == nil {
		return ErrElsewhere
	}
	return of.Refused(local, at, n)
}

// Version implements [query.Store].
func (s *Set) Version(project uint32) change.Version {
	of, local := s.of(project)
	if of == nil {
		return s.elsewhere(partition.Of(project)).Version(project)
	}
	return of.Version(local)
}

// Erase erases a customer, as [store.Store.Erase] does.
func (s *Set) Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (store.Erased, error) {
	of, local := s.of(project)
	if of == nil {
		return store.Erased{}, ErrElsewhere
	}
	return of.Erase(local, c, personal, at)
}

// Erasures lists a project's erasures, newest first. Their numbers are those of
// the project's partition.
func (s *Set) Erasures(project uint32) ([]query.Erasure, error) {
	of, local := s.of(project)
	if of == nil {
		return nil, ErrElsewhere
	}
	return of.Erasures(local)
}

// Register gives each project its number, as [store.Store.Register] does. A new
// project goes to the partition with the fewest changes; if several have as
// few, to the one with the fewest projects of the list; and then to the first
// one. If it fails, no project was registered, unless a disk has failed, or a
// partition cannot store anything.
func (s *Set) Register(projects []trackway.Project) error {
	if s.one() {
		return s.all[0].Register(projects)
	}
	s.placing.Lock()
	defer s.placing.Unlock()
	at, err := s.places(projects)
	if err != nil {
		return err
	}
	var failed error
	for part, of := range s.all {
		if of == nil {
			s.names.number(projects, at, part)
		} else if err := registerIn(of, part, projects, at); err != nil {
			// The others go on: this one may have no leader.
			failed = errors.Join(failed, err)
		}
	}
	if failed == nil {
		s.names.note(projects)
	}
	return failed
}

// registerIn registers the projects of a partition with its store.
func registerIn(of *store.Store, part int, projects []trackway.Project, at []int) error {
	var here []trackway.Project
	for i := range projects {
		if at[i] == part {
			here = append(here, projects[i])
		}
	}
	if err := of.Register(here); err != nil {
		return err
	}
	for i := range projects {
		if at[i] != part {
			continue
		}
		local := here[0].Number
		if here = here[1:]; local > partition.MostProjects {
			return fmt.Errorf("project %q: partition %d has more than %d projects", projects[i].Name, part, partition.MostProjects)
		}
		projects[i].Number = partition.Global(part, local)
	}
	return nil
}

// Known gives each project the number that it has here already, or 0. It asks
// and tells no other server, so it works without a leader. It refuses what
// Register would refuse because of what is here.
func (s *Set) Known(projects []trackway.Project) error {
	s.placing.Lock()
	defer s.placing.Unlock()
	at := make([]int, len(projects))
	for i := range projects {
		p := &projects[i]
		p.Number = 0
		var err error
		if at[i], err = s.find(p); err == nil && at[i] < 0 && s.shared && !s.one() {
			at[i], err = s.assigned(p, at[i], nil)
		}
		if err != nil {
			return err
		}
		if at[i] < 0 || s.all[at[i]] == nil {
			continue
		}
		r := entry.Registration{Token: p.Token}
		if _, err := s.all[at[i]].Registered(&r); err != nil {
			return fmt.Errorf("find project %q: %w", p.Name, err)
		}
		if p.Number = r.Number; !s.one() {
			p.Number = partition.Global(at[i], r.Number)
		}
	}
	for part, of := range s.all {
		if of == nil {
			s.names.number(projects, at, part)
		}
	}
	s.names.note(slices.DeleteFunc(slices.Clone(projects), func(p trackway.Project) bool { return p.Number == 0 }))
	return nil
}

// places returns the partition of each project: where it is, or where it will
// be. It refuses identifiers that have changed their kind, before anything is
// registered.
func (s *Set) places(projects []trackway.Project) ([]int, error) {
	at, count := make([]int, len(projects)), make([]int, len(s.all))
	var fresh []int
	var assigning entry.Assign
	for i := range projects {
		part, err := s.find(&projects[i])
		if err != nil {
			return nil, err
		}
		if s.shared {
			if part, err = s.assigned(&projects[i], part, &assigning); err != nil {
				return nil, err
			}
		}
		if at[i] = part; part < 0 {
			fresh = append(fresh, i)
			continue
		}
		count[part]++
	}
	// makes the order in the configuration irrelevant
	slices.SortFunc(fresh, func(a, b int) int { return strings.Compare(projects[a].Token, projects[b].Token) })
	s.choose(at, fresh, count)
	if s.shared {
		if err := s.assign(projects, at, fresh, &assigning); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// choose chooses places for projects that have none, and writes them into at.
// count has the number of projects that are in each partition.
func (s *Set) choose(at, fresh, count []int) {
	load := make([]uint64, len(s.all))
	var all, known uint64
	for part := range s.all {
		if load[part] = s.feed(part).Synced(); load[part] != unknown {
			all, known = all+load[part], known+uint64(count[part])
		}
	}
	for _, i := range fresh {
		best := 0
		for part := range s.all {
			if load[part] < load[best] || load[part] == load[best] && count[part] < count[best] {
				best = part
			}
		}
		at[i] = best
		count[best]++
		load[best] += all / max(known, 1) // of several new ones, not all go to the same place
	}
}

// find returns the partition in which a project is registered, or -1. It is an
// error if there are two: each has a part of the project's data, and only the
// operator can tell how that came about.
func (s *Set) find(p *trackway.Project) (int, error) {
	found := -1
	for part, of := range s.all {
		if of == nil {
			continue
		}
		r := entry.Registration{Token: p.Token, Hard: p.Hard, Soft: p.Soft}
		if _, err := of.Registered(&r); err != nil {
			return 0, fmt.Errorf("find project %q: %w", p.Name, err)
		}
		switch {
		case r.Conflict != "":
			return 0, r.Err(p.Name)
		case r.Number != 0 && found >= 0:
			return 0, fmt.Errorf("project %q is in two partitions, %s and %s: one of these stores is not from this data directory, or was missing for a time",
				p.Name, partition.Name(found), partition.Name(part))
		case r.Number != 0:
			found = part
		}
	}
	return found, nil
}

// Name returns the name of the first store. The others are never without it.
func (s *Set) Name() string { return s.all[0].Name() }

// Ready returns nil while all stores can write, and otherwise why one cannot.
func (s *Set) Ready() error {
	for part, of := range s.all {
		if of == nil {
			continue
		}
		if err := of.Ready(); err != nil && s.one() {
			return err
		} else if err != nil {
			return fmt.Errorf("partition %s: %w", partition.Name(part), err)
		}
	}
	return nil
}

// Damaged returns how many unreadable places were found since the opening.
func (s *Set) Damaged() (n int) {
	for _, of := range s.here() {
		n += of.Damaged()
	}
	return n
}

// DiskBytes returns the disk space of all stores.
func (s *Set) DiskBytes() (n uint64) {
	for _, of := range s.here() {
		n += of.DiskBytes()
	}
	return n
}

// Close closes all stores, at the same time.
func (s *Set) Close() error {
	all := append(s.here(), s.aside...)
	errs := make([]error, len(all))
	var closing sync.WaitGroup
	for i, of := range all {
		closing.Go(func() { errs[i] = of.Close() })
	}
	closing.Wait()
	return errors.Join(errs...)
}

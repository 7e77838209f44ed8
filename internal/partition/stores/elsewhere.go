package stores

import (
	"context"
	"iter"
	"math"
	"sync"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/partition"
	"trackway/internal/query"
	"trackway/internal/store"
)

// Elsewhere is a partition that other servers hold, as far as this one needs it
// for answers about all projects. Calls about a single project are passed on
// whole. Projects have the numbers that they have here, outside of stores. It
// is safe for concurrent use.
type Elsewhere interface { //nolint:interfacebloat // what is needed of a store
	query.CountReader

	// Version returns the state of a project's data a moment ago. If it is not
	// known, it returns one that never comes again.
	Version(project uint32) change.Version

	// The rest is what [Feed] has. Synced returns the number a moment ago, or
	// the highest one if that is not known.
	// Follow goes on while no server answers. Back and Current find nothing
	// then.
	Synced() uint64
	Follow(ctx context.Context, after uint64) iter.Seq2[[]change.Change, error]
	Changes(after, through uint64) iter.Seq2[[]change.Change, error]
	Back(through uint64, do func(*trackway.Event) bool) error
	Current(project uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error)
}

// ErrElsewhere is the error of what only a server can do that holds the data.
var ErrElsewhere error = &trackway.Error{
	Code: trackway.Overloaded, Msg: "This server does not hold the data of this project. Ask one that does: trackway cluster status shows them.",
}

// Missing says from where the set reads what other servers hold. It must be
// called before anything else is, for each store that is nil.
func (s *Set) Missing(part int, from Elsewhere) { s.afar[part] = from }

// Aside takes a store out of the set, which then lacks it. The set closes it
// with the others. It must be called before anything else is.
func (s *Set) Aside(part int) {
	if of := s.all[part]; of != nil {
		s.all[part], s.aside = nil, append(s.aside, of)
	}
}

// Holds reports whether the store of a project is here.
func (s *Set) Holds(project uint32) bool {
	of, _ := s.of(project)
	return of != nil
}

// here returns the stores that this server has.
func (s *Set) here() (some []*store.Store) {
	for _, of := range s.all {
		if of != nil {
			some = append(some, of)
		}
	}
	return some
}

// unknown is the number of the last change if no server tells it.
const unknown = math.MaxUint64

func (s *Set) elsewhere(part int) Elsewhere { return s.afar[part] }

// Token returns the token of a project that was registered since the start, or
// an empty text.
func (s *Set) Token(project uint32) string { return s.names.token(project) }

// Number returns the number of a project that was registered since the start,
// or 0.
func (s *Set) Number(token string) uint32 { return s.names.of(token) }

// Named returns the projects of a partition that were registered since the
// start, by token.
func (s *Set) Named(part int) map[string]uint32 {
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	found := make(map[string]uint32)
	for token, number := range s.names.numbers {
		if s.one() || partition.Of(number) == part {
			found[token] = number
		}
	}
	return found
}

// names are the projects that were registered since the start. A project that
// other servers hold has a number of this server's own: nothing here keeps it.
type names struct {
	mu      sync.Mutex
	tokens  map[uint32]string
	numbers map[string]uint32
	next    [partition.Most]uint32
}

func (n *names) note(projects []trackway.Project) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range projects {
		n.noteLocked(projects[i].Token, projects[i].Number)
	}
}

func (n *names) noteLocked(token string, number uint32) {
	if n.tokens == nil {
		n.tokens, n.numbers = make(map[uint32]string), make(map[string]uint32)
	}
	n.tokens[number], n.numbers[token] = token, number
}

// number numbers those projects that are in a partition that other servers
// hold.
func (n *names) number(projects []trackway.Project, at []int, part int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range projects {
		if at[i] != part {
			continue
		}
		p := &projects[i]
		if p.Number = n.numbers[p.Token]; p.Number == 0 {
			n.next[part]++
			p.Number = partition.Global(part, n.next[part])
			n.noteLocked(p.Token, p.Number)
		}
	}
}

func (n *names) token(project uint32) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tokens[project]
}

func (n *names) of(token string) uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.numbers[token]
}

// absent is the snapshot of a partition that other servers hold. It has counts
// only.
type absent struct {
	Elsewhere

	part int
}

// Close implements [query.Snapshot].
func (absent) Close() error { return nil }

// outer returns the number that a project has outside.
func (a absent) outer(local uint32) uint32 { return partition.Global(a.part, local) }

// Usage implements [query.CountReader].
func (a absent) Usage(project uint32, yield func(query.Day, query.Usage) bool) error {
	return a.Elsewhere.Usage(a.outer(project), yield)
}

// Counts implements [query.CountReader].
func (a absent) Counts(project uint32, r query.CountRange, yield func(query.Count) bool) error {
	return a.Elsewhere.Counts(a.outer(project), r, yield)
}

// CountedByName implements [query.CountReader].
func (a absent) CountedByName(project uint32, typ string) bool {
	return a.Elsewhere.CountedByName(a.outer(project), typ)
}

// Find implements [query.CustomerReader].
func (absent) Find(uint32, trackway.Identifier) (trackway.Customer, error) { return 0, ErrElsewhere }

// Survivor implements [query.CustomerReader].
func (absent) Survivor(uint32, trackway.Customer) (trackway.Customer, error) { return 0, ErrElsewhere }

// Profile implements [query.CustomerReader].
func (absent) Profile(uint32, trackway.Customer) (*trackway.Profile, error) {
	return nil, ErrElsewhere
}

// Profiles implements [query.CustomerReader].
func (absent) Profiles(uint32, func(*trackway.Profile) bool) error { return ErrElsewhere }

// Customers implements [query.CustomerReader].
func (absent) Customers(uint32, query.CustomerRange, func(trackway.Customer, []byte) bool) error {
	return ErrElsewhere
}

// Identifiers implements [query.CustomerReader].
func (absent) Identifiers(uint32, string, string, string, func(string, trackway.Customer) bool) error {
	return ErrElsewhere
}

// Events implements [query.EventReader].
func (absent) Events(uint32, trackway.Customer, bool, func(*trackway.Event) bool) error {
	return ErrElsewhere
}

// Timeline implements [query.EventReader].
func (absent) Timeline(uint32, trackway.Customer, query.TimelineRange, func(*trackway.Event, query.Place) bool) error {
	return ErrElsewhere
}

// Log implements [query.EventReader].
func (absent) Log(query.LogRange, func(*trackway.Event) bool) error { return ErrElsewhere }

// Package query answers questions about the past: it reads a snapshot of the store with a filter, a limit and the caller's
// deadline. It changes nothing, and it does not know how or where the store keeps things.
package query

import (
	"context"
	"slices"

	"trackway"
)

// Store gives snapshots.
type Store interface {
	// Snapshot returns the store as it is now. It holds back the store's clean-up until it is closed.
	Snapshot() Snapshot

	// Version returns a number that grows with every change to a project's data, and begins anew when the store is opened.
	// What a snapshot shows that is taken after the call is at least as new as the number. Cost: a look into memory.
	Version(project uint32) uint64
}

// Snapshot is the store at one moment: what is asked of it in several calls fits together. It may show what was committed
// but is not on the disk yet. It is not safe for concurrent use.
type Snapshot interface {
	CustomerReader
	EventReader
	CountReader
	Close() error
}

// CustomerReader reads customers and who they are.
type CustomerReader interface {
	// Find returns the customer that the identifier leads to, 0 where there is none.
	Find(project uint32, id trackway.Identifier) (trackway.Customer, error)

	// Survivor returns whom c is part of now: c itself unless it was absorbed; 0 where the project has no such customer.
	Survivor(project uint32, c trackway.Customer) (trackway.Customer, error)

	// Profile returns a customer's identifiers and properties, the latter sorted by name.
	Profile(project uint32, c trackway.Customer) (*trackway.Profile, error)

	// Profiles calls yield for the customers of a project, the oldest first, until yield returns false. An absorbed customer is a
	// nil.
	Profiles(project uint32, yield func(*trackway.Profile) bool) error

	// Customers calls yield for the customers of a project that r spans, until yield returns false. Absorbed customers are left
	// out. The value, valid only during the call, is that of the property that r names; nil where there is none. Cost: a step
	// of an index each, and a second one for the property.
	Customers(project uint32, r CustomerRange, yield func(c trackway.Customer, value []byte) bool) error

	// Identifiers calls yield for the values of an identifier that begin with prefix and come after the value after, in order
	// of their bytes, until yield returns false. No value comes before the empty one, which is none.
	Identifiers(project uint32, name, prefix, after string, yield func(value string, c trackway.Customer) bool) error
}

// CustomerRange is some of a project's customers, in order of creation. The zero value is all, the oldest first.
type CustomerRange struct {
	After       trackway.Customer // begin after this one; 0: at the beginning
	NewestFirst bool
	Property    string // read this property too; empty: none

	// Passed, if there is one, is told of the customers that are left out, since they were absorbed; false ends it.
	Passed func(trackway.Customer) bool
}

// EventReader reads events, in the order in which they happened or that in which they came.
type EventReader interface {
	// Events calls yield for the events of c and of those it absorbed, by time, and those of equal time in order of arrival, until
	// yield returns false. With newestFirst the order is exactly the reverse. The event is valid only during the call. Cost: a
	// step of an index and a look-up in the log each.
	Events(project uint32, c trackway.Customer, newestFirst bool, yield func(*trackway.Event) bool) error

	// Timeline is Events for a part of them, and tells where each stands.
	Timeline(project uint32, c trackway.Customer, r TimelineRange, yield func(*trackway.Event, Place) bool) error

	// Log calls yield for the events of all projects, records of merges among them, in order of sequence numbers, until yield
	// returns false. The event is valid only during the call. Cost: a step of the log each.
	Log(r LogRange, yield func(*trackway.Event) bool) error
}

// Place is where an event stands among those of its customer: by time, and among those of equal time in order of arrival. The
// zero value is before all of them.
type Place struct {
	Time trackway.Micros
	Seq  uint64
}

// TimelineRange is some of a customer's events. The zero value is all, the oldest first.
type TimelineRange struct {
	After        Place           // begin after this one; zero: at the beginning
	Since, Until trackway.Micros // Since ≤ time < Until; Until 0: no end
	NewestFirst  bool
	Merges       bool // records of merges only, found without reading other events

	// Passed, if there is one, is asked with each event that is left out; false ends it.
	Passed func() bool
}

// LogRange is some of the log. The zero value is all of it, the oldest first.
type LogRange struct {
	First, Last uint64 // both included; Last 0: no end
	NewestFirst bool

	// Lost, if there is one, is told of events that cannot be read, and they are passed over; without it the first of them is an
	// error. Not with NewestFirst.
	Lost func(seq uint64, err error)
}

// CountReader reads what was counted when it was written.
type CountReader interface {
	// Usage calls yield for the days of a project on which it sent anything, in order, until yield returns false.
	Usage(project uint32, yield func(Day, Usage) bool) error

	// Counts calls yield for the hours and types that r spans, in no order, until yield returns false. They are those of now: the
	// snapshot may be older. Cost: a step of an index for each type and hour.
	Counts(project uint32, r CountRange, yield func(Count) bool) error

	// CountedByName tells whether Counts knows how many events of a type there are: not where the project had [MaxTypes] others
	// before. Then they are among those of no name, and none are found by it.
	CountedByName(project uint32, typ string) bool
}

// Find returns the customer that the first known identifier leads to, hard ones asked first; 0 where none is known.
func Find(s Snapshot, project uint32, ids []trackway.Identifier) (trackway.Customer, error) {
	ids = slices.Clone(ids)
	slices.SortStableFunc(ids, func(a, b trackway.Identifier) int {
		switch {
		case a.Hard == b.Hard:
			return 0
		case a.Hard:
			return -1
		}
		return 1
	})
	for _, id := range ids {
		if c, err := s.Find(project, id); c != 0 || err != nil {
			return c, err
		}
	}
	return 0, nil
}

// Undated returns a customer's properties without their times.
func Undated(dated []trackway.DatedProperty) []trackway.Property {
	properties := make([]trackway.Property, len(dated))
	for i := range dated {
		properties[i] = dated[i].Property
	}
	return properties
}

// EventFilter chooses among a customer's events. The zero value chooses all, the oldest first.
type EventFilter struct {
	Types       []string // empty: all
	NewestFirst bool
	Skip        int // of those that match
	Limit       int // 0: no limit
}

// Events calls yield for the events of c that f chooses, until yield returns false or ctx ends; then it returns the cause.
func Events(
	ctx context.Context, s Snapshot, project uint32, c trackway.Customer, f EventFilter, yield func(*trackway.Event) bool,
) error {
	skip, left := f.Skip, f.Limit
	err := s.Events(project, c, f.NewestFirst, func(e *trackway.Event) bool {
		if ctx.Err() != nil {
			return false
		}
		if len(f.Types) > 0 && !slices.Contains(f.Types, e.Type) {
			return true
		}
		if skip > 0 {
			skip--
			return true
		}
		if !yield(e) {
			return false
		}
		left--
		return left != 0
	})
	if err != nil {
		return err
	}
	return context.Cause(ctx)
}

// Profiles calls yield for the customers of a project, absorbed ones left out, until it returns false or ctx ends; then it returns
// the cause.
func Profiles(ctx context.Context, s Snapshot, project uint32, yield func(*trackway.Profile) bool) error {
	err := s.Profiles(project, func(p *trackway.Profile) bool { return ctx.Err() == nil && (p == nil || yield(p)) })
	if err != nil {
		return err
	}
	return context.Cause(ctx)
}

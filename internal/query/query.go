// Package query answers questions about stored data: it reads a snapshot of the
// store with a filter, a limit and the caller's deadline. It changes nothing,
// and does not know how or where the store keeps its data.
package query

import (
	"context"
	"slices"

	"trackway"
	"trackway/internal/change"
)

// Store provides snapshots.
type Store interface {
	// Snapshot returns the store in its present state. An open snapshot delays
	// the store's clean-up, so close it.
	Snapshot() Snapshot

	// Version names the present state of a project's data: another state never
	// has the same version, at this server or another one. A snapshot taken
	// after the call is at least as new. Cost: a lookup in memory.
	Version(project uint32) change.Version
}

// Snapshot is the store at one moment, so the results of several calls are
// consistent. It may include data that is committed but not on the disk yet. It
// is not safe for concurrent use.
type Snapshot interface {
	CustomerReader
	EventReader
	CountReader
	Close() error
}

// CustomerReader reads customers, their identifiers and their properties.
type CustomerReader interface {
	// Find returns the customer that has an identifier, or 0 if there is no
	// such customer.
	Find(project uint32, id trackway.Identifier) (trackway.Customer, error)

	// Survivor returns the customer that c is part of now: c itself, unless it
	// was absorbed. It returns 0 if the project has no such customer.
	Survivor(project uint32, c trackway.Customer) (trackway.Customer, error)

	// Profile returns a customer's identifiers and properties, the latter
	// sorted by name.
	Profile(project uint32, c trackway.Customer) (*trackway.Profile, error)

	// Profiles calls yield for the customers of a project, oldest first, until
	// yield returns false. An absorbed customer is passed as nil.
	Profiles(project uint32, yield func(*trackway.Profile) bool) error

	// Customers calls yield for the customers in r, until yield returns false.
	// It leaves out absorbed customers. value is the customer's property that r
	// names, or nil; it is valid only during the call. Cost: one index step for
	// each customer, and another for the property.
	Customers(project uint32, r CustomerRange, yield func(c trackway.Customer, value []byte) bool) error

	// Identifiers calls yield for the values of an identifier that begin with
	// prefix and come after a given value, in byte order, until yield returns
	// false. To begin with the first value, pass an empty text: no value is
	// empty.
	Identifiers(project uint32, name, prefix, after string, yield func(value string, c trackway.Customer) bool) error
}

// CustomerRange is a part of a project's customers, in order of creation. The
// zero value means all customers, oldest first.
type CustomerRange struct {
	After       trackway.Customer // begin after this one; 0: at the beginning
	NewestFirst bool
	Property    string // also read this property, unless empty

	// Passed, unless nil, is called with the customers that are left out
	// because they were absorbed. If it returns false, the reading ends.
	Passed func(trackway.Customer) bool
}

// EventReader reads events, in the order in which they happened or in the order
// of arrival.
type EventReader interface {
	// Events calls yield for the events of c and of the customers it absorbed,
	// until yield returns false. They come by time, and those of equal time in
	// order of arrival. With newestFirst, the order is exactly reversed. The
	// event is valid only during the call. Cost: one index step and one lookup
	// in the log for each event.
	Events(project uint32, c trackway.Customer, newestFirst bool, yield func(*trackway.Event) bool) error

	// Timeline calls yield for a part of the events that Events passes, and
	// also passes the place of each.
	Timeline(project uint32, c trackway.Customer, r TimelineRange, yield func(*trackway.Event, Place) bool) error

	// Log calls yield for the events of all projects, including the records of
	// merges, in order of sequence numbers, until yield returns false. The
	// event is valid only during the call. Cost: one step in the log for each
	// event.
	Log(r LogRange, yield func(*trackway.Event) bool) error
}

// Place is an event's position among those of its customer: by time, and among
// those of equal time in order of arrival. The zero value comes before all of
// them.
type Place struct {
	Time trackway.Micros
	Seq  uint64
}

// TimelineRange is a part of a customer's events. The zero value means all
// events, oldest first.
type TimelineRange struct {
	After        Place           // begin after this one; zero: at the beginning
	Since, Until trackway.Micros // Since ≤ time < Until; Until 0: no end
	NewestFirst  bool
	Merges       bool // only records of merges, found without reading other events

	// Passed, unless nil, is called for each event that is left out. If it
	// returns false, the reading ends.
	Passed func() bool
}

// LogRange is a part of the log. The zero value means the whole log, oldest
// first.
type LogRange struct {
	First, Last uint64 // both inclusive; Last 0: no end

	// Project is a project whose events are wanted. The reader also gets those
	// of other projects, but need not get those that are in another partition,
	// whose sequence numbers are of their own. 0: all, one partition after
	// another.
	Project     uint32
	NewestFirst bool

	// Lost, unless nil, is called for events that cannot be read, and the
	// reading continues. Without it, the first such event is an error. It does
	// not work with NewestFirst.
	Lost func(seq uint64, err error)
}

// CountReader reads counts that are updated at each write.
type CountReader interface {
	// Usage calls yield for the days on which a project sent anything, in
	// order, until yield returns false.
	Usage(project uint32, yield func(Day, Usage) bool) error

	// Counts calls yield for the hours and types in r, in no particular order,
	// until yield returns false. The counts are current: the snapshot may be
	// older. Cost: one index step for each type and hour.
	Counts(project uint32, r CountRange, yield func(Count) bool) error

	// CountedByName reports whether Counts knows the number of events of a
	// type. It does not if the project had [MaxTypes] other types before: then
	// the type is counted among those without a name, and Counts finds none by
	// its name.
	CountedByName(project uint32, typ string) bool
}

// Find returns the customer of the first known identifier, or 0 if no
// identifier is known. It looks for hard identifiers first.
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

// EventFilter selects some of a customer's events. The zero value selects all,
// oldest first.
type EventFilter struct {
	Types       []string // empty: all
	NewestFirst bool
	Skip        int // of the matching events
	Limit       int // 0: no limit
}

// Events calls yield for the events of c that f selects, until yield returns
// false or ctx ends. If ctx ends, it returns the cause.
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

// Profiles calls yield for the customers of a project, without absorbed ones,
// until yield returns false or ctx ends. If ctx ends, it returns the cause.
func Profiles(ctx context.Context, s Snapshot, project uint32, yield func(*trackway.Profile) bool) error {
	err := s.Profiles(project, func(p *trackway.Profile) bool { return ctx.Err() == nil && (p == nil || yield(p)) })
	if err != nil {
		return err
	}
	return context.Cause(ctx)
}

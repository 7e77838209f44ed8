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
}

// Snapshot is the store at one moment: what is asked of it in several calls fits together. It may show what was committed
// but is not on the disk yet. It is not safe for concurrent use.
type Snapshot interface {
	// Find returns the customer that the identifier leads to, 0 where there is none.
	Find(project uint32, id trackway.Identifier) (trackway.Customer, error)

	// Profile returns a customer's identifiers and properties, the latter sorted by name.
	Profile(project uint32, c trackway.Customer) (*trackway.Profile, error)

	// Events calls yield for the events of c and of those it absorbed, by time, until yield returns false. The event is valid
	// only during the call. Cost: a step of an index and a look-up in the log each.
	Events(project uint32, c trackway.Customer, newestFirst bool, yield func(*trackway.Event) bool) error

	// Profiles calls yield for the customers of a project, the oldest first, until yield returns false. Absorbed customers are
	// left out.
	Profiles(project uint32, yield func(*trackway.Profile) bool) error

	// Usage calls yield for the days of a project on which it sent anything, in order, until yield returns false.
	Usage(project uint32, yield func(Day, Usage) bool) error

	Close() error
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

// Profiles calls yield for the customers of a project until it returns false or ctx ends; then it returns the cause.
func Profiles(ctx context.Context, s Snapshot, project uint32, yield func(*trackway.Profile) bool) error {
	err := s.Profiles(project, func(p *trackway.Profile) bool { return ctx.Err() == nil && yield(p) })
	if err != nil {
		return err
	}
	return context.Cause(ctx)
}

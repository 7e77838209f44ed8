package stores

import (
	"context"
	"iter"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/partition"
	"trackway/internal/store"
)

// Feed is the changes of one partition, with the numbers that its projects have
// outside. It is safe for concurrent use.
type Feed struct {
	of   *store.Store // nil: other servers hold it
	afar Elsewhere    // then; otherwise nil
	part int
}

// Feeds returns the changes of each partition.
func (s *Set) Feeds() []Feed {
	all := make([]Feed, len(s.all))
	for part := range s.all {
		all[part] = s.feed(part)
	}
	return all
}

func (s *Set) feed(part int) Feed {
	f := Feed{of: s.all[part], part: part}
	if f.of == nil {
		f.afar = s.elsewhere(part)
	}
	return f
}

// FeedOf returns the changes of the partition that has a project.
func (s *Set) FeedOf(project uint32) Feed {
	if part := partition.Of(project); !s.one() && part < len(s.all) {
		return s.feed(part)
	}
	return s.feed(0)
}

// Synced returns the number up to which all changes are on the disk.
func (f Feed) Synced() uint64 {
	if f.of == nil {
		return f.afar.Synced()
	}
	return f.of.Synced()
}

// Follow iterates over the changes after a number, as [store.Store.Follow]
// does.
func (f Feed) Follow(ctx context.Context, after uint64) iter.Seq2[[]change.Change, error] {
	if f.of == nil {
		return f.afar.Follow(ctx, after)
	}
	return f.outside(f.of.Follow(ctx, after))
}

// Changes iterates over the changes between two numbers, as
// [store.Store.Changes] does.
func (f Feed) Changes(after, through uint64) iter.Seq2[[]change.Change, error] {
	if f.of == nil {
		return f.afar.Changes(after, through)
	}
	return f.outside(f.of.Changes(after, through))
}

// outside gives changes the numbers that their projects have outside. The
// changes of a batch are the reader's own, and in the first partition the
// numbers are the same.
func (f Feed) outside(inside iter.Seq2[[]change.Change, error]) iter.Seq2[[]change.Change, error] {
	if f.part == 0 {
		return inside
	}
	return func(yield func([]change.Change, error) bool) {
		for some, err := range inside {
			for i := range some {
				some[i].Project = partition.Global(f.part, some[i].Project)
				if e := some[i].Event; e != nil {
					e.Project = partition.Global(f.part, e.Project)
				}
			}
			if !yield(some, err) {
				return
			}
		}
	}
}

// Back calls do for the events up to a number, newest first, as
// [store.Store.Back] does.
func (f Feed) Back(through uint64, do func(*trackway.Event) bool) error {
	if f.of == nil {
		return f.afar.Back(through, do)
	}
	return f.of.Back(through, outside(f.part, do))
}

// Current returns the present customer behind c, as [store.Store.Current] does.
func (f Feed) Current(project uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error) {
	if f.of == nil {
		return f.afar.Current(project, c)
	}
	if f.part != 0 {
		project = partition.Local(project)
	}
	return f.of.Current(project, c)
}

package destination

import (
	"cmp"
	"slices"

	"trackway/internal/destination/kept"
)

// erasuresDone returns the erasures that are done, although the destination
// still lists them as not done. It also forgets erasures that the store has
// forgotten.
func (r *runner) erasuresDone() (done []Erasure, err error) {
	pending := r.files.Get().Erasures
	if len(pending) == 0 {
		return nil, nil
	}
	known := make(map[uint64]bool)
	for project := range r.view.projects {
		all, err := r.store.Erasures(project)
		if err != nil {
			return nil, err
		}
		for i := range all {
			e := &all[i]
			if _, found := slices.BinarySearch(pending, e.ID); !found {
				continue
			}
			known[e.ID] = true
			if e.Done != 0 {
				done = append(done, r.view.erasure(project, e))
			}
		}
	}
	slices.SortFunc(done, func(a, b Erasure) int { return cmp.Compare(a.ID, b.ID) })
	forgotten := slices.DeleteFunc(slices.Clone(pending), func(id uint64) bool { return known[id] })
	return done, r.setErasures(func(pending []uint64) []uint64 {
		return slices.DeleteFunc(pending, func(id uint64) bool {
			_, found := slices.BinarySearch(forgotten, id)
			return found
		})
	})
}

// noteErasures notes which of some erasures are not done. It must return before
// they are passed on. After a crash in between, the destination has them, and
// nothing else would tell it that they are done.
func (r *runner) noteErasures(passing []Erasure) error {
	return r.setErasures(func(pending []uint64) []uint64 {
		for _, e := range passing {
			if at, known := slices.BinarySearch(pending, e.ID); e.Done == 0 && !known {
				pending = slices.Insert(pending, at, e.ID)
			}
		}
		return pending
	})
}

// forgetErasures notes which of the erasures that were passed on need not be
// passed on again, because they are done.
func (r *runner) forgetErasures(passed []Erasure) error {
	return r.setErasures(func(pending []uint64) []uint64 {
		for _, e := range passed {
			if at, known := slices.BinarySearch(pending, e.ID); e.Done != 0 && known {
				pending = slices.Delete(pending, at, at+1)
			}
		}
		return pending
	})
}

// setErasures changes the sorted list of pending erasures. change must only add
// or only remove erasures. It may be called twice, because another goroutine
// may change the list meanwhile. If the list stays the same, nothing is
// written.
func (r *runner) setErasures(change func(pending []uint64) []uint64) error {
	before := r.files.Get().Erasures
	if len(change(slices.Clone(before))) == len(before) {
		return nil
	}
	return r.files.Set(func(s *kept.State) { s.Erasures = change(slices.Clone(s.Erasures)) })
}

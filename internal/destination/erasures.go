package destination

import (
	"cmp"
	"slices"
)

// erasuresDone returns the erasures that the destination has as not done,
// although they are. Erasures that the store has forgotten are forgotten here,
// too.
func (r *runner) erasuresDone() (done []Erasure, err error) {
	pending := r.files.get().Erasures
	if len(pending) == 0 {
		return nil, nil
	}
	var known []uint64
	for project := range r.view.projects {
		all, err := r.store.Erasures(project)
		if err != nil {
			return nil, err
		}
		for i := range all {
			e := &all[i]
			if !slices.Contains(pending, e.ID) {
				continue
			}
			known = append(known, e.ID)
			if e.Done != 0 {
				done = append(done, r.view.erasure(project, e))
			}
		}
	}
	slices.SortFunc(done, func(a, b Erasure) int { return cmp.Compare(a.ID, b.ID) })
	if len(known) < len(pending) {
		slices.Sort(known)
		err = r.files.set(func(s *state) { s.Erasures = known })
	}
	return done, err
}

// noteErasures notes which of the erasures that were passed are not done.
func (r *runner) noteErasures(passed []Erasure) error {
	if len(passed) == 0 {
		return nil
	}
	return r.files.set(func(s *state) {
		pending := slices.Clone(s.Erasures)
		for _, e := range passed {
			at, known := slices.BinarySearch(pending, e.ID)
			switch {
			case e.Done == 0 && !known:
				pending = slices.Insert(pending, at, e.ID)
			case e.Done != 0 && known:
				pending = slices.Delete(pending, at, at+1)
			}
		}
		s.Erasures = pending
	})
}

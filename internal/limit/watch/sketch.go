package watch

import (
	"cmp"
	"slices"

	"trackway/internal/clientip"
)

// sketch keeps the callers with the highest counts: Space-Saving (Metwally,
// Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements
// in Data Streams", ICDT 2005), with weights. A caller who is not in it takes
// the place of the one with the lowest count, and that count with it, as the
// error that its own may have. So no count is too low, none is too high by more
// than its error, and every caller who has more than the total divided by the
// number of places is in it. The zero value is empty.
//
// The lowest count is looked for among all: there are few places, and only a
// newcomer to a full sketch needs it.
type sketch struct {
	index   map[clientip.Key]*caller
	callers []*caller
}

func (s *sketch) empty() bool { return len(s.callers) == 0 }

// get returns a caller, nil if it is not kept.
func (s *sketch) get(key clientip.Key) *caller { return s.index[key] }

// add counts calls of a caller and returns it.
func (s *sketch) add(key clientip.Key, weight uint64) *caller {
	c := s.index[key]
	switch {
	case c != nil:
	case len(s.callers) < kept:
		if s.index == nil {
			s.index = make(map[clientip.Key]*caller)
		}
		c = &caller{key: key}
		s.callers = append(s.callers, c)
		s.index[key] = c
	default:
		c = s.lowest()
		delete(s.index, c.key)
		*c = caller{key: key, count: c.count, over: c.count}
		s.index[key] = c
	}
	c.count += weight
	c.variance += float64(weight) * float64(weight-1) // of an estimate by one call in weight
	return c
}

// lowest returns the caller with the lowest count, of one or more.
func (s *sketch) lowest() *caller {
	return slices.MinFunc(s.callers, func(a, b *caller) int { return cmp.Compare(a.count, b.count) })
}

// floor is what a caller who is not kept may have at most.
func (s *sketch) floor() uint64 {
	if len(s.callers) < kept {
		return 0
	}
	return s.lowest().count
}

// look returns what is known of a caller. If it is not kept, that is the most
// that it may have: the floor.
func (s *sketch) look(key clientip.Key, floor uint64) *caller {
	if c := s.index[key]; c != nil {
		return c
	}
	return &caller{key: key, count: floor, over: floor}
}

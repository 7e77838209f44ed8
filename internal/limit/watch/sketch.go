package watch

import (
	"cmp"
	"slices"

	"trackway/internal/clientip"
)

// sketch keeps the callers with the highest counts: Space-Saving (Metwally,
// Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements
// in Data Streams", ICDT 2005), with weights. A new caller takes the place of
// the one with the lowest count, and inherits that count as its possible error.
// So no count is too low, and no count is too high by more than its error.
// Every caller with more than the total divided by the number of places is in
// the sketch. The zero value is empty.
//
// A linear search finds the lowest count: there are few places, and only a new
// caller in a full sketch needs it.
type sketch struct {
	index   map[clientip.Key]*caller
	callers []*caller
}

func (s *sketch) empty() bool { return len(s.callers) == 0 }

// get returns a caller, or nil if it is not kept.
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
	// The variance of an estimate that samples one call in weight.
	c.variance += float64(weight) * float64(weight-1)
	return c
}

// lowest returns the caller with the lowest count. The sketch must not be
// empty.
func (s *sketch) lowest() *caller {
	return slices.MinFunc(s.callers, func(a, b *caller) int { return cmp.Compare(a.count, b.count) })
}

// floor returns the highest count that a caller outside the sketch may have.
func (s *sketch) floor() uint64 {
	if len(s.callers) < kept {
		return 0
	}
	return s.lowest().count
}

// look returns the state of a caller. If it is not kept, its count is the
// floor: the highest count that it may have.
func (s *sketch) look(key clientip.Key, floor uint64) *caller {
	if c := s.index[key]; c != nil {
		return c
	}
	return &caller{key: key, count: floor, over: floor}
}

package watch

import (
	"container/heap"

	"trackway/internal/clientip"
)

// sketch keeps the callers with the highest counts: Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient Computation of
// Frequent and Top-k Elements in Data Streams", ICDT 2005), with weights. A caller who is not in it takes the place of the one
// with the lowest count, and that count with it, as the error that its own may have. So no count is too low, none is too high by
// more than its error, and whoever has more than the total divided by the room is in it. The zero value is empty.
type sketch struct {
	index map[clientip.Key]*caller
	heap  byCount
}

func (s *sketch) empty() bool { return len(s.heap) == 0 }

// get returns a caller, nil if it is not kept.
func (s *sketch) get(key clientip.Key) *caller { return s.index[key] }

// add counts calls of a caller and returns it.
func (s *sketch) add(key clientip.Key, weight uint64) *caller {
	c := s.index[key]
	switch {
	case c != nil:
	case len(s.heap) < kept:
		if s.index == nil {
			s.index = make(map[clientip.Key]*caller)
		}
		c = &caller{key: key}
		s.index[key] = c
		heap.Push(&s.heap, c)
	default:
		c = s.heap[0]
		delete(s.index, c.key)
		*c = caller{key: key, count: c.count, over: c.count}
		s.index[key] = c
	}
	c.count += weight
	c.variance += float64(weight) * float64(weight-1) // of an estimate by one call in weight
	heap.Fix(&s.heap, c.place)
	return c
}

// floor is what a caller who is not kept may have at most.
func (s *sketch) floor() uint64 {
	if len(s.heap) < kept {
		return 0
	}
	return s.heap[0].count
}

// look returns what is known of a caller: if it is not kept, that is the most that it may have.
func (s *sketch) look(key clientip.Key) *caller {
	if c := s.index[key]; c != nil {
		return c
	}
	return &caller{key: key, count: s.floor(), over: s.floor()}
}

// byCount is a heap (container/heap) with the lowest count first. Each caller knows its place.
type byCount []*caller

// Len is of [heap.Interface].
func (h *byCount) Len() int { return len(*h) }

// Less is of [heap.Interface].
func (h *byCount) Less(i, j int) bool { return (*h)[i].count < (*h)[j].count }

// Swap is of [heap.Interface].
func (h *byCount) Swap(i, j int) {
	list := *h
	list[i], list[j] = list[j], list[i]
	list[i].place, list[j].place = i, j
}

// Push is of [heap.Interface].
func (h *byCount) Push(x any) {
	c, _ := x.(*caller)
	c.place = len(*h)
	*h = append(*h, c)
}

// Pop is of [heap.Interface]; a sketch takes nobody out.
func (h *byCount) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

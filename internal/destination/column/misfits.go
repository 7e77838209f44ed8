package column

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"trackway/internal/destination"
)

// most is the number of pairs of type and property that [Misfits]
// distinguishes. Clients choose the types, so there may be any number of them.
const most = 1000

// Misfits counts the values that did not fit, by type of event and property.
// Beyond 1000 pairs it counts all others under an empty type and property. The
// zero value is empty and ready to use. It is safe for concurrent use.
//
// A sink may write a batch several times. It counts each attempt in a separate
// Misfits, and adds the counts to those that it shows once the batch is written
// ([Misfits.Take]).
type Misfits struct {
	mu     sync.Mutex // guards counts
	counts map[pair]uint64
}

type pair struct{ eventType, property string }

// Count adds a value.
func (m *Misfits) Count(eventType, property string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.addLocked(pair{eventType, property}, 1)
}

func (m *Misfits) addLocked(p pair, n uint64) {
	if m.counts == nil {
		m.counts = map[pair]uint64{}
	}
	if _, known := m.counts[p]; !known {
		if len(m.counts) >= most {
			p = pair{}
		} else { // they are parts of an event, whose memory would otherwise stay in use, or be overwritten
			p = pair{strings.Clone(p.eventType), strings.Clone(p.property)}
		}
	}
	m.counts[p] += n
}

// Take moves the counts of another Misfits to this one.
func (m *Misfits) Take(from *Misfits) {
	from.mu.Lock()
	counts := from.counts
	from.counts = nil
	from.mu.Unlock()

	m.mu.Lock()
	defer m.mu.Unlock()
	for p, n := range counts {
		m.addLocked(p, n)
	}
}

// All returns the counts, by type and property, for
// [destination.MisfitCounter].
func (m *Misfits) All() []destination.Misfit {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]destination.Misfit, 0, len(m.counts))
	for p, n := range m.counts {
		all = append(all, destination.Misfit{Type: p.eventType, Property: p.property, Values: n})
	}
	slices.SortFunc(all, func(a, b destination.Misfit) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Property, b.Property))
	})
	return all
}

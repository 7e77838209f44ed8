package watch

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// sampler draws one call in 2^n. It draws all of them until there are more than it has time for, so that little traffic is
// counted exactly, and of a flood as many as keep the cost at a few thousandths of a core: some two thousand calls a second.
type sampler struct {
	// state is a slot of time and below it n. It is only read for a call that is not drawn, so that cores do not take the cache
	// line from each other.
	state atomic.Uint64

	mu    sync.Mutex // guards taken, and is held to change state
	taken int        // calls that were drawn in the slot
	_     [40]byte   // the rest of a cache line
}

const (
	samplers  = 32
	slotBits  = 27 // a slot is 2^27 ns, 134 ms
	shiftBits = 8
	most      = 256      // calls drawn in a slot: with more, n goes up
	few       = most / 4 // with fewer, it goes down
)

// Sample draws calls: it returns 0 if the call is not to be noted, else the number of calls that it stands for. Each policy,
// with few exceptions, has a sample of its own, and refused calls have another one, so that a flood in one place does not hide
// what happens in others. It costs a few nanoseconds on the average.
func (w *Watch) Sample(now time.Time, policy string, refused bool) (weight uint64) {
	return w.samplers[place(policy, refused)].draw(uint64(max(now.Sub(w.base), 0)) >> slotBits)
}

// place spreads the policies over the samplers. Two that meet share one, which costs only precision.
func place(policy string, refused bool) int {
	n := 2 * len(policy)
	if len(policy) > 0 {
		n += 2 * (int(policy[0]) + 3*int(policy[len(policy)-1]))
	}
	if refused {
		n++
	}
	return n % samplers
}

func (s *sampler) draw(slot uint64) uint64 {
	n := shift(s.state.Load(), slot)
	if n > 0 && rand.Uint64()&(1<<n-1) != 0 { //nolint:gosec // G404: nothing is to be kept secret here
		return 0
	}
	s.drawn(slot)
	return 1 << n
}

// shift returns n as it is in a slot: it goes down by one with each slot in which nothing was drawn.
func shift(state, slot uint64) uint64 {
	n, last := state&(1<<shiftBits-1), state>>shiftBits
	if slot <= last+1 {
		return n
	}
	return n - min(n, slot-last-1)
}

// drawn notes that a call was drawn, and adjusts n.
func (s *sampler) drawn(slot uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state.Load()
	n, last := shift(state, slot), state>>shiftBits
	if slot > last {
		if n > 0 && s.taken < few {
			n--
		}
		s.taken, last = 0, slot
	}
	s.taken++
	if s.taken > most {
		n, s.taken = n+1, most/2 // as if it had been so from the start
	}
	if next := last<<shiftBits | n; next != state {
		s.state.Store(next)
	}
}

package watch

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// sampler draws one call in 2^n. It draws all calls as long as there are few,
// so it counts little traffic exactly. During a flood it draws about two
// thousand a second, which costs a few thousandths of a core.
type sampler struct {
	// state is a slot of time and, in the low bits, n. A call that is not drawn
	// only reads it, so that cores do not take the cache line from each other.
	state atomic.Uint64

	mu    sync.Mutex // guards taken; held to change state
	taken int        // calls drawn in the slot
	_     [40]byte   // fills the cache line
}

const (
	samplers  = 32
	slotBits  = 27 // a slot is 2^27 ns, 134 ms
	shiftBits = 8
	most      = 256      // calls drawn in a slot: if there are more, n goes up
	few       = most / 4 // if there are fewer, n goes down
)

// Sample draws calls. It returns 0 if the call is not drawn, otherwise the
// number of calls that it stands for. Nearly every policy has its own sample,
// and another for refused calls, so that a flood in one place does not hide the
// others. Sample costs a few nanoseconds on average.
func (w *Watch) Sample(now time.Time, policy string, refused bool) (weight uint64) {
	return w.samplers[place(policy, refused)].draw(uint64(max(now.Sub(w.base), 0)) >> slotBits)
}

// place spreads the policies over the samplers. Policies that share a sampler
// are less precise.
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

// shift returns n in a slot: it goes down by one for each slot without a drawn
// call.
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
		n, s.taken = n+1, most/2 // as if n had been so from the start
	}
	if next := last<<shiftBits | n; next != state {
		s.state.Store(next)
	}
}

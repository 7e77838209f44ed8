package table

// Take counts a call at the time now (nanoseconds since any fixed moment,
// monotonic) against the counter of k under rule r. A refused call changes
// nothing but a mark that keeps its counter from being forgotten. Counting is
// exact: concurrent callers are admitted exactly as often as the rule allows.
// Take does not allocate. It holds a mutex for some nanoseconds, which in a
// large table it shares with a 256th of all keys.
//
// class groups counters for [Table.Scan]. Use a key with one class only.
func (t *Table) Take(now int64, k Key, class uint8, r *Rule) Result {
	s, home, other, name := t.place(k, class)
	s.Lock()
	defer s.Unlock()
	if c := find(home, other, name); c != nil {
		return r.step(c, now)
	}
	c := t.victim(home, other, millis(now))
	if c == nil {
		t.untracked.Add(1)
		c = new(Counter) // forgotten at once
	}
	c.key = name
	return r.first(c, now)
}

// Peek returns what Take would answer to a call that it refuses, and changes
// nothing. If Take would admit the call, only Allowed is set.
func (t *Table) Peek(now int64, k Key, class uint8, r *Rule) Result {
	s, home, other, name := t.place(k, class)
	s.Lock()
	defer s.Unlock()
	if c := find(home, other, name); c != nil {
		peeked := *c
		if res := r.step(&peeked, now); !res.Allowed {
			return res
		}
	}
	return Result{Allowed: true}
}

// Refund gives back a call that was admitted at the time at, if it still
// counts. It never gives back more than was taken: it does nothing after the
// window has ended, or once the time that a gcra call took may have drained.
func (t *Table) Refund(now, at int64, k Key, class uint8, r *Rule) {
	s, home, other, name := t.place(k, class)
	s.Lock()
	defer s.Unlock()
	if c := find(home, other, name); c != nil {
		c.state = r.refund(c.state, at, now)
	}
}

// victim returns the slot for a new counter. It prefers a free or expired slot,
// in the set that has more of them. Otherwise it takes the slot of the caller
// who has used the least of their limit, among equals the one that expires
// first. It never takes the slot of a refused caller, and returns nil if there
// is no other.
//
// Least recently used, the usual rule, would free a refused caller as soon as
// enough other addresses have called.
func (t *Table) victim(home, other *set, ms uint64) *Counter {
	a, b := t.cheapest(home, ms), t.cheapest(other, ms)
	if b.room > a.room || (b.room == a.room && b.cost < a.cost) {
		return b.counter
	}
	return a.counter
}

// offer is a slot that another caller could take.
type offer struct {
	counter *Counter // nil: no slot can
	cost    uint64   // 0: free or expired
	room    int      // free slots in the same set
}

// cheapest returns the slot of s that loses the least.
func (t *Table) cheapest(s *set, ms uint64) offer {
	best := offer{cost: ^uint64(0)}
	for i := range s {
		c, cost := &s[i], uint64(0)
		switch {
		case !t.runs(c, ms):
			best.room++
		case c.state&levelMask == levelMask:
			continue
		default:
			cost = c.state>>lowBits + 1 // level, then end of the window
		}
		if cost < best.cost {
			best.counter, best.cost = c, cost
		}
	}
	return best
}

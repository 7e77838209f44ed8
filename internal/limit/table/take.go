package table

import "sync/atomic"

// Take counts a call at the time now (nanoseconds since any fixed moment, monotonic) against the counter of k under rule r.
// A refused call changes nothing but a mark that keeps its counter from being forgotten. Counting is exact: of any number
// of goroutines, exactly as many are admitted as the rule allows. It does not allocate, and takes a lock (shared with a
// 256th of all keys, for the time of an insertion) only for a caller that is not in the table.
//
// class groups counters for [Table.Live]; a key is always used with the same one.
func (t *Table) Take(now int64, k Key, class uint8, r *Rule) Result {
	home, other, name := t.place(k, class)
	for {
		c := find(home, other, name)
		if c.key == nil {
			if res, done := t.insert(now, k, class, r); done {
				return res
			}
			continue
		}
		word, prev, ok := c.read(name)
		if !ok {
			if res, done := t.insert(now, k, class, r); done {
				return res
			}
			continue
		}
		next, res := r.step(word, prev, now)
		switch {
		case next == over:
			t.move(now, k, name, c, word, r)
		case next == word:
			if c.state.Load() == word { // nobody took the counter over while we looked
				return res
			}
		case c.state.CompareAndSwap(word, next):
			return res
		}
	}
}

// Peek returns what Take would answer if it refuses, and changes nothing. Of a call that Take would admit it returns only that.
func (t *Table) Peek(now int64, k Key, class uint8, r *Rule) Result {
	home, other, name := t.place(k, class)
	c := find(home, other, name)
	if c.key == nil {
		return Result{Allowed: true}
	}
	word, prev, ok := c.read(name)
	if !ok {
		return Result{Allowed: true} // it changes hands: nobody is being refused there
	}
	if next, res := r.step(word, prev, now); next != over {
		return res
	}
	return Result{Allowed: true}
}

// Refund gives back a call that was admitted at the time at, if it still counts. It never gives more than was taken: after
// the window has ended, or what a gcra call took may have drained, it does nothing.
func (t *Table) Refund(now, at int64, k Key, class uint8, r *Rule) {
	home, other, name := t.place(k, class)
	for {
		c := find(home, other, name)
		if c.key == nil {
			return
		}
		word, _, ok := c.read(name)
		if !ok {
			return
		}
		next := r.refund(word, at, now)
		if next == word || c.state.CompareAndSwap(word, next) {
			return
		}
	}
}

// insert makes a counter for k and counts its first call. done is false if another goroutine has made one meanwhile.
func (t *Table) insert(now int64, k Key, class uint8, r *Rule) (res Result, done bool) {
	lock := &t.stripes[k%stripes]
	lock.Lock()
	defer lock.Unlock()
	home, other, name := t.place(k, class)
	if home.has(name) || other.has(name) {
		return Result{}, false
	}
	word, res := r.first(now)
	for {
		slot, ok := t.victim(home, other, millis(now))
		if !ok {
			t.untracked.Add(1)
			return res, true
		}
		if slot.state.CompareAndSwap(slot.word, busy) {
			slot.key.Store(name)
			slot.state.Store(word&^genMask | (slot.word+genOne)&genMask)
			return res, true
		}
	}
}

// has tells whether a counter of this name is in s and not about to be given away.
func (s *set) has(name uint64) bool {
	for i := range ways {
		if _, _, ok := (counter{&s.key[i], &s.state[i]}).read(name); ok {
			return true
		}
	}
	return false
}

// move takes a sliding counter into the next window. It holds the lock because others who find the counter busy go to
// insert, and must wait there.
func (t *Table) move(now int64, k Key, name uint64, c counter, word uint64, r *Rule) {
	lock := &t.stripes[k%stripes]
	lock.Lock()
	defer lock.Unlock()
	if !c.state.CompareAndSwap(word, busy) {
		return
	}
	next, prev := r.slide(word, now)
	c.key.Store(name | prev)
	c.state.Store(next | (word+genOne)&genMask)
}

// victim returns the slot for a new counter: a free or expired one, in the set that has more of them; else that of the
// caller who has used the least of its limit, the first to expire among equals; never that of one who is being refused, and
// false if there is no other.
//
// Least recently used, the usual rule, makes a refused caller free again as soon as enough other addresses have called.
func (t *Table) victim(home, other *set, ms uint64) (offer, bool) {
	a, b := t.cheapest(home, ms), t.cheapest(other, ms)
	if b.room > a.room || (b.room == a.room && b.cost < a.cost) {
		a = b
	}
	return a, a.cost != notForSale
}

// offer is a slot that could be given to another caller.
type offer struct {
	key, state *atomic.Uint64
	word       uint64 // the state for which cost was reckoned
	cost       uint64 // 0: free or expired
	room       int    // slots of the same set that cost nothing
}

const notForSale = ^uint64(0)

// cheapest returns the slot of s that is the least loss.
func (t *Table) cheapest(s *set, ms uint64) offer {
	best := offer{cost: notForSale}
	for i := range ways {
		word := s.state[i].Load()
		class := uint8(s.key[i].Load() >> classAt)
		cost := uint64(0)
		switch {
		case word == busy:
			continue
		case word == free || !t.runs(word, class, ms):
			best.room++
		case word&levelMask == levelMask:
			continue
		default:
			cost = word&^genMask>>lowBits + 1 // level, then end of the window
		}
		if cost < best.cost {
			best.key, best.state, best.word, best.cost = &s.key[i], &s.state[i], word, cost
		}
	}
	return best
}

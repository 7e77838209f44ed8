package cache

import (
	"math"

	"trackway"
)

// fewKeys is how many keys of a customer's timelines are remembered.
const fewKeys = 3

// unknown is the bound of a customer of whom no keys are known.
const unknown trackway.Micros = math.MaxInt64

// recent is what is remembered of the timelines of one customer: its own, and
// those of others that it keeps.
//
// INVARIANT: if one of them has an entry at a time from bound on whose key ends
// in a hash, then times and tails have it. They may have others besides: those
// that were deleted since, and those before the bound.
type recent struct {
	bound trackway.Micros
	times [fewKeys]trackway.Micros
	tails [fewKeys]uint32 // the last bits of each
	n     uint8           // how many keys there are
}

// customerKey is a customer as the key of a table.
type customerKey trackway.Customer

// hash spreads numbers that follow each other. Nobody gains by making them
// collide: those who share a bucket forget each other's keys, that is all.
func (c customerKey) hash() uint64 {
	h := uint64(c) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

// add takes in a key. If there is no room, the earliest is dropped and the
// bound rises to behind its time.
func (r *recent) add(at trackway.Micros, tail uint32) {
	if at < r.bound {
		return
	}
	i := int(r.n)
	if i < fewKeys {
		r.n++
	} else {
		i = 0
		for j := range r.times {
			if r.times[j] < r.times[i] {
				i = j
			}
		}
		if r.times[i] >= at { // the new one is the earliest
			r.bound = at + 1
			return
		}
		r.bound = max(r.bound, r.times[i]+1)
	}
	r.times[i], r.tails[i] = at, tail
}

// isNew reports whether none of the timelines has the key, as far as is known.
func (r *recent) isNew(at trackway.Micros, tail uint32) bool {
	if at < r.bound {
		return false
	}
	for i := range r.n {
		if r.times[i] == at && r.tails[i] == tail {
			return false
		}
	}
	return true
}

// Recent tells of a customer's timelines whether an entry is certainly not on
// one of them, so that nobody has to look. If not, known tells whether anything
// is known of them at all, and met whether somebody has asked before: then it
// is worth while to look at the timelines' end and call [Cache.PutLast].
// REQUIRES: the tail is a hash.
func (c *Cache) Recent(customer trackway.Customer, at trackway.Micros, tail uint64) (isNew, known, met bool) {
	r := c.recent.find(customerKey(customer))
	if r == nil {
		c.recent.put(customerKey(customer)).bound = unknown
		return false, false, false
	}
	return r.isNew(at, uint32(tail)), r.bound != unknown, true
}

// Misses reports whether Recent takes an entry for new. It changes nothing, so
// that a test can ask.
func (c *Cache) Misses(customer trackway.Customer, at trackway.Micros, tail uint64) bool {
	r := c.recent.find(customerKey(customer))
	return r != nil && r.isNew(at, uint32(tail))
}

// PutLast notes that no entry of a customer's timelines is after a time; -1 if
// there is no entry.
func (c *Cache) PutLast(customer trackway.Customer, last trackway.Micros) {
	*c.recent.put(customerKey(customer)) = recent{bound: last + 1}
}

// SawEntry notes an entry that is added to one of a customer's timelines.
// REQUIRES: the tail is a hash.
func (c *Cache) SawEntry(customer trackway.Customer, at trackway.Micros, tail uint64) {
	if r := c.recent.find(customerKey(customer)); r != nil {
		r.add(at, uint32(tail))
	}
}

// Join notes that a customer gets all timelines of another, or their entries.
func (c *Cache) Join(customer, absorbed trackway.Customer) {
	from := c.recent.find(customerKey(absorbed))
	to := c.recent.find(customerKey(customer))
	switch {
	case to == nil:
	case from == nil:
		c.recent.remove(customerKey(customer))
	default:
		to.bound = max(to.bound, from.bound)
		for i := range from.n {
			to.add(from.times[i], from.tails[i])
		}
	}
	c.recent.remove(customerKey(absorbed))
}

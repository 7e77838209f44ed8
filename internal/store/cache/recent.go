package cache

import (
	"math"

	"trackway"
)

// unknown is the bound of a customer whose timelines are not known. never is a
// time before all others.
const (
	unknown trackway.Micros = math.MaxInt64
	never   trackway.Micros = -1
)

// recents tells which entries are certainly not on a customer's timelines: its
// own and those of others that it keeps. It covers only entries whose keys end
// in a hash.
//
// Each added key goes into a filter that all customers share. A full filter
// becomes the earlier one, and the earlier one before it is dropped. So the
// knowledge about a customer is a bound: all its entries from this time on are
// in one of the two filters.
type recents struct {
	table[customerKey, recent]

	filter, before filter
	generation     uint32 // counts the filters
}

// recent is what is known about one customer.
//
// INVARIANT: entries added before the earlier filter began are before bound.
// Entries in the earlier filter are at before or earlier, and entries in the
// current filter are at now or earlier.
type recent struct {
	bound, before, now trackway.Micros
	generation         uint32
}

// customerKey is a customer as the key of a table.
type customerKey trackway.Customer

// hash spreads consecutive numbers. Making them collide gains an attacker
// nothing: customers that share a bucket are only forgotten sooner.
func (c customerKey) hash() uint64 {
	h := uint64(c) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

func newRecents(bytes, filterBytes int64) recents {
	return recents{table: newTable[customerKey, recent](bytes), filter: newFilter(filterBytes), before: newFilter(filterBytes)}
}

// of returns what is known about a customer, brought up to the current
// generation. It returns nil if nothing is known.
func (t *recents) of(customer trackway.Customer) *recent {
	r := t.find(customerKey(customer))
	if r == nil {
		return nil
	}
	switch t.generation - r.generation {
	case 0:
		return r
	case 1:
		r.bound, r.before, r.now = max(r.bound, r.before+1), r.now, never
	default:
		r.bound, r.before, r.now = r.end(), never, never
	}
	r.generation = t.generation
	return r
}

// end returns a time from which on the customer has no entries.
func (r *recent) end() trackway.Micros { return max(r.bound, r.before+1, r.now+1) }

// begin notes that a customer has no entries from a time on.
func (t *recents) begin(customer trackway.Customer, bound trackway.Micros) {
	*t.put(customerKey(customer)) = recent{bound: bound, before: never, now: never, generation: t.generation}
}

// isNew reports whether an entry is certainly absent.
func (t *recents) isNew(r *recent, customer trackway.Customer, at trackway.Micros, tail uint64) bool {
	if at < r.bound {
		return false
	}
	h := hashOf(customer, at, tail)
	return !t.filter.has(h) && !t.before.has(h)
}

// Recent reports whether an entry is certainly on none of a customer's
// timelines, so that no look-up is needed. If the entry may exist, known tells
// whether anything is known about the timelines, and met whether Recent was
// called for the customer before. If it was, reading the end of the timelines
// and calling [Cache.PutLast] is worth the cost. REQUIRES: the tail is a hash.
func (c *Cache) Recent(customer trackway.Customer, at trackway.Micros, tail uint64) (isNew, known, met bool) {
	r := c.recents.of(customer)
	if r == nil {
		c.recents.begin(customer, unknown)
		return false, false, false
	}
	return c.recents.isNew(r, customer, at, tail), r.bound != unknown, true
}

// Misses reports whether Recent would report an entry as new. Unlike Recent it
// does not change the cache, so tests can use it.
func (c *Cache) Misses(customer trackway.Customer, at trackway.Micros, tail uint64) bool {
	r := c.recents.of(customer)
	return r != nil && c.recents.isNew(r, customer, at, tail)
}

// PutLast notes that a customer's timelines have no entry after last. It is -1
// if they have no entry at all.
func (c *Cache) PutLast(customer trackway.Customer, last trackway.Micros) {
	c.recents.begin(customer, last+1)
}

// SawEntry notes an entry added to one of a customer's timelines. REQUIRES: the
// tail is a hash.
func (c *Cache) SawEntry(customer trackway.Customer, at trackway.Micros, tail uint64) {
	t := &c.recents
	if t.filter.full() {
		t.filter, t.before = t.before, t.filter
		t.filter.empty()
		t.generation++
	}
	if r := t.of(customer); r != nil && at >= r.bound {
		r.now = max(r.now, at)
		t.filter.add(hashOf(customer, at, tail))
	}
}

// Join notes that a customer gets all timelines of another one, or their
// entries.
func (c *Cache) Join(customer, absorbed trackway.Customer) {
	to, from := c.recents.of(customer), c.recents.of(absorbed)
	switch {
	case to == nil:
	case from == nil:
		c.recents.remove(customerKey(customer))
	default:
		// the filters have its keys under the other customer's number
		to.bound = max(to.bound, from.end())
	}
	c.recents.remove(customerKey(absorbed))
}

package cache

import (
	"math"

	"trackway"
)

// unknown is the bound of a customer of whose timelines nothing is known, and
// never the time before the first.
const (
	unknown trackway.Micros = math.MaxInt64
	never   trackway.Micros = -1
)

// recents tells which entries are certainly not on a customer's timelines: its
// own, and those of others that it keeps. Only entries whose keys end in a hash
// count.
//
// Each key that is added is noted in a filter of all customers. A filter that
// is full becomes the one before, and that is dropped. So what is known of a
// customer is a bound: all entries from this time on are in one of the two
// filters.
type recents struct {
	table[customerKey, recent]

	filter, before filter
	generation     uint32 // counts the filters
}

// recent is what is known of one customer.
//
// INVARIANT: entries whose keys came before the generation before are earlier
// than bound; those that came in it are no later than before, and those that
// came in this generation no later than now.
type recent struct {
	bound, before, now trackway.Micros
	generation         uint32
}

// customerKey is a customer as the key of a table.
type customerKey trackway.Customer

// hash spreads numbers that follow each other. Nobody gains by making them
// collide: those who share a bucket are forgotten sooner, that is all.
func (c customerKey) hash() uint64 {
	h := uint64(c) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

func newRecents(bytes, filterBytes int64) recents {
	return recents{table: newTable[customerKey, recent](bytes), filter: newFilter(filterBytes), before: newFilter(filterBytes)}
}

// of returns what is known of a customer in this generation, nil if nothing is.
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

// end returns a time from which on there are no entries.
func (r *recent) end() trackway.Micros { return max(r.bound, r.before+1, r.now+1) }

// begin notes a customer that has no entries from a time on.
func (t *recents) begin(customer trackway.Customer, bound trackway.Micros) {
	*t.put(customerKey(customer)) = recent{bound: bound, before: never, now: never, generation: t.generation}
}

// isNew reports whether an entry is certainly not there.
func (t *recents) isNew(r *recent, customer trackway.Customer, at trackway.Micros, tail uint64) bool {
	if at < r.bound {
		return false
	}
	h := hashOf(customer, at, tail)
	return !t.filter.has(h) && !t.before.has(h)
}

// Recent reports whether an entry is certainly on none of a customer's
// timelines, so that nobody has to look. If it may be there, known tells whether
// anything is known of the timelines, and met whether somebody has asked before:
// then it is worth while to look at the timelines' end and call
// [Cache.PutLast]. REQUIRES: the tail is a hash.
func (c *Cache) Recent(customer trackway.Customer, at trackway.Micros, tail uint64) (isNew, known, met bool) {
	r := c.recents.of(customer)
	if r == nil {
		c.recents.begin(customer, unknown)
		return false, false, false
	}
	return c.recents.isNew(r, customer, at, tail), r.bound != unknown, true
}

// Misses reports whether Recent takes an entry for new. It does not note that
// somebody asked, so that a test can.
func (c *Cache) Misses(customer trackway.Customer, at trackway.Micros, tail uint64) bool {
	r := c.recents.of(customer)
	return r != nil && c.recents.isNew(r, customer, at, tail)
}

// PutLast notes that no entry of a customer's timelines is after a time; -1 if
// there is no entry.
func (c *Cache) PutLast(customer trackway.Customer, last trackway.Micros) {
	c.recents.begin(customer, last+1)
}

// SawEntry notes an entry that is added to one of a customer's timelines.
// REQUIRES: the tail is a hash.
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

// Join notes that a customer gets all timelines of another, or their entries.
func (c *Cache) Join(customer, absorbed trackway.Customer) {
	to, from := c.recents.of(customer), c.recents.of(absorbed)
	switch {
	case to == nil:
	case from == nil:
		c.recents.remove(customerKey(customer))
	default:
		to.bound = max(to.bound, from.end()) // the filters have its keys under another name
	}
	c.recents.remove(customerKey(absorbed))
}

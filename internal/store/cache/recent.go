package cache

import "trackway"

// moment is a time in units of 8.192 ms, which takes 40 bits up to
// [trackway.MaxTime].
type moment uint64

const (
	momentBits        = 13
	unknown    moment = 1<<40 - 1 // the bound of a customer whose timelines are not known
)

// momentOf returns the moment of a time.
func momentOf(at trackway.Micros) moment { return moment(at >> momentBits) }

// afterMoment returns the moment after that of a time, which is 0 for -1. If a
// clock was wrong by centuries, it is unknown.
func afterMoment(at trackway.Micros) moment { return min(momentOf(at)+1, unknown) }

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

// recent is what is known about one customer: three moments. They are packed,
// because a million customers have one each.
//
// INVARIANT: entries added before the earlier filter began are before the
// bound.
type recent struct {
	low        [3]uint32
	generation uint32
	high       [3]uint8
}

// The moments of a customer.
const (
	bound  = iota // entries from it on are in one of the filters
	before        // the next after the last entry in the earlier filter; 0: it has none
	now           // the same for the current filter
)

func (r *recent) at(which int) moment { return moment(r.high[which])<<32 | moment(r.low[which]) }

func (r *recent) set(which int, m moment) {
	r.high[which], r.low[which] = uint8(m>>32), uint32(m)
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
		r.set(bound, max(r.at(bound), r.at(before)))
		r.set(before, r.at(now))
		r.set(now, 0)
	default:
		*r = recentFrom(r.end())
	}
	r.generation = t.generation
	return r
}

// recentFrom returns what is known of a customer without entries from a moment
// on.
func recentFrom(m moment) (r recent) {
	r.set(bound, m)
	return r
}

// end returns a moment from which on the customer has no entries.
func (r *recent) end() moment { return max(r.at(bound), r.at(before), r.at(now)) }

// begin notes that a customer has no entries from a moment on.
func (t *recents) begin(customer trackway.Customer, from moment) {
	r := recentFrom(from)
	r.generation = t.generation
	*t.put(customerKey(customer)) = r
}

// isNew reports whether an entry is certainly absent.
func (t *recents) isNew(r *recent, customer trackway.Customer, at trackway.Micros, tail uint64) bool {
	if m := momentOf(at); m < r.at(bound) || m >= unknown {
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
	return c.recents.isNew(r, customer, at, tail), r.at(bound) != unknown, true
}

// Misses reports whether Recent would report an entry as new. Unlike Recent it
// does not note that it was called, so tests can use it.
func (c *Cache) Misses(customer trackway.Customer, at trackway.Micros, tail uint64) bool {
	r := c.recents.of(customer)
	return r != nil && c.recents.isNew(r, customer, at, tail)
}

// PutLast notes that a customer's timelines have no entry after last. It is -1
// if they have no entry at all.
func (c *Cache) PutLast(customer trackway.Customer, last trackway.Micros) {
	c.recents.begin(customer, afterMoment(last))
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
	if r, m := t.of(customer), momentOf(at); r != nil && m >= r.at(bound) {
		r.set(now, max(r.at(now), m+1))
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
		to.set(bound, max(to.at(bound), from.end()))
	}
	c.recents.remove(customerKey(absorbed))
}

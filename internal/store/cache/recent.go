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
// Each added key goes into a filter that all customers share. A full filter is
// emptied. So the knowledge about a customer is a bound: all its entries from
// this time on are in the filter.
type recents struct {
	table[customerKey, recent]

	filter filter
}

// recent is what is known about one customer: two moments. They are packed,
// because a million customers have them.
//
// INVARIANT: the end is not before the bound.
type recent struct{ bound, end small } // entries from the bound on are in the filter, and none is at the end or later

// customerKey is a customer as the key of a table.
type customerKey small

// mostCustomers is how many customers have a key. There are never as many,
// because customers are counted up.
const mostCustomers = 1 << 40

// keyOf returns the key of a customer, if it has one.
func keyOf(customer trackway.Customer) (key customerKey, ok bool) {
	return customerKey(pack(uint64(customer))), customer < mostCustomers
}

// hash spreads consecutive numbers. Making them collide gains an attacker
// nothing: customers that share a bucket are only forgotten sooner.
func (c customerKey) hash() uint64 {
	h := small(c).number() * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

func newRecents(bytes, filterBytes int64) recents {
	t := newTable[customerKey, recent](bytes)
	t.renew = func(r *recent) { r.bound = r.end }
	return recents{table: t, filter: newFilter(filterBytes)}
}

// of returns what is known about a customer, or nil if nothing is known.
func (t *recents) of(customer trackway.Customer) *recent {
	if key, ok := keyOf(customer); ok {
		return t.find(key)
	}
	return nil
}

// begin notes that a customer has no entries from a moment on.
func (t *recents) begin(customer trackway.Customer, from moment) {
	if key, ok := keyOf(customer); ok {
		m := pack(uint64(from))
		*t.put(key) = recent{m, m}
	}
}

// forget drops what is known about a customer.
func (t *recents) forget(customer trackway.Customer) {
	if key, ok := keyOf(customer); ok {
		t.remove(key)
	}
}

// isNew reports whether an entry is certainly absent.
func (t *recents) isNew(r *recent, customer trackway.Customer, at trackway.Micros, tail uint64) bool {
	if m := momentOf(at); m < moment(r.bound.number()) || m >= unknown {
		return false
	}
	return !t.filter.has(hashOf(customer, at, tail))
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
	return c.recents.isNew(r, customer, at, tail), moment(r.bound.number()) != unknown, true
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
		t.filter.empty()
		t.next()
	}
	if r, m := t.of(customer), momentOf(at); r != nil && m >= moment(r.bound.number()) && m < unknown {
		r.end = pack(max(r.end.number(), uint64(m)+1))
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
		c.recents.forget(customer)
	default:
		// the filter has its keys under the other customer's number
		to.bound = pack(max(to.bound.number(), from.end.number()))
		to.end = pack(max(to.end.number(), from.end.number()))
	}
	c.recents.forget(absorbed)
}

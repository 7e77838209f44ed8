// Package cache keeps in memory what the store would have to look up for nearly
// every command: whom an identifier leads to, who a customer is, and which
// entries its timelines certainly do not have. It is bounded in bytes.
//
// What many customers need is compact and without pointers: 66 bytes for a
// customer of one identifier, so that a million of them fit into 66 MB. What
// only changes of a customer need, its whole record, is kept for those that
// came last.
package cache

import (
	"trackway"
	"trackway/internal/identity"
)

// Usual is how many bytes the cache of a store takes that is not told.
const Usual = 64 << 20

// How the bytes are shared, in hundredths. Holders get a tenth: two generations,
// each with one for each bytesEach bytes, of some 400 bytes; four times that if
// each identifier has the 256 bytes that it may have.
const (
	idsPart     = 30
	recentPart  = 48
	filterPart  = 6 // each of two
	bytesEach   = 8 << 10
	idsEach     = 4        // identifiers that the holders of a generation list, on average
	mostFilters = 16 << 20 // bytes of a filter, for it is cleared under the lock
)

// Cache holds what the store holds, including what was staged by the
// transaction under way; so it is emptied when one fails. It is used under the
// store's lock.
type Cache struct {
	ids     ids
	recents recents

	// Two generations stand for an order of use: what is found in the old one
	// moves to the young one, and when the young one is full, it becomes the
	// old one.
	holders    int // of a generation
	young, old generation
}

type generation struct {
	holders map[trackway.Customer]*identity.Holder
	listed  int // identifiers that they listed when they came
}

// New returns an empty cache of so many bytes, or of a handful of entries if
// that is fewer.
func New(bytes int64) Cache {
	const handful = 6
	return Cache{
		ids:     newIDs(bytes * idsPart / 100),
		recents: newRecents(bytes*recentPart/100, min(bytes*filterPart/100, mostFilters)),
		holders: max(handful, int(bytes/bytesEach)),
		young:   generation{holders: make(map[trackway.Customer]*identity.Holder)},
		old:     generation{holders: make(map[trackway.Customer]*identity.Holder)},
	}
}

// Holder returns a customer's holder, nil if the cache does not know it.
func (c *Cache) Holder(customer trackway.Customer) *identity.Holder {
	if h := c.young.holders[customer]; h != nil {
		return h
	}
	h := c.old.holders[customer]
	if h != nil {
		c.PutHolder(h)
	}
	return h
}

// PutHolder keeps a customer's holder, which the cache shares with its callers,
// at least until [Cache.MakeRoom] is called.
func (c *Cache) PutHolder(h *identity.Holder) {
	c.young.holders[h.Customer] = h
	c.young.listed += len(h.IDs)
}

// MakeRoom drops holders if there are too many. It is called before each
// command, and not while one is carried out: a command may name a customer
// twice, and has to find the same holder.
func (c *Cache) MakeRoom() {
	if len(c.young.holders) >= c.holders || c.young.listed >= idsEach*c.holders {
		c.turn()
	}
}

// turn makes the young generation the old one.
func (c *Cache) turn() {
	c.young, c.old = c.old, c.young
	clear(c.young.holders)
	c.young.listed = 0
}

// Empty drops everything.
func (c *Cache) Empty() {
	c.turn()
	c.turn()
	c.ids.empty()
	c.recents.empty()
	c.recents.filter.empty()
	c.recents.before.empty()
}

// Each passes on all holders that are kept, so that a test can compare them
// with what is stored.
func (c *Cache) Each(holder func(*identity.Holder)) {
	for _, g := range []generation{c.young, c.old} {
		for _, h := range g.holders {
			holder(h)
		}
	}
}

// Package cache keeps in memory what the store would otherwise look up for
// nearly every command: the customer behind an identifier, a customer's record,
// and which entries its timelines certainly do not have. Its size is bounded in
// bytes.
//
// The data that many customers need is compact and has no pointers: 37 bytes
// for a customer with one identifier, so a million of them fit into 37 MB. The
// whole record of a customer, which only changes need, is kept for the
// customers used last.
package cache

import (
	"trackway"
	"trackway/internal/identity"
)

// Usual is the size of a store's cache in bytes if the options do not set one.
const Usual = 64 << 20

// The parts of the cache, in hundredths of its bytes. Holders get a tenth, in
// two generations. Each generation has one holder, of some 400 bytes, per
// bytesEach bytes of the cache. A holder takes four times that if all its
// identifiers have the maximum length of 256 bytes.
const (
	idsPart     = 48
	recentPart  = 30
	filterPart  = 12
	bytesEach   = 8 << 10
	idsEach     = 4        // average number of identifiers of a holder in a full generation
	mostFilters = 16 << 20 // largest filter in bytes: clearing it holds the lock
)

// Cache mirrors what the store holds, including what the current transaction
// has staged. So it must be emptied if a transaction fails. It is used under
// the store's lock.
type Cache struct {
	ids     ids
	recents recents

	// Two generations approximate the order of use. A holder found in the old
	// one moves to the young one. When the young one is full, it becomes the
	// old one.
	holders    int // most holders in a generation
	young, old generation
}

type generation struct {
	holders map[trackway.Customer]*identity.Holder
	listed  int // identifiers of the holders at the time they were added
}

// New returns an empty cache of at most the given size in bytes. It has room
// for at least a handful of entries.
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

// Holder returns a customer's holder, or nil if the cache does not have it.
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

// PutHolder keeps a customer's holder at least until the next call of
// [Cache.MakeRoom]. The cache and its callers share the holder.
func (c *Cache) PutHolder(h *identity.Holder) {
	c.young.holders[h.Customer] = h
	c.young.listed += len(h.IDs)
}

// MakeRoom drops holders if there are too many. Call it before each command but
// not during one: a command may name a customer twice and must find the same
// holder.
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
}

// Each calls holder for all holders in the cache, so that a test can compare
// them with the stored records.
func (c *Cache) Each(holder func(*identity.Holder)) {
	for _, g := range []generation{c.young, c.old} {
		for _, h := range g.holders {
			holder(h)
		}
	}
}

package store

import (
	"trackway"
	"trackway/internal/identity"
)

// cacheSize is how many customers each of the cache's two generations holds, and a fourth of how many identifiers: some 60 MB
// in all, 200 MB if each identifier has the 256 bytes that it may have.
const (
	cacheSize = 64 << 10
	idsEach   = 4
)

// cache keeps the identities that were used last, so that who a known customer is costs a look-up in a map and not two
// searches of the store. It holds what the store holds, including what was staged by the transaction under way; so it is
// emptied when one fails. It is used under the store's lock.
//
// Two generations stand for an order of use: what is found in the old one moves to the young one, and when the young one is
// full, it becomes the old one.
type cache struct {
	size       int
	young, old generation
}

type generation struct {
	ids     map[string]trackway.Customer // by key in the table of identifiers
	holders map[trackway.Customer]*identity.Holder
	latest  map[trackway.Customer]trackway.Micros // no event on the customer's timeline is later
	listed  int                                   // identifiers that holders listed when they came
}

// met stands in latest for a customer that was met once: whose last event it is worth looking up the next time.
const met trackway.Micros = -1

func newGeneration() generation {
	return generation{
		ids:     make(map[string]trackway.Customer),
		holders: make(map[trackway.Customer]*identity.Holder),
		latest:  make(map[trackway.Customer]trackway.Micros),
	}
}

func newCache(size int) cache { return cache{size: size, young: newGeneration(), old: newGeneration()} }

// customer returns whom the identifier with this key leads to, false if the cache does not know.
func (c *cache) customer(key []byte) (trackway.Customer, bool) {
	if customer, ok := c.young.ids[string(key)]; ok {
		return customer, true
	}
	customer, ok := c.old.ids[string(key)]
	if ok {
		c.putID(key, customer)
	}
	return customer, ok
}

// holder returns a customer's holder, nil if the cache does not know it.
func (c *cache) holder(customer trackway.Customer) *identity.Holder {
	if h := c.young.holders[customer]; h != nil {
		return h
	}
	h := c.old.holders[customer]
	if h != nil {
		c.putHolder(h)
	}
	return h
}

// latest returns a time that no event on the customer's timeline is later than, false if the cache knows none. It may be met.
func (c *cache) latest(customer trackway.Customer) (at trackway.Micros, known bool) {
	if at, known = c.young.latest[customer]; known {
		return at, true
	}
	if at, known = c.old.latest[customer]; known {
		c.young.latest[customer] = at
	}
	return at, known
}

func (c *cache) putLatest(customer trackway.Customer, at trackway.Micros) {
	c.young.latest[customer] = at
}

func (c *cache) forgetLatest(customer trackway.Customer) {
	delete(c.young.latest, customer)
	delete(c.old.latest, customer)
}

func (c *cache) putID(key []byte, customer trackway.Customer) {
	if len(c.young.ids) >= idsEach*c.size {
		c.turn()
	}
	c.young.ids[string(key)] = customer
}

func (c *cache) putHolder(h *identity.Holder) {
	if len(c.young.holders) >= c.size || c.young.listed >= idsEach*c.size {
		c.turn()
	}
	c.young.holders[h.Customer] = h
	c.young.listed += len(h.IDs)
}

// sawEvent keeps latest true when an event is added to a customer's timeline.
func (c *cache) sawEvent(customer trackway.Customer, at trackway.Micros) {
	if latest, known := c.latest(customer); known && latest != met && at > latest {
		c.putLatest(customer, at)
	}
}

// turn makes the young generation the old one.
func (c *cache) turn() {
	c.young, c.old = c.old, c.young
	clear(c.young.ids)
	clear(c.young.holders)
	clear(c.young.latest)
	c.young.listed = 0
}

// forgetID drops an identifier that leads nowhere any more.
func (c *cache) forgetID(key []byte) {
	delete(c.young.ids, string(key))
	delete(c.old.ids, string(key))
}

// forgetHolder drops a customer whose record was changed behind the cache.
func (c *cache) forgetHolder(customer trackway.Customer) {
	for _, g := range []generation{c.young, c.old} {
		delete(g.holders, customer)
		delete(g.latest, customer)
	}
}

// empty drops everything.
func (c *cache) empty() {
	c.turn()
	c.turn()
}

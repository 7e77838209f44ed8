// Package cache keeps the identities that were used last, so that who a known customer is costs a look-up in a map and not two
// searches of the store. Its one idea: two generations stand for an order of use; what is found in the old one moves to the young
// one, and when the young one is full, it becomes the old one.
package cache

import (
	"trackway"
	"trackway/internal/identity"
)

// Size is how many customers each of the cache's two generations holds, and a fourth of how many identifiers: some 60 MB
// in all, 200 MB if each identifier has the 256 bytes that it may have.
const (
	Size    = 64 << 10
	idsEach = 4
)

// Cache holds what the store holds, including what was staged by the transaction under way; so it is emptied when one fails. It is
// used under the store's lock.
type Cache struct {
	size       int
	young, old generation
}

type generation struct {
	ids     map[string]trackway.Customer // by key in the table of identifiers
	holders map[trackway.Customer]*identity.Holder
	latest  map[trackway.Customer]trackway.Micros // no event on the customer's timeline is later
	listed  int                                   // identifiers that holders listed when they came
}

// Met stands in latest for a customer that was met once: whose last event it is worth looking up the next time.
const Met trackway.Micros = -1

func newGeneration() generation {
	return generation{
		ids:     make(map[string]trackway.Customer),
		holders: make(map[trackway.Customer]*identity.Holder),
		latest:  make(map[trackway.Customer]trackway.Micros),
	}
}

// New returns an empty cache of a size as of [Size].
func New(size int) Cache { return Cache{size: size, young: newGeneration(), old: newGeneration()} }

// Customer returns whom the identifier with this key leads to, false if the cache does not know.
func (c *Cache) Customer(key []byte) (trackway.Customer, bool) {
	if customer, ok := c.young.ids[string(key)]; ok {
		return customer, true
	}
	customer, ok := c.old.ids[string(key)]
	if ok {
		c.PutID(key, customer)
	}
	return customer, ok
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

// Latest returns a time that no event on the customer's timeline is later than, false if the cache knows none. It may be [Met].
func (c *Cache) Latest(customer trackway.Customer) (at trackway.Micros, known bool) {
	if at, known = c.young.latest[customer]; known {
		return at, true
	}
	if at, known = c.old.latest[customer]; known {
		c.young.latest[customer] = at
	}
	return at, known
}

// PutLatest keeps such a time.
func (c *Cache) PutLatest(customer trackway.Customer, at trackway.Micros) {
	c.young.latest[customer] = at
}

// ForgetLatest drops it: events of any time may come.
func (c *Cache) ForgetLatest(customer trackway.Customer) {
	delete(c.young.latest, customer)
	delete(c.old.latest, customer)
}

// PutID keeps whom the identifier with this key leads to.
func (c *Cache) PutID(key []byte, customer trackway.Customer) {
	if len(c.young.ids) >= idsEach*c.size {
		c.turn()
	}
	c.young.ids[string(key)] = customer
}

// PutHolder keeps a customer's holder, which the cache shares with whoever asks for it.
func (c *Cache) PutHolder(h *identity.Holder) {
	if len(c.young.holders) >= c.size || c.young.listed >= idsEach*c.size {
		c.turn()
	}
	c.young.holders[h.Customer] = h
	c.young.listed += len(h.IDs)
}

// SawEvent keeps latest true when an event is added to a customer's timeline.
func (c *Cache) SawEvent(customer trackway.Customer, at trackway.Micros) {
	if latest, known := c.Latest(customer); known && latest != Met && at > latest {
		c.PutLatest(customer, at)
	}
}

// turn makes the young generation the old one.
func (c *Cache) turn() {
	c.young, c.old = c.old, c.young
	clear(c.young.ids)
	clear(c.young.holders)
	clear(c.young.latest)
	c.young.listed = 0
}

// ForgetID drops an identifier that leads nowhere any more.
func (c *Cache) ForgetID(key []byte) {
	delete(c.young.ids, string(key))
	delete(c.old.ids, string(key))
}

// Empty drops everything.
func (c *Cache) Empty() {
	c.turn()
	c.turn()
}

// Each passes on all that is kept, so that a test can compare it with what is stored.
func (c *Cache) Each(id func(key string, customer trackway.Customer), holder func(*identity.Holder)) {
	for _, g := range []generation{c.young, c.old} {
		for key, customer := range g.ids {
			id(key, customer)
		}
		for _, h := range g.holders {
			holder(h)
		}
	}
}

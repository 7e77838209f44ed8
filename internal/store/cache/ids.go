package cache

import (
	"hash/maphash"

	"trackway"
	"trackway/internal/identity"
)

// fingerprint stands for the key of an identifier: 128 bits that only this
// process can compute. That two keys have the same one is less likely than that
// the disk and its checksums err together.
type fingerprint [2]uint64

func (f fingerprint) hash() uint64 { return f[0] }

// idEntry is a customer, doubled, and one more if the identifier is plain.
type idEntry uint64

// ids are the identifiers that were used last.
type ids struct {
	table[fingerprint, idEntry]

	seeds [2]maphash.Seed
}

func newIDs(bytes int64) ids {
	return ids{newTable[fingerprint, idEntry](bytes), [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

func (t *ids) of(key []byte) fingerprint {
	return fingerprint{maphash.Bytes(t.seeds[0], key), maphash.Bytes(t.seeds[1], key)}
}

// Customer returns whom the identifier with this key leads to, false if the
// cache does not know. Plain means that an event that names it, and others only
// that are plain and lead to the same customer, changes nothing of anybody's
// identifiers, and that the customer keeps no timelines of others.
func (c *Cache) Customer(key []byte) (customer trackway.Customer, plain, known bool) {
	e := c.ids.find(c.ids.of(key))
	if e == nil {
		return 0, false, false
	}
	return trackway.Customer(*e >> 1), *e&1 != 0, true
}

// PutID keeps whom the identifier with this key leads to.
func (c *Cache) PutID(key []byte, customer trackway.Customer) {
	*c.ids.put(c.ids.of(key)) = idEntry(customer << 1)
}

// NoteIDs notes which of a customer's identifiers are plain, of those that are
// kept. keyOf returns the key of one.
func (c *Cache) NoteIDs(h *identity.Holder, keyOf func(trackway.Identifier) []byte) {
	for i := range h.IDs {
		id := &h.IDs[i]
		front := id.Hard || i == 0 || h.IDs[i-1].Hard || h.IDs[i-1].Name != id.Name
		c.setPlain(keyOf(id.Identifier), front && h.Absorbed == 0)
	}
}

// setPlain notes of an identifier whether it is plain, if the cache has it.
func (c *Cache) setPlain(key []byte, plain bool) {
	if e := c.ids.find(c.ids.of(key)); e != nil {
		if *e &^= 1; plain {
			*e |= 1
		}
	}
}

// ForgetID drops an identifier that leads nowhere any more.
func (c *Cache) ForgetID(key []byte) { c.ids.remove(c.ids.of(key)) }

// IDs returns how many identifiers are kept. It looks at all of them.
func (c *Cache) IDs() int { return c.ids.len() }

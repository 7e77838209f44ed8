package cache

import (
	"bytes"
	"crypto/rand"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/siphash"
)

// fingerprint stands for the key of an identifier. It is SipHash-2-4 of the key
// with 128 bits, under a random secret of this process. SipHash was made for
// tables whose keys an attacker chooses: without the secret, nobody can tell
// its results from random ones. It takes a fifth of the time of BLAKE2b for a
// key of this length. The probability that two of n keys share a fingerprint is
// n*n in 2^129, which is 1 in 10^26 for a million keys.
type fingerprint [2]uint64

func (f fingerprint) hash() uint64 { return f[0] }

// Fingerprint returns the fingerprint of the identifier with this key. It needs
// no lock.
func (c *Cache) Fingerprint(key []byte) [2]uint64 { return c.ids.hash(key) }

// CustomerOf returns the customer of an event whose identifiers have these
// fingerprints, if the cache knows that all of them are plain and lead to that
// customer. Otherwise, it returns 0.
func (c *Cache) CustomerOf(ids [][2]uint64) (customer trackway.Customer) {
	for i, id := range ids {
		of, plain, known := c.customer(fingerprint(id))
		if !known || !plain || i > 0 && of != customer {
			return 0
		}
		customer = of
	}
	return customer
}

// idEntry is twice the customer's number, plus one if the identifier is plain.
type idEntry small

func idEntryOf(customer trackway.Customer, plain bool) idEntry {
	n := uint64(customer) << 1
	if plain {
		n++
	}
	return idEntry(pack(n))
}

func (e idEntry) customer() trackway.Customer { return trackway.Customer(small(e).number() >> 1) }

func (e idEntry) plain() bool { return e[0]&1 != 0 }

// ids holds the identifiers used last.
type ids struct {
	table[fingerprint, idEntry]

	secret siphash.Key
	hashed []byte      // the last key
	last   fingerprint // its fingerprint
}

func newIDs(bytes int64) ids {
	var secret [siphash.KeyBytes]byte
	_, _ = rand.Read(secret[:]) // never fails
	t := ids{table: newTable[fingerprint, idEntry](bytes), hashed: make([]byte, 0, 128)}
	t.secret = siphash.KeyOf(secret)
	t.last = t.hash(nil)
	return t
}

// of returns the fingerprint of a key. A command asks for the same key several
// times in a row, so only the first call computes it.
func (t *ids) of(key []byte) fingerprint {
	if !bytes.Equal(t.hashed, key) {
		t.hashed = append(t.hashed[:0], key...)
		t.last = t.hash(key)
	}
	return t.last
}

// hash changes nothing, so it needs no lock.
func (t *ids) hash(key []byte) fingerprint {
	lo, hi := t.secret.Sum128(key)
	return fingerprint{lo, hi}
}

// Customer returns the customer behind the identifier with this key. known is
// false if the cache does not have it. plain means that an event changes no
// identifiers if it names only this one and other plain ones of the same
// customer, and that the customer keeps no timelines of others.
func (c *Cache) Customer(key []byte) (customer trackway.Customer, plain, known bool) {
	return c.customer(c.ids.of(key))
}

func (c *Cache) customer(id fingerprint) (customer trackway.Customer, plain, known bool) {
	e := c.ids.find(id)
	if e == nil {
		return 0, false, false
	}
	return e.customer(), e.plain(), true
}

// PutID keeps the customer behind the identifier with this key.
func (c *Cache) PutID(key []byte, customer trackway.Customer) {
	if customer >= mostCustomers/2 {
		c.ForgetID(key)
		return
	}
	*c.ids.put(c.ids.of(key)) = idEntryOf(customer, false)
}

// NoteIDs updates which of a customer's cached identifiers are plain. keyOf
// returns the key of an identifier.
func (c *Cache) NoteIDs(h *identity.Holder, keyOf func(trackway.Identifier) []byte) {
	for i := range h.IDs {
		id := &h.IDs[i]
		front := id.Hard || i == 0 || h.IDs[i-1].Hard || h.IDs[i-1].Name != id.Name
		c.setPlain(keyOf(id.Identifier), front && h.Absorbed == 0)
	}
}

// setPlain sets whether an identifier is plain, if the cache has it.
func (c *Cache) setPlain(key []byte, plain bool) {
	if e := c.ids.find(c.ids.of(key)); e != nil {
		*e = idEntryOf(e.customer(), plain)
	}
}

// ForgetID drops an identifier that no longer leads to a customer.
func (c *Cache) ForgetID(key []byte) { c.ids.remove(c.ids.of(key)) }

// Own copies the identifiers that a command has added to h. They are parts of
// the request's body, whose memory other requests get. The added ones are the
// first of their name. Identifiers from earlier commands of the batch, which
// have the same time of receipt, are already copies.
func Own(h *identity.Holder, c *trackway.Command) {
	rank := 0
	for i := range h.IDs {
		id := &h.IDs[i]
		if rank++; i == 0 || id.Name != h.IDs[i-1].Name {
			rank = 0
		}
		if id.Used == c.Received && rank < len(c.IDs) {
			text := id.Name + id.Value
			id.Name, id.Value = text[:len(id.Name)], text[len(id.Name):]
		}
	}
}

// IDs returns the number of cached identifiers. It scans all of them.
func (c *Cache) IDs() int { return c.ids.len() }

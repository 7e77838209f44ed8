package timeline

import (
	"encoding/binary"

	"golang.org/x/crypto/blake2b"

	"trackway/internal/store/format"
)

// ContentHash is the tail of a timeline key: the first 63 bits of BLAKE2b-256
// over an event's type and its properties, a JSON object in canonical form. A
// faster hash would allow an attack: clients that can create collisions at will
// could make each of their events cost as many look-ups as there are other such
// events, under the store's lock. BLAKE2b takes a fourth of the time of SHA-256
// on processors without SHA instructions, and needs no key (RFC 7693).
func ContentHash(typ string, properties []byte) uint64 {
	sum := ContentSum(typ, properties)
	return binary.BigEndian.Uint64(sum[:8]) | format.HashTail
}

// ContentSum is BLAKE2b-256 over an event's type and its properties. Two events
// with the same sum have the same content.
func ContentSum(typ string, properties []byte) [blake2b.Size256]byte {
	var stack [1024]byte
	b := format.AppendString(stack[:0], typ)
	return blake2b.Sum256(append(b, properties...))
}

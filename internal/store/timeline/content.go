package timeline

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/crypto/blake2b"

	"trackway"
	"trackway/internal/canonjson"
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

// RecordHash is [ContentHash] for an event without [trackway.Quarantined].
// record is the end of its record in the log, which is the text that is hashed.
func RecordHash(record []byte) uint64 {
	sum := blake2b.Sum256(record)
	return binary.BigEndian.Uint64(sum[:8]) | format.HashTail
}

// ContentSum is BLAKE2b-256 over an event's type and its properties, without
// [trackway.Quarantined]. Two events with the same sum have the same content.
func ContentSum(typ string, properties []byte) [blake2b.Size256]byte {
	properties = unmarked(properties)
	var stack [1024]byte
	b := format.AppendString(stack[:0], typ)
	return blake2b.Sum256(append(b, properties...))
}

// SameContent reports whether the properties of two events are equal, apart
// from [trackway.Quarantined]. An event that a client sends again is the same,
// even if its contract has changed in between.
func SameContent(a, b []byte) bool { return bytes.Equal(unmarked(a), unmarked(b)) }

var mark = []byte(`"` + trackway.Quarantined + `":`)

// unmarked returns the properties of an event without the mark.
func unmarked(properties []byte) []byte {
	if !bytes.Contains(properties, mark) {
		return properties
	}
	kept := slices.DeleteFunc(canonjson.SplitObject(bytes.Clone(properties)), func(p trackway.Property) bool { return p.Name == trackway.Quarantined })
	return canonjson.AppendObject(nil, kept)
}

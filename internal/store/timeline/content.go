package timeline

import (
	"crypto/sha256"
	"encoding/binary"

	"trackway"
	"trackway/internal/store/format"
)

// ContentHash is the tail of a timeline key: the first 63 bits of SHA-256 over type and properties. A faster hash would do
// but for this: whoever can make collisions at will could make each of their events cost as many look-ups as there are
// others, under the store's lock.
func ContentHash(e *trackway.Event) uint64 {
	var stack [1024]byte
	b := format.AppendString(stack[:0], e.Type)
	sum := sha256.Sum256(append(b, e.Properties...))
	return binary.BigEndian.Uint64(sum[:8]) | format.HashTail
}

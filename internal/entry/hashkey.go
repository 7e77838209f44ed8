package entry

import "trackway/internal/siphash"

// HashKey gives a state that has no events the secret under which it hashes
// their contents. It has no effect on any other state.
type HashKey struct {
	Key [siphash.KeyBytes]byte // random
}

// Kind implements [Entry].
func (*HashKey) Kind() Kind { return KindHashKey }

func (e *HashKey) append(b []byte) []byte { return append(b, e.Key[:]...) }

func (e *HashKey) decode(r *reader) {
	if len(r.rest) < len(e.Key) {
		r.fail()
		return
	}
	r.rest = r.rest[copy(e.Key[:], r.rest):]
}

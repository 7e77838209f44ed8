package store

import (
	"fmt"

	"trackway/internal/entry"
	"trackway/internal/store/digest"
)

// smallPart is how many bytes a digest reads in these tests: a round takes
// several.
const smallPart = 2000

// nextDigest returns the digest that follows the last one of a machine.
func nextDigest(m *machine) *entry.Digest {
	e := new(entry.Digest)
	if last := awaitDigest(m); len(last.Next) > 0 {
		e.After = last.Index
	}
	return e
}

// awaitDigest returns the last digest of a machine, once its part of the state
// is read.
func awaitDigest(m *machine) (last digest.Digest) {
	m.Wait()
	if all := m.Digests(); len(all) > 0 {
		last = all[len(all)-1]
	}
	return last
}

// differentDigest describes a difference between the digests that two machines
// have taken. It counts those that were compared.
func differentDigest(want, got []digest.Digest) (different string, effects, contents int) {
	known := make(map[uint64]digest.Digest)
	for _, w := range want {
		known[w.Index] = w
	}
	for _, g := range got {
		w := known[g.Index]
		if g.Whole && w.Whole {
			effects++
		}
		if g.Content != "" && w.Content != "" {
			contents++
		}
		if w.Index == 0 || g.Whole && w.Whole && g.Effects != w.Effects || g.Content != "" && w.Content != "" && g.Content != w.Content {
			return fmt.Sprintf("the digest is %+v, want %+v", g, w), effects, contents
		}
	}
	return "", effects, contents
}

package limit

import (
	"sync/atomic"

	"trackway"
)

// tally counts the decisions of a policy. It is spread by the caller's key, so
// that callers on different cores do not wait for each other.
type tally struct {
	class  uint8 // of the policy's callers in the table; the next class holds its other counters
	shards [tallyShards]shard
}

const tallyShards = 16

type shard struct {
	admitted, refused, would, candidate atomic.Uint64
	_                                   [32]byte // a cache line each
}

// count costs one atomic addition.
func (t *tally) count(key uint64, allowed bool, mode trackway.Mode) {
	s := &t.shards[key%tallyShards]
	switch {
	case allowed:
		s.admitted.Add(1)
	case mode == trackway.Report:
		s.would.Add(1)
	default:
		s.refused.Add(1)
	}
}

func (t *tally) noteCandidate(key uint64, allowed bool) {
	if !allowed {
		t.shards[key%tallyShards].candidate.Add(1)
	}
}

// counts returns the decisions of the policy, without the number of its
// callers.
func (t *tally) counts() Counts {
	var c Counts
	for i := range t.shards {
		h := &t.shards[i]
		refused, would := h.refused.Load(), h.would.Load()
		c.Calls += h.admitted.Load() + refused + would
		c.Refused += refused
		c.WouldRefuse += would
		c.CandidateRefused += h.candidate.Load()
	}
	return c
}

package limit

import (
	"sync/atomic"
	"time"

	"trackway"
)

// Stats is what one policy has done since it first came into force, and whom it counts now.
type Stats struct {
	Policy       string
	Calls        uint64 // that it decided about
	Refused      uint64
	WouldRefuse  uint64 // in report mode: that were let pass though over the limit
	CandidateNot uint64 // that its candidate would have refused
	Live         int    // callers whose window runs; of IPv6 callers each prefix is one
}

// Stats returns the figures of the policies in force. It reads the whole table: some ten milliseconds for each million of
// callers that the limiter was made for, so ask no more often than a dashboard needs.
func (l *Limiter) Stats(now time.Time) []Stats {
	f := l.force.Load()
	live := l.table.Live(int64(now.Sub(l.base)))
	list := make([]Stats, len(f.policies))
	for i, p := range f.policies {
		list[i] = p.stats()
		list[i].Policy, list[i].Live = p.Name, live[p.class]
	}
	return list
}

// Table describes the table of counters.
type Table struct {
	Bytes     int    // its size, which never changes
	Slots     int    // the counters that it holds
	Untracked uint64 // calls admitted without being counted, since all who could have made room were being refused
}

// Table returns the figures of the table, at no cost.
func (l *Limiter) Table() Table {
	return Table{Bytes: l.table.Bytes(), Slots: l.table.Slots(), Untracked: l.table.Untracked()}
}

// tally counts what a policy does. It is spread by the caller's key, so that callers on different cores do not wait for
// each other's cache lines.
type tally struct {
	class  uint8 // of the policy's callers in the table; the next one is that of its other counters
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

func (t *tally) stats() Stats {
	var s Stats
	for i := range t.shards {
		h := &t.shards[i]
		refused, would := h.refused.Load(), h.would.Load()
		s.Calls += h.admitted.Load() + refused + would
		s.Refused += refused
		s.WouldRefuse += would
		s.CandidateNot += h.candidate.Load()
	}
	return s
}

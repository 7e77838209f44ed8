package timeline

import (
	"slices"

	"trackway"
	"trackway/internal/query"
)

// maxGathered is how many sequence numbers a group holds when it is given out.
// With room for as many more while it is gathered that is 1 MiB, and only for
// customers who have so many events of one time: an import of dates without
// times, or somebody who tries.
const maxGathered = 1 << 16

// group is the sequence numbers of entries that have the same time: those that
// come first, up to most. The memory is used again from one time to the next.
type group struct {
	seqs        []uint64
	newestFirst bool
	most        int  // 0: maxGathered
	full        bool // entries were left out for want of room

	// bound is a sequence number that has been given out, with all before it;
	// bounded tells whether there is one.
	bound   uint64
	bounded bool
}

// begin empties the group for another time.
func (g *group) begin(w *Walk, at trackway.Micros) {
	g.seqs, g.full, g.newestFirst = g.seqs[:0], false, w.NewestFirst
	g.bound, g.bounded = w.After.Seq, w.After != (query.Place{}) && w.After.Time == at
	if g.most == 0 {
		g.most = maxGathered
	}
}

// next makes room for what comes after the group. It returns false if nothing
// does.
func (g *group) next() bool {
	if !g.full {
		return false
	}
	g.bound, g.bounded = g.seqs[len(g.seqs)-1], true
	g.seqs, g.full = g.seqs[:0], false
	return true
}

// before tells whether a comes before b.
func (g *group) before(a, b uint64) bool { return a != b && (a < b) != g.newestFirst }

// add takes a sequence number in, unless it was given out or others fill the
// group that come before it.
func (g *group) add(seq uint64) {
	switch {
	case g.bounded && !g.before(g.bound, seq):
		return
	case g.full && !g.before(seq, g.seqs[g.most-1]): // that one is the last of those that were kept
		return
	}
	g.seqs = append(g.seqs, seq)
	if len(g.seqs) == 2*g.most {
		g.sort()
	}
}

// sort puts the group in order, and leaves out what there is no room for.
func (g *group) sort() {
	if len(g.seqs) < 2 {
		return
	}
	slices.Sort(g.seqs)
	if g.newestFirst {
		slices.Reverse(g.seqs)
	}
	if len(g.seqs) > g.most {
		g.seqs, g.full = g.seqs[:g.most], true
	}
}

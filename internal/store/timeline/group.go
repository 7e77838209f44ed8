package timeline

import (
	"slices"

	"trackway"
	"trackway/internal/query"
)

// maxGathered is the most sequence numbers that a group holds when it is passed
// on. While it gathers, it has room for twice as many, which is 1 MiB. Only
// customers with that many events at one time need it: an import of dates
// without times, or an attack.
const maxGathered = 1 << 16

// group holds the sequence numbers of entries with the same time: the first of
// them in order, up to most. Its memory is reused for the next time.
type group struct {
	seqs        []uint64
	newestFirst bool
	most        int  // 0: maxGathered
	full        bool // entries were left out because the group has no more room

	// bound is the last sequence number that was passed on. bounded reports
	// whether there is one.
	bound   uint64
	bounded bool
}

// begin empties the group for entries of another time.
func (g *group) begin(w *Walk, at trackway.Micros) {
	g.seqs, g.full, g.newestFirst = g.seqs[:0], false, w.NewestFirst
	g.bound, g.bounded = w.After.Seq, w.After != (query.Place{}) && w.After.Time == at
	if g.most == 0 {
		g.most = maxGathered
	}
}

// next makes room for the entries after the group. It returns false if there
// are no more.
func (g *group) next() bool {
	if !g.full {
		return false
	}
	g.bound, g.bounded = g.seqs[len(g.seqs)-1], true
	g.seqs, g.full = g.seqs[:0], false
	return true
}

// before reports whether a comes before b.
func (g *group) before(a, b uint64) bool { return a != b && (a < b) != g.newestFirst }

// add adds a sequence number, unless it was passed on already or comes after a
// full group.
func (g *group) add(seq uint64) {
	switch {
	case g.bounded && !g.before(g.bound, seq):
		return
	case g.full && !g.before(seq, g.seqs[g.most-1]): // the last one in the group
		return
	}
	g.seqs = append(g.seqs, seq)
	if len(g.seqs) == 2*g.most {
		g.sort()
	}
}

// sort sorts the group and drops what it has no room for.
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

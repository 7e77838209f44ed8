package share

import (
	"slices"
	"strings"
	"time"
)

// Part is a server's part of every limit: the shares of all ranks below Of add
// up to the limit.
type Part struct{ Rank, Of int }

// silence is how long a server may be silent before it counts as gone.
const silence = 3 * time.Second

// Seen is a member of the cluster, and how long it has not answered. This
// server itself is not silent.
type Seen struct {
	ID     string
	Silent time.Duration
}

// View says which servers share limits, as of a moment.
type View struct {
	whole Part
	gone  []gone // the longest silent first; empty if this server is of a minority
}

// gone is a member that does not answer.
type gone struct {
	silent time.Duration
	before bool // in the order of ranks, it comes before this server
}

// NewView returns the view of the server with the id self, which is one of the
// members. The others' order does not matter.
func NewView(self string, members []Seen) *View {
	v := &View{whole: Part{Of: len(members)}}
	for _, m := range members {
		before := strings.Compare(m.ID, self) < 0
		if before {
			v.whole.Rank++
		}
		if m.ID != self && m.Silent > silence {
			v.gone = append(v.gone, gone{m.Silent, before})
		}
	}
	slices.SortFunc(v.gone, func(a, b gone) int { return int(b.silent/time.Millisecond - a.silent/time.Millisecond) })
	if answering := len(members) - len(v.gone); answering*2 <= len(members) {
		v.gone = nil // the others may be the majority, which shares our part out
	}
	return v
}

// Part returns this server's part of limits with a window. The part of a server
// that is gone stays as it is until its last windows have ended. Then the
// others share it.
func (v *View) Part(window time.Duration) Part {
	p := v.whole
	for _, g := range v.gone {
		if g.silent <= silence+window {
			break
		}
		p.Of--
		if g.before {
			p.Rank--
		}
	}
	return p
}

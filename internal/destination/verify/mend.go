package verify

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"trackway/internal/destination"
)

// chunk is a part of a range: the numbers from low up to, but not including,
// high.
type chunk struct{ low, high uint64 }

// chunks returns the parts of a range in which something is wrong. Each part is
// small enough to fit into memory.
func (p *compared) chunks() (bad []chunk) {
	slices.Sort(p.wrong)
	low, events, size := p.low, 0, 0
	end := func(high uint64) {
		if i, _ := slices.BinarySearch(p.wrong, low); i < len(p.wrong) && p.wrong[i] < high {
			bad = append(bad, chunk{low, high})
		}
		low, events, size = high, 0, 0
	}
	for i := range p.records {
		r := &p.records[i]
		if events >= chunkEvents || events > 0 && size+r.size > chunkBytes {
			end(r.seq)
		}
		events, size = events+1, size+r.size
	}
	end(p.high)
	return bad
}

// mend makes the destination have the right events in a part of a range. If the
// destination has events that have expired here or cannot be read here, mend
// leaves them there.
func (c *Check) mend(ctx context.Context, to destination.Reader, low, high uint64) error {
	var events []destination.Event
	lost := make(map[uint64]bool)
	keep := func(e *destination.Event) {
		own := *e
		own.Properties = bytes.Clone(e.Properties)
		events = append(events, own)
	}
	err := c.Log.Events(ctx, low, high, func(e *destination.Event) error {
		if !c.Rejected[e.Seq] {
			keep(e)
		}
		return nil
	}, func(seq uint64) { lost[seq] = true })
	if err != nil {
		return err
	}
	own := len(events)
	err = to.Events(ctx, low, high, func(e *destination.Event) bool {
		_, ours := slices.BinarySearchFunc(events[:own], e.Seq, compareSeq)
		twice := len(events) > own && events[len(events)-1].Seq == e.Seq
		if !ours && !twice && (lost[e.Seq] || e.Seq <= c.Expired) {
			keep(e)
		}
		return true
	})
	if err != nil {
		return err
	}
	slices.SortFunc(events, func(a, b destination.Event) int { return compareSeq(a, b.Seq) })
	return errors.Join(to.Mend(ctx, low, high, events), ctx.Err())
}

func compareSeq(e destination.Event, seq uint64) int {
	switch {
	case e.Seq < seq:
		return -1
	case e.Seq > seq:
		return 1
	}
	return 0
}

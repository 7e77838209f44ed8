// Package timeline reads the events of one customer from several timelines: its
// own, and those of absorbed customers that stayed where they were. It walks
// them together, in order of time. Events of equal time come in the order of
// arrival. It looks up only the requested events in the log.
package timeline

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

// Walk goes through several timelines at once, in order of time and arrival.
// The zero value walks no timeline: see [Walk.Add].
//
// It is a heap of timelines, with the earliest next time at the top, or the
// latest if the walk is newest first. A key tells when an event happened but
// not when it arrived. So the walk gathers the entries of one time and sorts
// them by sequence number. Usually there is one entry.
type Walk struct {
	query.TimelineRange

	from   pebble.Reader
	owners []trackway.Customer
	lines  []*pebble.Iterator // each is at an event
	group  group
	ahead  ahead
	types  format.TypeNames
	event  trackway.Event // the event that is passed on
}

// Add adds the timeline of one customer, within the range. REQUIRES: from is
// the same in all calls.
func (w *Walk) Add(from pebble.Reader, c trackway.Customer) error {
	w.from, w.owners = from, append(w.owners, c)
	low, high := w.bounds(c)
	if bytes.Compare(low, high) >= 0 {
		return nil
	}
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return err
	}
	start := it.First
	if w.NewestFirst {
		start = it.Last
	}
	if !start() {
		return errors.Join(it.Error(), it.Close())
	}
	w.lines = append(w.lines, it)
	return nil
}

// bounds returns the part of a timeline that can hold events of the range. It
// includes all events at the time at which the range begins, since only their
// sequence numbers tell which of them are in the range.
func (w *Walk) bounds(c trackway.Customer) (low, high []byte) {
	since, until := w.Since, w.Until
	if w.After != (query.Place{}) {
		if w.NewestFirst && (until == 0 || w.After.Time < until) {
			until = w.After.Time + 1
		} else if !w.NewestFirst {
			since = max(since, w.After.Time)
		}
	}
	low, high = format.AppendTimelineKey(nil, c, since, 0), format.After(format.AppendTimelinePrefix(nil, c))
	if until != 0 {
		high = format.AppendTimelineKey(nil, c, until, 0)
	}
	return low, high
}

// Events passes on the events until yield returns false. It skips events that
// are not in the log. It looks up events ahead of yield: in total at most twice
// as many as yield takes, plus four.
//
// Cost: a step of a timeline and a look-up in the log for each event. If more
// than maxGathered events have the same time, their entries are read once more
// for every maxGathered of them, to limit memory.
func (w *Walk) Events(yield func(*trackway.Event, query.Place) bool) error {
	heap.Init(w)
	w.types, w.ahead.from = make(format.TypeNames), w.from
	for len(w.lines) > 0 {
		at := timeOf(w.lines[0].Key())
		w.group.begin(w, at)
		more, err := w.gather(at)
		for more && err == nil {
			if more, err = w.give(at, yield); !more || err != nil || !w.group.next() {
				break
			}
			more, err = w.gatherAgain(at)
		}
		if err != nil { // the events before the error may be all that the caller wants
			if more, before := w.passOn(yield); !more || before != nil {
				return before
			}
		}
		if !more || err != nil {
			return err
		}
	}
	_, err := w.passOn(yield)
	return err
}

// give adds the events of the group to the look-ups, and passes events on once
// there are enough. It returns false if yield wants no more.
func (w *Walk) give(at trackway.Micros, yield func(*trackway.Event, query.Place) bool) (more bool, err error) {
	for _, seq := range w.group.seqs {
		enough := w.ahead.want(query.Place{Time: at, Seq: seq})
		if !enough && w.Passed == nil { // Passed must be called in order
			continue
		}
		if more, err := w.passOn(yield); !more || err != nil {
			return false, err
		}
	}
	return true, nil
}

// passOn looks up the wanted events and passes them on. It returns false if
// yield wants no more.
func (w *Walk) passOn(yield func(*trackway.Event, query.Place) bool) (more bool, err error) {
	all := w.ahead.wanted
	if len(all) == 0 {
		return true, nil
	}
	if err := w.ahead.look(); err != nil {
		return false, err
	}
	w.ahead.wanted = all[:0]
	for i := range all {
		w.ahead.one(&all[i])
		if more, err := w.pass(&all[i], yield); !more || err != nil {
			return false, err
		}
	}
	return true, nil
}

// pass passes on an event that was looked up. It returns false if yield wants
// no more.
func (w *Walk) pass(one *wanted, yield func(*trackway.Event, query.Place) bool) (more bool, err error) {
	switch {
	case one.err != nil:
		return false, one.err
	case !one.found:
		return w.skip(), nil
	}
	if w.event, err = format.ViewEvent(one.Seq, one.record, w.types); err != nil {
		return false, err
	}
	return yield(&w.event, one.Place), nil
}

// skip reports whether to go on after an event that is left out.
func (w *Walk) skip() bool { return w.Passed == nil || w.Passed() }

// gather adds the entries of one time to the group and moves the timelines past
// them. It returns false if the caller wants no more.
func (w *Walk) gather(at trackway.Micros) (more bool, err error) {
	for len(w.lines) > 0 && timeOf(w.lines[0].Key()) == at {
		if more, err := w.take(w.lines[0].Value()); err != nil || !more {
			return false, err
		}
		if err := w.next(); err != nil {
			return false, err
		}
	}
	w.group.sort()
	return true, nil
}

// gatherAgain fills the group with the next entries of one time, for which it
// had no room before.
func (w *Walk) gatherAgain(at trackway.Micros) (more bool, err error) {
	for _, c := range w.owners {
		low, high := format.AppendTimelineKey(nil, c, at, 0), format.AppendTimelineKey(nil, c, at+1, 0)
		it, err := w.from.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
		if err != nil {
			return false, err
		}
		more := true
		for ok := it.First(); ok && more && err == nil; ok = it.Next() {
			more, err = w.take(it.Value())
		}
		if err := errors.Join(err, it.Error(), it.Close()); err != nil || !more {
			return false, err
		}
	}
	w.group.sort()
	return true, nil
}

// take adds an entry to the group if it is within the range.
func (w *Walk) take(entry []byte) (more bool, err error) {
	seq, n := binary.Uvarint(entry)
	if n <= 0 {
		return false, fmt.Errorf("entry of a timeline: %w", format.ErrCorrupt)
	}
	if w.Merges && len(entry) == n {
		return w.skip(), nil
	}
	w.group.add(seq)
	return true, nil
}

func timeOf(key []byte) trackway.Micros {
	return trackway.Micros(binary.BigEndian.Uint64(key[9:]))
}

// next moves the first timeline to its next event, or closes it at its end.
func (w *Walk) next() error {
	it := w.lines[0]
	step := it.Next
	if w.NewestFirst {
		step = it.Prev
	}
	if step() {
		heap.Fix(w, 0)
		return nil
	}
	heap.Pop(w)
	return errors.Join(it.Error(), it.Close())
}

// Close ends the walk.
func (w *Walk) Close() {
	for _, it := range w.lines {
		_ = it.Close() // the walk was abandoned; its error has been reported
	}
	w.ahead.close()
}

// Len implements [heap.Interface].
func (w *Walk) Len() int { return len(w.lines) }

// Less implements [heap.Interface]. It compares the times.
func (w *Walk) Less(i, j int) bool {
	const at, end = 1 + 8, 1 + 8 + 8
	order := bytes.Compare(w.lines[i].Key()[at:end], w.lines[j].Key()[at:end])
	if w.NewestFirst {
		return order > 0
	}
	return order < 0
}

// Swap implements [heap.Interface].
func (w *Walk) Swap(i, j int) { w.lines[i], w.lines[j] = w.lines[j], w.lines[i] }

// Push implements [heap.Interface].
func (w *Walk) Push(x any) { w.lines = append(w.lines, x.(*pebble.Iterator)) }

// Pop implements [heap.Interface].
func (w *Walk) Pop() any {
	last := w.lines[len(w.lines)-1]
	w.lines = w.lines[:len(w.lines)-1]
	return last
}

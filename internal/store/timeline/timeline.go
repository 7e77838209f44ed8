// Package timeline reads the events of one customer from the timelines of several: its own and those of customers that it absorbed
// whose timelines stayed. Its one idea: they are walked together, in order of time, and only what is asked for is looked up in the log.
package timeline

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

// Walk goes through the timelines of several customers at once, in order of time. It is a heap: the line whose event comes
// next is the first.
type Walk struct {
	query.TimelineRange

	lines []*pebble.Iterator // each at an event
	key   []byte
}

// Events reads the events from the log, by one iterator: unlike a Get it asks no filter, and it stays where it is when the next
// event is near. An event that is not in the log was erased, and is passed over.
func (w *Walk) Events(log *pebble.Iterator, yield func(*trackway.Event, query.Place) bool) error {
	heap.Init(w)
	types := make(format.TypeNames)
	var e trackway.Event
	for len(w.lines) > 0 {
		at := placeOf(w.lines[0].Key())
		entry := w.lines[0].Value()
		seq, n := binary.Uvarint(entry)
		if n <= 0 {
			return fmt.Errorf("entry of a timeline: %w", format.ErrCorrupt)
		}
		found := false
		if !w.Merges || len(entry) > n {
			var err error
			if e, found, err = w.look(log, seq, types); err != nil {
				return err
			}
		}
		if found && !yield(&e, at) || !found && w.Passed != nil && !w.Passed() {
			return nil
		}
		if err := w.next(); err != nil {
			return err
		}
	}
	return nil
}

// look reads one event from the log.
func (w *Walk) look(log *pebble.Iterator, seq uint64, types format.TypeNames) (e trackway.Event, found bool, err error) {
	w.key = format.AppendLogKey(w.key[:0], seq)
	if !log.SeekGE(w.key) || !bytes.Equal(log.Key(), w.key) {
		return e, false, log.Error()
	}
	e, err = format.ViewEvent(seq, log.Value(), types)
	return e, true, err
}

func placeOf(key []byte) query.Place {
	return query.Place{
		Timeline: trackway.Customer(binary.BigEndian.Uint64(key[1:])),
		Time:     trackway.Micros(binary.BigEndian.Uint64(key[9:])), //nolint:gosec // G115: written from a Micros
		Tail:     binary.BigEndian.Uint64(key[17:]),
	}
}

// Add opens the timeline of one customer, within the range.
func (w *Walk) Add(from pebble.Reader, c trackway.Customer) error {
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

// bounds returns what of a customer's timeline is in the range. Of two events at the same time and tail, that on the timeline
// with the lower number comes first; in reverse order it comes last.
func (w *Walk) bounds(c trackway.Customer) (low, high []byte) {
	low, high = format.AppendTimelineKey(nil, c, w.Since, 0), format.After(format.AppendTimelinePrefix(nil, c))
	if w.Until != 0 {
		high = format.AppendTimelineKey(nil, c, w.Until, 0)
	}
	if w.After == (query.Place{}) {
		return low, high
	}
	at := format.AppendTimelineKey(nil, c, w.After.Time, w.After.Tail)
	if w.NewestFirst {
		if c < w.After.Timeline {
			at = append(at, 0)
		}
		return low, minKey(high, at)
	}
	if c <= w.After.Timeline {
		at = append(at, 0)
	}
	if bytes.Compare(at, low) > 0 {
		low = at
	}
	return low, high
}

func minKey(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}

// next moves the first line to its next event, and ends it where there is none.
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
		_ = it.Close() // the walk was given up; its error has been reported
	}
}

// Len is one of the methods of [heap.Interface], as are those that follow.
func (w *Walk) Len() int { return len(w.lines) }

// Less compares what follows the customer in the keys: time and tail; of the same event on two timelines, the customers.
func (w *Walk) Less(i, j int) bool {
	const at = 1 + 8
	a, b := w.lines[i].Key(), w.lines[j].Key()
	order := cmp.Or(bytes.Compare(a[at:], b[at:]), bytes.Compare(a, b))
	if w.NewestFirst {
		return order > 0
	}
	return order < 0
}

// Swap is one of them.
func (w *Walk) Swap(i, j int) { w.lines[i], w.lines[j] = w.lines[j], w.lines[i] }

// Push is one of them.
func (w *Walk) Push(x any) { w.lines = append(w.lines, x.(*pebble.Iterator)) }

// Pop is one of them.
func (w *Walk) Pop() any {
	last := w.lines[len(w.lines)-1]
	w.lines = w.lines[:len(w.lines)-1]
	return last
}

package store

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
)

// Events implements [query.EventReader].
func (v *snapshot) Events(project uint32, c trackway.Customer, newestFirst bool, yield func(*trackway.Event) bool) error {
	return v.Timeline(project, c, query.TimelineRange{NewestFirst: newestFirst}, func(e *trackway.Event, _ query.Place) bool {
		return yield(e)
	})
}

// Timeline implements [query.EventReader].
func (v *snapshot) Timeline(
	project uint32, c trackway.Customer, r query.TimelineRange, yield func(*trackway.Event, query.Place) bool,
) error {
	h, err := readHolder(v.from, project, c)
	if err != nil {
		return err
	}
	timelines, err := timelinesOf(v.from, h)
	if err != nil {
		return err
	}
	w := walk{TimelineRange: r}
	defer w.close()
	for _, c := range timelines {
		if err := w.add(v.from, c); err != nil {
			return err
		}
	}
	heap.Init(&w)
	log, err := v.from.NewIter(&pebble.IterOptions{LowerBound: []byte{tableLog}, UpperBound: []byte{tableLog + 1}})
	if err != nil {
		return err
	}
	return errors.Join(w.events(log, yield), log.Close())
}

// Log implements [query.EventReader].
func (v *snapshot) Log(r query.LogRange, yield func(*trackway.Event) bool) error {
	low, high := appendLogKey(nil, r.First), []byte{tableLog + 1}
	if r.Last != 0 {
		high = append(appendLogKey(nil, r.Last), 0)
	}
	if bytes.Compare(low, high) >= 0 {
		return nil
	}
	types := make(typeNames)
	var e trackway.Event
	return scanRange(v.from, low, high, r.NewestFirst, func(key, record []byte) (err error) {
		if e, err = viewEvent(binary.BigEndian.Uint64(key[1:]), record, types); err == nil && !yield(&e) {
			err = errStop
		}
		return err
	})
}

// typeNames keeps the types met, so that each is a string once and not for each event.
type typeNames map[string]string

func (t typeNames) of(name []byte) string {
	if s, ok := t[string(name)]; ok {
		return s
	}
	s := string(name)
	if len(t) < query.MaxTypes {
		t[s] = s
	}
	return s
}

// viewEvent reads a record of the log without copying it: the properties are a part of the record.
func viewEvent(seq uint64, record []byte, types typeNames) (trackway.Event, error) {
	var number [5]uint64 // project, customer, time, received, length of the type
	rest := record
	for i := range number {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return trackway.Event{}, fmt.Errorf("event %d: %w", seq, errCorrupt)
		}
		number[i], rest = v, rest[n:]
	}
	if number[4] > uint64(len(rest)) {
		return trackway.Event{}, fmt.Errorf("event %d: %w", seq, errCorrupt)
	}
	return trackway.Event{
		Seq: seq, Project: uint32(number[0]), Customer: trackway.Customer(number[1]), //nolint:gosec // G115: written from a uint32
		Time: trackway.Micros(number[2]), Received: trackway.Micros(number[3]), //nolint:gosec // G115: written from Micros
		Type: types.of(rest[:number[4]]), Properties: rest[number[4]:],
	}, nil
}

// walk goes through the timelines of several customers at once, in order of time. It is a heap: the line whose event comes
// next is the first.
type walk struct {
	query.TimelineRange

	lines []*pebble.Iterator // each at an event
	key   []byte
}

// events reads the events from the log, by one iterator: unlike a Get it asks no filter, and it stays where it is when the next
// event is near. An event that is not in the log was erased, and is passed over.
func (w *walk) events(log *pebble.Iterator, yield func(*trackway.Event, query.Place) bool) error {
	types := make(typeNames)
	var e trackway.Event
	for len(w.lines) > 0 {
		at := placeOf(w.lines[0].Key())
		entry := w.lines[0].Value()
		seq, n := binary.Uvarint(entry)
		if n <= 0 {
			return fmt.Errorf("entry of a timeline: %w", errCorrupt)
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
func (w *walk) look(log *pebble.Iterator, seq uint64, types typeNames) (e trackway.Event, found bool, err error) {
	w.key = appendLogKey(w.key[:0], seq)
	if !log.SeekGE(w.key) || !bytes.Equal(log.Key(), w.key) {
		return e, false, log.Error()
	}
	e, err = viewEvent(seq, log.Value(), types)
	return e, true, err
}

func placeOf(key []byte) query.Place {
	return query.Place{
		Timeline: trackway.Customer(binary.BigEndian.Uint64(key[1:])),
		Time:     trackway.Micros(binary.BigEndian.Uint64(key[9:])), //nolint:gosec // G115: written from a Micros
		Tail:     binary.BigEndian.Uint64(key[17:]),
	}
}

// add opens the timeline of one customer, within the range.
func (w *walk) add(from pebble.Reader, c trackway.Customer) error {
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
func (w *walk) bounds(c trackway.Customer) (low, high []byte) {
	low, high = appendTimelineKey(nil, c, w.Since, 0), after(appendTimelinePrefix(nil, c))
	if w.Until != 0 {
		high = appendTimelineKey(nil, c, w.Until, 0)
	}
	if w.After == (query.Place{}) {
		return low, high
	}
	at := appendTimelineKey(nil, c, w.After.Time, w.After.Tail)
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
func (w *walk) next() error {
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

func (w *walk) close() {
	for _, it := range w.lines {
		_ = it.Close() // the walk was given up; its error has been reported
	}
}

// Len, Less, Swap, Push and Pop are [heap.Interface].
func (w *walk) Len() int { return len(w.lines) }

// Less compares what follows the customer in the keys: time and tail; of the same event on two timelines, the customers.
func (w *walk) Less(i, j int) bool {
	const at = 1 + 8
	a, b := w.lines[i].Key(), w.lines[j].Key()
	order := cmp.Or(bytes.Compare(a[at:], b[at:]), bytes.Compare(a, b))
	if w.NewestFirst {
		return order > 0
	}
	return order < 0
}

func (w *walk) Swap(i, j int) { w.lines[i], w.lines[j] = w.lines[j], w.lines[i] }

func (w *walk) Push(x any) { w.lines = append(w.lines, x.(*pebble.Iterator)) }

func (w *walk) Pop() any {
	last := w.lines[len(w.lines)-1]
	w.lines = w.lines[:len(w.lines)-1]
	return last
}

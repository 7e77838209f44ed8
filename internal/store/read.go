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
	"trackway/internal/identity"
	"trackway/internal/query"
)

// Snapshot implements [query.Store].
func (s *Store) Snapshot() query.Snapshot {
	return &snapshot{left: s.readers.Enter(), from: s.db.NewSnapshot()}
}

// snapshot implements [query.Snapshot].
type snapshot struct {
	left func() // tells that it has been closed
	from *pebble.Snapshot
}

func (v *snapshot) Close() error {
	defer v.left()
	return v.from.Close()
}

func (v *snapshot) Find(project uint32, id trackway.Identifier) (trackway.Customer, error) {
	value, closer, err := v.from.Get(appendIDKey(nil, project, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	return trackway.Customer(binary.BigEndian.Uint64(value)), closer.Close()
}

func (v *snapshot) Profile(project uint32, c trackway.Customer) (*trackway.Profile, error) {
	h, err := readHolder(v.from, project, c)
	if err != nil {
		return nil, err
	}
	return v.profile(h)
}

func readHolder(from pebble.Reader, project uint32, c trackway.Customer) (*identity.Holder, error) {
	value, closer, err := from.Get(appendCustomerKey(nil, project, c))
	if err != nil {
		return nil, fmt.Errorf("customer %d: %w", c, err)
	}
	h, err := decodeHolder(c, value)
	return h, errors.Join(err, closer.Close())
}

func (v *snapshot) profile(h *identity.Holder) (*trackway.Profile, error) {
	p := &trackway.Profile{Customer: h.Customer, Created: h.Created, IDs: identifiers(h.IDs)}
	if h.Properties == 0 {
		return p, nil
	}
	p.Properties = make([]trackway.DatedProperty, 0, h.Properties)
	err := scan(v.from, appendPropsPrefix(nil, h.Customer), func(name, record []byte) error {
		at, value, err := splitDated(record)
		p.Properties = append(p.Properties, trackway.DatedProperty{
			Property: trackway.Property{Name: string(name), Value: bytes.Clone(value)}, Updated: at,
		})
		return err
	})
	return p, err
}

// errStop ends a scan early; scan does not return it.
var errStop = errors.New("stop")

// scan calls do with what follows prefix in each key under it, and the value, in order. Both are valid only during the call.
func scan(from pebble.Reader, prefix []byte, do func(rest, value []byte) error) error {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		err = do(it.Key()[len(prefix):], it.Value())
	}
	if errors.Is(err, errStop) {
		err = nil
	}
	return errors.Join(err, it.Error(), it.Close())
}

func (v *snapshot) Profiles(project uint32, yield func(*trackway.Profile) bool) error {
	return scan(v.from, appendCustomersPrefix(nil, project), func(key, record []byte) error {
		h, err := decodeHolder(trackway.Customer(binary.BigEndian.Uint64(key)), record)
		if err != nil || h.MergedInto != 0 {
			return err
		}
		p, err := v.profile(h)
		if err == nil && !yield(p) {
			err = errStop
		}
		return err
	})
}

func (v *snapshot) Events(project uint32, c trackway.Customer, newestFirst bool, yield func(*trackway.Event) bool) error {
	h, err := readHolder(v.from, project, c)
	if err != nil {
		return err
	}
	timelines, err := timelinesOf(v.from, h)
	if err != nil {
		return err
	}
	w := walk{newestFirst: newestFirst}
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

// events reads the events from the log, by one iterator: unlike a Get it asks no filter, and it stays where it is when the next
// event is near.
func (w *walk) events(log *pebble.Iterator, yield func(*trackway.Event) bool) error {
	var key []byte
	for len(w.lines) > 0 {
		seq, n := binary.Uvarint(w.lines[0].Value())
		if n <= 0 {
			return fmt.Errorf("entry of a timeline: %w", errCorrupt)
		}
		key = appendLogKey(key[:0], seq)
		if !log.SeekGE(key) || !bytes.Equal(log.Key(), key) {
			return errors.Join(fmt.Errorf("event %d: %w", seq, errCorrupt), log.Error())
		}
		e, err := decodeEvent(seq, log.Value())
		if err != nil {
			return fmt.Errorf("event %d: %w", seq, err)
		}
		if !yield(&e) {
			return nil
		}
		if err := w.next(); err != nil {
			return err
		}
	}
	return nil
}

// walk goes through the timelines of several customers at once, in order of time. It is a heap: the line whose event comes
// next is the first.
type walk struct {
	newestFirst bool
	lines       []*pebble.Iterator // each at an event
}

func (w *walk) add(from pebble.Reader, c trackway.Customer) error {
	prefix := appendTimelinePrefix(nil, c)
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	start := it.First
	if w.newestFirst {
		start = it.Last
	}
	if !start() {
		return errors.Join(it.Error(), it.Close())
	}
	w.lines = append(w.lines, it)
	return nil
}

// next moves the first line to its next event, and ends it where there is none.
func (w *walk) next() error {
	it := w.lines[0]
	step := it.Next
	if w.newestFirst {
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
	if w.newestFirst {
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

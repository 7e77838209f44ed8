package reading

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/store/format"
	"trackway/internal/store/recent"
)

// A lost block holds some hundreds of records. To get past it, walk tries
// number after number until it can read one. If there are more failures than
// patience, a whole file is lost, perhaps with millions of records. Then walk
// takes strides, and tries single numbers again only once a stride leads out of
// the file.
const (
	patience = 4096 // failures in a row
	stride   = 1024
)

// walk steps through a table whose keys are numbers, in ascending order. It
// gets past records that it cannot read: each number that such a record may
// have had is a step with an error.
//
// In a lost file, fewer than stride readable records between two unreadable
// ones may also count as lost.
type walk struct {
	number uint64
	record []byte // valid until the next step
	err    error  // why the record of this number cannot be read

	it        *pebble.Iterator
	table     byte
	low, high uint64 // the remaining range
	lost      uint64 // no number before this one can be read
	misses    int    // failures in a row
	begun     bool
	key       []byte
}

func newWalk(from pebble.Reader, table byte, low, high uint64) (*walk, error) {
	w := &walk{table: table, low: low, high: high}
	var err error
	w.it, err = from.NewIter(&pebble.IterOptions{
		LowerBound: binary.BigEndian.AppendUint64([]byte{table}, low), UpperBound: binary.BigEndian.AppendUint64([]byte{table}, high),
	})
	return w, err
}

// next steps to the next number, and reports whether there is one.
func (w *walk) next() bool {
	if w.low >= w.high {
		return false
	}
	if w.low >= w.lost { // otherwise the failed step is repeated for the next number
		if w.step() {
			w.number, w.record, w.err, w.misses = binary.BigEndian.Uint64(w.it.Key()[1:]), w.it.Value(), nil, 0
			w.low = w.number + 1
			return true
		}
		w.record, w.err = nil, w.it.Error()
		if w.err == nil {
			w.low = w.high
			return false
		}
		w.lost = w.low + 1
		if w.misses++; w.misses > patience && w.high-w.low > stride && !w.seek(w.low+stride) && w.it.Error() != nil {
			w.lost = w.low + stride
		}
	}
	w.number = w.low
	w.low++
	return true
}

func (w *walk) step() bool {
	if w.begun && w.err == nil {
		return w.it.Next()
	}
	w.begun = true
	return w.seek(w.low)
}

func (w *walk) seek(number uint64) bool {
	w.key = binary.BigEndian.AppendUint64(append(w.key[:0], w.table), number)
	return w.it.SeekGE(w.key)
}

// close ends the walk. Its steps have returned the iterator's errors.
func (w *walk) close() { _ = w.it.Close() }

// event decodes the event of this step.
func (w *walk) event(types format.TypeNames) (trackway.Event, error) {
	if w.err != nil {
		return trackway.Event{}, w.err
	}
	return format.ViewEvent(w.number, w.record, types)
}

// Log calls do for the events from number low up to, but not including, high,
// in order, until do returns false. The event is valid only during the call.
// Log skips what it cannot read, and calls lost for each number there.
func Log(from pebble.Reader, low, high uint64, lost func(number uint64, err error), do func(*trackway.Event) bool) error {
	w, err := newWalk(from, format.TableLog, low, high)
	if err != nil {
		return err
	}
	defer w.close()
	types := make(format.TypeNames)
	for e := (trackway.Event{}); w.next(); {
		if e, err = w.event(types); err != nil {
			lost(w.number, err)
		} else if !do(&e) {
			break
		}
	}
	return nil
}

// Back calls do for the events before number high, newest first, until do
// returns false. The event is valid only during the call. Back calls lost for
// events that it cannot read. It stops at a damaged block.
func Back(from pebble.Reader, high uint64, lost func(number uint64, err error), do func(*trackway.Event) bool) error {
	it, err := from.NewIter(&pebble.IterOptions{
		LowerBound: []byte{format.TableLog}, UpperBound: format.AppendLogKey(nil, high),
	})
	if err != nil {
		return err
	}
	number := high
	types := make(format.TypeNames)
	for more := it.Last(); more; more = it.Prev() {
		number = binary.BigEndian.Uint64(it.Key()[1:])
		if e, err := format.ViewEvent(number, it.Value(), types); err != nil {
			lost(number, err)
		} else if !do(&e) {
			break
		}
	}
	if err := it.Error(); err != nil {
		lost(number-1, err)
	}
	_ = it.Close() // its error has been reported
	return nil
}

// Misses counts the numbers that could not be read, one after another, at the
// end of a reading of changes. It counts events and other changes apart. The
// next reading starts with these counts, so that it gives up as early as one
// long reading would.
type Misses struct{ events, others int }

// Changes calls do for the changes from number low up to, but not including,
// high, in order, until do returns false. The change is valid only during the
// call. A number that cannot be read and may have been a change is one of kind
// [change.Lost]. missed comes from the reading of the changes before low, and
// goes on to the next reading.
func Changes(from pebble.Reader, low, high uint64, missed *Misses, do func(*change.Change) bool) error {
	events, err := newWalk(from, format.TableLog, low, high)
	if err != nil {
		return err
	}
	defer events.close()
	others, err := newWalk(from, format.TableChanges, low, high)
	if err != nil {
		return err
	}
	defer others.close()
	events.misses, others.misses = missed.events, missed.others
	defer func() { *missed = Misses{events.misses, others.misses} }()
	var e trackway.Event
	types := make(format.TypeNames)
	for more, moreOthers := events.next(), others.next(); more || moreOthers; {
		// at least one of the two is lost
		both := more && moreOthers && events.number == others.number
		isEvent := more && (!moreOthers || events.number < others.number || both && events.err == nil)
		from := others
		if isEvent {
			from = events
		}
		if c := from.change(&e, types); !do(&c) {
			break
		}
		if isEvent || both {
			more = events.next()
		}
		if !isEvent || both {
			moreOthers = others.next()
		}
	}
	return nil
}

// change decodes the change of this step. If it is an event, change stores the
// event in e.
func (w *walk) change(e *trackway.Event, types format.TypeNames) (c change.Change) {
	err := w.err
	switch {
	case err != nil:
	case w.table == format.TableChanges:
		c, err = recent.Decode(w.number, w.record)
	default:
		*e, err = w.event(types)
		c = change.Change{Project: e.Project, Customer: e.Customer, Event: e}
	}
	if err != nil {
		c = change.Change{Kind: change.Lost, Err: err}
	}
	c.Number = w.number
	return c
}

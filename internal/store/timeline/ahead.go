package timeline

import (
	"bytes"
	"cmp"
	"runtime"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/query"
	"trackway/internal/store/format"
)

// Limits on look-ahead. A reader that wants one event must not pay for many, so
// each round looks up twice as many events as the one before.
const (
	fewestAhead = 4
	mostAhead   = 256
	aheadBytes  = 1 << 20 // of records; the rest is looked up when its turn comes
	mostReaders = 4
	perReader   = 8 // look-ups that make another goroutine worth it
)

// ahead looks up several events in the log at a time, before they are passed
// on. Nearly all the cost of a look-up is reading and decompressing a block,
// and the events of one customer lie in many blocks. So several goroutines
// share the look-ups, each in the order of the log.
type ahead struct {
	from     pebble.Reader
	wanted   []wanted // in the order of passing them on
	together int      // number of look-ups in the next round
	byNumber []*wanted
	readers  []*reader
}

// wanted is an event to look up.
type wanted struct {
	query.Place

	done   bool // the fields below are set
	found  bool
	record []byte
	err    error
}

// reader looks up events for one goroutine.
type reader struct {
	log  *pebble.Iterator
	key  []byte
	room []byte // for records
}

// rooms holds memory for records.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

// want adds an event, and reports whether there are enough to start the
// look-ups.
func (a *ahead) want(at query.Place) (enough bool) {
	a.wanted = append(a.wanted, wanted{Place: at})
	return len(a.wanted) >= max(a.together, fewestAhead)
}

// look looks up the wanted events. It leaves those for which there is no room
// to [ahead.one].
func (a *ahead) look() error {
	a.together = min(2*max(a.together, fewestAhead), mostAhead)
	a.byNumber = a.byNumber[:0]
	for i := range a.wanted {
		a.byNumber = append(a.byNumber, &a.wanted[i])
	}
	slices.SortFunc(a.byNumber, func(x, y *wanted) int { return cmp.Compare(x.Seq, y.Seq) })
	n := max(1, min(runtime.GOMAXPROCS(0), mostReaders, len(a.wanted)/perReader))
	if err := a.open(n); err != nil {
		return err
	}
	var others sync.WaitGroup
	defer others.Wait()
	share := func(i int) []*wanted { return a.byNumber[i*len(a.byNumber)/n : (i+1)*len(a.byNumber)/n] }
	for i := 1; i < n; i++ {
		others.Go(func() {
			// one looks the event up again, in the goroutine of its reader
			defer func() { _ = recover() }()
			a.readers[i].look(share(i), aheadBytes/n)
		})
	}
	a.readers[0].look(share(0), aheadBytes/n)
	return nil
}

// open opens the log for n readers.
func (a *ahead) open(n int) error {
	for len(a.readers) < n {
		log, err := a.from.NewIter(&pebble.IterOptions{LowerBound: []byte{format.TableLog}, UpperBound: []byte{format.TableLog + 1}})
		if err != nil {
			return err
		}
		room := rooms.Get().(*[]byte) // of this pool
		a.readers = append(a.readers, &reader{log: log, room: *room})
	}
	return nil
}

// one looks up an event that look left out.
func (a *ahead) one(w *wanted) {
	if !w.done {
		a.readers[0].find(w)
	}
}

// close ends the look-ups. Their errors were returned with the events.
func (a *ahead) close() {
	for _, r := range a.readers {
		_ = r.log.Close()
		if cap(r.room) <= aheadBytes {
			rooms.Put(&r.room)
		}
	}
}

// look looks up events until their records take the given number of bytes.
func (r *reader) look(all []*wanted, bytes int) {
	r.room = r.room[:0]
	for _, w := range all {
		if len(r.room) >= bytes {
			return
		}
		r.find(w)
		began := len(r.room)
		r.room = append(r.room, w.record...)
		w.record, w.done = r.room[began:], true
	}
}

// find looks up an event. Its record is valid until the next call. Unlike a
// Get, the iterator does not consult a filter, and it stays in place if the
// event is near.
func (r *reader) find(w *wanted) {
	r.key = format.AppendLogKey(r.key[:0], w.Seq)
	if r.log.SeekGE(r.key) && bytes.Equal(r.log.Key(), r.key) {
		w.found = true
		w.record, w.err = r.log.ValueAndErr()
	} else {
		w.err = r.log.Error()
	}
}

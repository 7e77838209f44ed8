package timeline

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

const owner = trackway.Customer(7)

// one returns a database in which a customer has n events, at the times 1 to n.
// Neighbors arrived far apart. replace overrides individual records.
func one(t *testing.T, o *pebble.Options, n int, properties []byte, replace map[int][]byte) *pebble.DB {
	t.Helper()
	o.Logger = nobody{}
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	db, err := pebble.Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for i := 1; i <= n; i++ {
		seq := uint64(1 + i*37%n)
		at := trackway.Micros(i)
		record := replace[i]
		if record == nil {
			record = format.AppendEvent(nil, &trackway.Event{Project: 1, Customer: owner, Time: at, Type: "e", Properties: properties})
		}
		if err := errors.Join(
			db.Set(format.AppendTimelineKey(nil, owner, at, seq), binary.AppendUvarint(nil, seq), nil),
			db.Set(format.AppendLogKey(nil, seq), record, nil),
		); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func begin(t *testing.T, db *pebble.DB, r query.TimelineRange) *Walk {
	t.Helper()
	w := &Walk{TimelineRange: r}
	t.Cleanup(w.Close)
	if err := w.Add(db, owner); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestFewAreLookedUpForNothing: a reader that wants one event, or a page, does
// not pay for all of them.
func TestFewAreLookedUpForNothing(t *testing.T) {
	t.Parallel()
	db := one(t, &pebble.Options{}, 509, nil, nil)
	for _, limit := range []int{1, 4, 5, 100, 400, 509} {
		w := begin(t, db, query.TimelineRange{})
		looked, last := 0, 0
		err := w.Events(func(e *trackway.Event, _ query.Place) bool {
			if e.Time == 1 || last < len(w.ahead.byNumber) {
				looked += len(w.ahead.byNumber)
				last = len(w.ahead.byNumber)
			}
			return int(e.Time) < limit
		})
		if most := 2*limit + fewestAhead; err != nil || looked > most || len(w.ahead.byNumber) > mostAhead {
			t.Errorf("of %d events %d were looked up, %v, want %d at most", limit, looked, err, most)
		}
	}
}

// TestLargeEvents: only a few events are in memory at a time, however large
// they are.
func TestLargeEvents(t *testing.T) {
	t.Parallel()
	const n, size = 101, 50 << 10
	text := slices.Concat([]byte(`{"a":"`), bytes.Repeat([]byte("x"), size), []byte(`"}`))
	db := one(t, &pebble.Options{}, n, text, nil)
	for _, newestFirst := range []bool{false, true} {
		w := begin(t, db, query.TimelineRange{NewestFirst: newestFirst})
		got, held := 0, 0
		err := w.Events(func(e *trackway.Event, _ query.Place) bool {
			got++
			if want := got; newestFirst && int(e.Time) != n+1-want || !newestFirst && int(e.Time) != want || !bytes.Equal(e.Properties, text) {
				t.Errorf("event %d: got that of the time %d, with %d bytes", want, e.Time, len(e.Properties))
			}
			now := 0
			for _, r := range w.ahead.readers {
				now += cap(r.room)
			}
			held = max(held, now)
			return true
		})
		if most := 2 * (aheadBytes + mostReaders*(size+100)); err != nil || got != n || held > most {
			t.Errorf("got %d events, %v, with %d bytes in memory, want %d and %d at most", got, err, held, n, most)
		}
	}
}

// TestDamage: an unreadable event is an error when its turn comes, not before.
// The walk first passes on the preceding events, in order.
func TestDamage(t *testing.T) {
	t.Parallel()
	const n, damaged = 101, 60
	db := one(t, &pebble.Options{}, n, nil, map[int][]byte{damaged: {0xff}})
	for limit, want := range map[int]error{damaged - 1: nil, damaged: format.ErrCorrupt, n: format.ErrCorrupt} {
		got := 0
		err := begin(t, db, query.TimelineRange{}).Events(func(e *trackway.Event, _ query.Place) bool {
			if got++; int(e.Time) != got {
				t.Errorf("got event %d as number %d", e.Time, got)
			}
			return got < limit
		})
		if !errors.Is(err, want) || got != damaged-1 {
			t.Errorf("limit %d: got %d events, %v, want %d and %v", limit, got, err, damaged-1, want)
		}
	}
}

// TestDiskFails: the walk returns the error of the disk.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	errDisk := errors.New("the disk is broken")
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && failing.Load() {
			return errDisk
		}
		return nil
	}))
	o := &pebble.Options{FS: fs, CacheSize: 1}
	o.EnsureDefaults()
	for i := range o.Levels {
		o.Levels[i].BlockSize = 1
	}
	db := one(t, o, 101, nil, nil)
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	got := 0
	err := begin(t, db, query.TimelineRange{}).Events(func(e *trackway.Event, _ query.Place) bool {
		if got++; int(e.Time) != got {
			t.Errorf("got event %d as number %d", e.Time, got)
		}
		failing.Store(got >= 20)
		return true
	})
	failing.Store(false)
	if !errors.Is(err, errDisk) || got < 20 || got == 101 {
		t.Errorf("got %d events, %v", got, err)
	}
}

// TestPanics: a bug in a look-up fails its request, and does not end the
// process.
func TestPanics(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	comparer := *pebble.DefaultComparer
	comparer.Compare = func(a, b []byte) int {
		if broken.Load() && len(a) > 0 && a[0] == format.TableLog {
			panic("bug")
		}
		return bytes.Compare(a, b)
	}
	db := one(t, &pebble.Options{Comparer: &comparer}, 401, nil, nil)
	w := begin(t, db, query.TimelineRange{})
	defer func() {
		broken.Store(false)
		if got := recover(); fmt.Sprint(got) != "bug" {
			t.Errorf("got %v, want the panic", got)
		}
	}()
	_ = w.Events(func(e *trackway.Event, _ query.Place) bool {
		broken.Store(e.Time >= 100) // several goroutines look up the next ones
		return true
	})
	t.Error("it went on")
}

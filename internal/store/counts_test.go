package store

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/totals"
)

// TestDamagedCountStopsNothing: an unreadable count is reported once. Events
// are stored once each and shown as soon as they are on the disk, and all other
// counts go on.
func TestDamagedCountStopsNothing(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	var log bytes.Buffer
	s, err := Open("data", Options{FS: fs, Log: slog.New(slog.NewTextHandler(&log, nil)), Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	s.counts.Most = 1
	// The row of type 1 and hour 0, by time.
	row := []byte("s\x00\x00\x00\x01\x01\x00\x00\x00\x01\x00\x00\x00\x00")
	if err := s.db.Set(row, []byte{0xff}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	const events = 300
	for i := range events {
		c := event(fmt.Sprint("e", i%2), 1, nil, cookie1)
		c.TimeGiven = false // so that a second copy would be stored
		mustApply(t, s, c)
		if seq := s.Synced(); seq != uint64(i+2) { // one change is the customer's
			t.Fatalf("after %d events the changes up to %d are shown", i+1, seq)
		}
	}
	if got := len(mustEvents(t, s, 1)); got != events {
		t.Errorf("%d events are stored, want %d", got, events)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("reported %d times, want once:\n%s", n, &log)
	}
	s = mustOpen(t, fs)
	defer func() { _ = s.Close() }()
	for typ, want := range map[string]uint64{"e0": 0, "e1": events / 2} {
		var got uint64
		err := s.counts.Read(demo, query.CountRange{By: query.ByTime, Type: typ}, func(n query.Count) bool { got += n.Events; return true })
		if got != want || (err != nil) != (typ == "e0") {
			t.Errorf("%s: counted %d, %v", typ, got, err)
		}
	}
}

// TestDamagedUsageStopsNothing: an unreadable total is left as it is, and stops
// nothing either.
func TestDamagedUsageStopsNothing(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	other := event("e", 24*60*60*1e6, nil, cookie1) // the next day
	for _, c := range []trackway.Command{event("e", 1, nil, cookie1), other} {
		mustApply(t, s, c)
	}
	key := totals.AppendKey(nil, totals.Day{Project: demo, Day: 0})
	if err := s.db.Set(key, []byte{0xff}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	s.usage.Empty()
	other.Time++
	mustApply(t, s, event("e", 2, nil, cookie1), other)
	mustApply(t, s, event("e", 3, nil, cookie1))
	if x, err := s.Expire(t.Context(), 1, 4, func(uint32, string) trackway.Micros { return 2 }); x.Removed != 1 || err != nil {
		t.Errorf("expired %d: %v", x.Removed, err)
	}
	if record := dump(t, s)[string(key)]; record != "\xff" {
		t.Errorf("the damaged total is %x now", record)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if total, err := s.usage.Total(totals.Day{Project: demo, Day: 1}); total.Stored != 2 || err != nil {
		t.Errorf("the next day has %+v, %v", total, err)
	}
}

// TestTypesNotByName: a type that is not counted by its name differs from one
// that has no events.
func TestTypesNotByName(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	byName := func(typ string) bool {
		v := s.Snapshot()
		defer func() { _ = v.Close() }()
		return v.CountedByName(demo, typ)
	}
	if !byName("late") {
		t.Error("a project without types does not count a type that it has not")
	}
	var cmds []trackway.Command
	for i := range query.MaxTypes {
		cmds = append(cmds, event(fmt.Sprint("junk", i), 1, nil, cookie1))
	}
	mustApply(t, s, cmds...)
	mustApply(t, s, event("late", 1, nil, cookie1))
	if byName("late") || !byName("junk999") {
		t.Errorf("counted by name: %t, and %t for the last of %d", byName("late"), byName("junk999"), query.MaxTypes)
	}
	mustBeConsistent(t, s)
}

package store

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/query"
	"trackway/internal/store/damage"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// openDamaged opens a damaged plain store, and returns its log. The damage must
// not end the process.
func openDamaged(t *testing.T, fs vfs.FS) (*Store, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	s, err := Open("data", Options{
		FS: fs, Cache: 1 << 20, plain: true, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Fatal: func(err error) { t.Errorf("the process would end: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, &log
}

// uncount makes the next opening count all events again.
func uncount(t *testing.T, s *Store) {
	t.Helper()
	for _, table := range []byte{'s', 'y'} {
		if err := s.db.DeleteRange([]byte{table}, []byte{table + 1}, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Delete([]byte("ncounted"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

// spoil changes a byte of each file of a kind that contains a text.
func spoil(t *testing.T, fs vfs.FS, kind, text string) (files int) {
	t.Helper()
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, kind) {
			continue
		}
		name = fs.PathJoin("data", name)
		data := readFile(t, fs, name)
		at := bytes.Index(data, []byte(text))
		if at < 0 {
			continue
		}
		data[at] ^= 0x40
		overwrite(t, fs, name, data)
		files++
	}
	return files
}

func overwrite(t *testing.T, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
}

func allCounted(t *testing.T, s *Store) (events uint64) {
	t.Helper()
	if err := s.counts.Read(demo, query.CountRange{By: query.ByTime}, func(n query.Count) bool { events += n.Events; return true }); err != nil {
		t.Fatal(err)
	}
	return events
}

// TestDamagedEventStopsNothing: an unreadable record of the log stops neither
// the opening of the store nor access to the events after it. These are
// counted, they expire, and new ones are stored. The damage is counted, and its
// place is reported.
func TestDamagedEventStopsNothing(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openPlain(t, fs)
	for i := range 5 {
		mustApply(t, s, event("e", trackway.Micros(i+1), nil, cookie1))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openPlain(t, fs)
	uncount(t, s)
	if err := s.db.Set(format.AppendLogKey(nil, 3), []byte{0xff}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	s.used.Stop()
	if err := s.engine.Close(); err != nil { // not the store: it would write its counts
		t.Fatal(err)
	}
	s, log := openDamaged(t, fs)
	if n := allCounted(t, s); n != 4 {
		t.Errorf("%d events are counted, want 4", n)
	}
	if !strings.Contains(log.String(), "event 3") || s.damaged.Count(damage.Event) != 1 {
		t.Errorf("%d damaged; it is not said which:\n%s", s.damaged.Count(damage.Event), log)
	}
	if r := mustApply(t, s, event("e", 6, nil, cookie1)); r[0].Seq != 7 {
		t.Errorf("got %+v, want event 7", r)
	}
	x, err := s.Expire(t.Context(), 1, 6, func(uint32, string) trackway.Micros { return 5 })
	if x.Removed != 3 || err != nil {
		t.Errorf("%d events expired, want 3: %v", x.Removed, err)
	}
	if s.damaged.Count(damage.Event) != 1 {
		t.Error("the same event is counted twice as damaged")
	}
}

// TestDamagedBlockStopsNothing: a block of a file with a wrong checksum does
// not stop the store either. Reading its contents returns an error.
func TestDamagedBlockStopsNothing(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openPlain(t, fs)
	const events = 30
	fill := strings.Repeat("x", 12<<10) // so that a block holds few
	for i := range events {
		mustApply(t, s, event("e", trackway.Micros(i+1), map[string]string{"p": fmt.Sprintf(`"secret-%d-%s"`, i+1, fill)}, cookie1))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openPlain(t, fs)
	uncount(t, s)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	s.used.Stop()
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	if n := spoil(t, fs, ".sst", "secret-10-"); n != 1 {
		t.Fatalf("the event is in %d files", n)
	}
	s, log := openDamaged(t, fs)
	lost := s.damaged.Count(damage.Event)
	if lost == 0 || lost > 4 || allCounted(t, s) != uint64(events-lost) {
		t.Errorf("%d events lost, %d counted of %d", lost, allCounted(t, s), events)
	}
	if s.damaged.Count(damage.File) != 1 || !strings.Contains(log.String(), "event 11") || !strings.Contains(log.String(), ".sst") {
		t.Errorf("%d files damaged; it is not said which:\n%s", s.damaged.Count(damage.File), log)
	}
	if strings.Contains(log.String(), "secret-") {
		t.Error("the log holds what is in the store")
	}
	mustApply(t, s, event("e", 100, nil, cookie2))
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	read := 0
	err := v.Events(demo, mustFind(t, s, cookie1), false, func(*trackway.Event) bool { read++; return true })
	if err == nil || read == 0 || read >= events {
		t.Errorf("read %d events and then %v, want an error after some", read, err)
	}
	lost = 0
	read = 0
	err = v.Log(query.LogRange{Lost: func(uint64, error) { lost++ }}, func(*trackway.Event) bool { read++; return true })
	if lost == 0 || read != events+1-lost || err != nil {
		t.Errorf("read %d events of the log, %d are lost: %v", read, lost, err)
	}
	if err := v.Log(query.LogRange{}, func(*trackway.Event) bool { return true }); err == nil {
		t.Error("who does not ask to pass over what is lost is not told of it")
	}
	x, err := s.Expire(t.Context(), 1, events+1, func(uint32, string) trackway.Micros { return events })
	if x.Removed != events-1-lost || err != nil {
		t.Errorf("%d events expired, want %d: %v", x.Removed, events-1-lost, err)
	}
}

// TestDamagedCustomerKeepsOnlyItself: an event stays if its place on a timeline
// is unknown, but other events expire. A later run looks for the place again.
func TestDamagedCustomerKeepsOnlyItself(t *testing.T) {
	t.Parallel()
	for name, prefix := range map[string][]byte{
		"customer": format.AppendCustomerKey(nil, demo, 1),
		"timeline": format.AppendTimelinePrefix(nil, 1),
	} {
		fs := vfs.NewMem()
		s := openPlain(t, fs)
		mustApply(t, s, event("e", 1, nil, cookie1), event("e", 2, nil, cookie2), event("e", 3, nil, cookie2))
		if err := reading.Scan(s.db, prefix, func(rest, _ []byte) error {
			return s.db.Set(slices.Concat(prefix, rest), []byte{0xff}, pebble.Sync)
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, _ = openDamaged(t, fs)
		x, err := s.Expire(t.Context(), 1, 10, func(uint32, string) trackway.Micros { return 5 })
		if x.Removed != 2 || x.Soonest != 0 || err != nil {
			t.Errorf("%s: got %+v, want two events removed and another look at the third: %v", name, x, err)
		}
		if n := s.damaged.Count(damage.Event); n != 1 {
			t.Errorf("%s: %d events are noted", name, n)
		}
	}
}

// TestDamagedErasureIsDone: an erasure with an unreadable record is completed,
// wherever its traces are, once the destinations have all changes that may tell
// of it.
func TestDamagedErasureIsDone(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openPlain(t, fs)
	mail, name := secret("mail"), secret("name")
	mustApply(t, s, event("e", 1, map[string]string{"email": quoted(mail)}, identifierOf("registered", name)))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	erasure := mustErase(t, s, 1, "email")
	if err := s.db.Set(format.Key(nil).Erasure(1), []byte{0xff}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, log := openDamaged(t, fs)
	if n, _ := s.pending.Pending(); n != 1 || !strings.Contains(log.String(), "erasure 1") || s.damaged.Count(damage.Erasure) != 1 {
		t.Errorf("%d erasures are pending; logged: %s", n, log)
	}
	copies := &fakeCopies{list: []change.Copy{{Name: "warehouse", Deletes: true, Through: s.Synced() - 1, Part: part{demo, "e"}}}}
	s.SetCopies(copies)
	mustCleanUp(t, s, 0)
	if found := traces(t, fs, []byte(mail), []byte(name)); len(found) > 0 {
		t.Errorf("found %q", found)
	}
	copies.list[0].Through++
	mustApply(t, s, event("e", 2, nil, cookie2))
	mustCleanUp(t, s, 1)
	mustCleanUp(t, s, 0)
	if next := mustErase(t, s, 2); next.ID != erasure.ID+1 {
		t.Errorf("the next erasure has the number %d", next.ID)
	}
}

// TestOpeningRefuses: the store does not open if it cannot tell which numbers
// it has given out: giving one out twice would overwrite old data. The error
// says what is wrong, and nothing is changed.
func TestOpeningRefuses(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"mnextseq":              "mnextseq",
		"l\x01":                 "last event",
		"c\x00\x00\x00\x01\xff": "last customer of project 1",
	} {
		fs := vfs.NewMem()
		s := mustOpen(t, fs)
		mustApply(t, s, event("e", 1, nil, cookie1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		before := rewrite(t, fs, map[string]string{key: "?"})
		if _, err := Open("data", Options{FS: fs, Fatal: func(err error) { t.Error(err) }}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error that says %q", key, err, want)
		}
		if after := rewrite(t, fs, nil); len(after) != len(before) {
			t.Errorf("%q: %d keys are left of %d", key, len(after), len(before))
		}
	}
}

// TestDamagedWriteAheadLog: if there is damage in the midst of the last
// acknowledged data, the store does not open as if the log ended there. Only
// what a power cut tears off at the end was not acknowledged.
func TestDamagedWriteAheadLog(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	s := openPlain(t, mem)
	defer func() { _ = s.Close() }()
	fill := strings.Repeat("x", 3<<10) // Pebble looks for what follows in later blocks of 32 KiB
	for i := range 50 {
		mustApply(t, s, event("e", trackway.Micros(i+1), map[string]string{"p": fmt.Sprintf(`"secret-%d-%s"`, i+1, fill)}, cookie1))
	}
	fs := mem.CrashClone(vfs.CrashCloneCfg{})
	if n := spoil(t, fs, ".log", "secret-20-"); n != 1 {
		t.Fatalf("the event is in %d files", n)
	}
	again, err := Open("data", Options{FS: fs, Fatal: func(err error) { t.Error(err) }})
	if err == nil {
		t.Errorf("it was opened, and the next event is %d of 51", again.nextSeq)
		_ = again.Close()
	}
}

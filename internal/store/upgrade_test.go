package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
	"trackway/internal/store/totals"
)

// olderStore makes a store of format version 1 as its first programs left it: usage has three numbers, merges have no mark and do
// not name their cause, former holders are not noted, and nothing is counted. Jane has a cookie that was Bob's when he was merged,
// on the second day; on that day also others were, whose merge was erased since. A merge
// of theirs that was imported from another server names Jane.
func olderStore(t *testing.T, fs vfs.FS) {
	t.Helper()
	const day = 24 * 60 * 60 * 1e6
	s := mustOpen(t, fs)
	jane, bob := identifierOf("registered", "jane"), identifierOf("registered", "bob")
	mustApply(t, s, event("e", 1, nil, cookie1), update(2, nil, bob), update(day+3, nil, bob, cookie1))
	mustApply(t, s, update(day+4, nil, jane, cookie1))
	untimed := event(trackway.MergeType, day+5, nil, jane) // a client's own
	untimed.TimeGiven = false
	mustApply(t, s, untimed, update(6, nil, reg1), update(7, nil, cookie2), update(day+8, nil, reg1, cookie2))
	mustApply(t, s, event(trackway.MergeType, day+9, map[string]string{"absorbed_ids": `{"registered":"jane"}`}, reg1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open("data", pebbleOptions(Options{FS: fs, Fatal: func(err error) { t.Error(err) }}))
	if err != nil {
		t.Fatal(err)
	}
	merge := func(seq uint64, at trackway.Micros, customer trackway.Customer, properties string) error {
		e := trackway.Event{Project: demo, Customer: customer, Type: trackway.MergeType, Time: at, Received: at, Properties: []byte(properties)}
		return errors.Join(
			db.Set(format.AppendLogKey(nil, seq), format.AppendEvent(nil, &e), pebble.Sync),
			db.Set(format.AppendTimelineKey(nil, customer, at, seq), []byte{byte(seq)}, pebble.Sync),
		)
	}
	remove := func(table byte) error { return db.DeleteRange([]byte{table}, []byte{table + 1}, pebble.Sync) }
	if err := errors.Join(
		remove('f'), remove('s'), remove('y'), remove('u'), db.Delete([]byte("mcounted"), pebble.Sync),
		db.Set(totals.AppendKey(nil, totals.Day{Project: demo, Day: 0}), []byte{1, 0, 5}, pebble.Sync),
		db.Set(totals.AppendKey(nil, totals.Day{Project: demo, Day: 1}), []byte{2, 2, 0}, pebble.Sync),
		merge(2, day+3, 1, `{"absorbed_ids":{"registered":"bob"},"survivor_ids":{"cookie":["c1"]}}`),
		merge(4, day+8, 4, `{}`),
		db.Set(keyFormat, []byte("1"), pebble.Sync), db.Close(),
	); err != nil {
		t.Fatal(err)
	}
}

// TestOlderStore: a store of version 1 becomes one of this version, in which all is found that was found before.
func TestOlderStore(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	olderStore(t, fs)
	s := mustOpen(t, fs)
	defer func() { _ = s.Close() }()
	mustBeConsistent(t, s)
	usage := make(map[query.Day]query.Usage)
	v := s.Snapshot()
	err := v.Usage(demo, func(d query.Day, u query.Usage) bool { usage[d] = u; return true })
	want := map[query.Day]query.Usage{0: {Stored: 1, Refused: 5, Created: 4}, 1: {Stored: 2, Duplicate: 2, Created: 1, Absorbed: 2}}
	if diff := gocmp.Diff(want, usage); diff != "" || err != nil {
		t.Error(err, diff)
	}
	bobs, janes := mustFind(t, s, identifierOf("registered", "bob")), mustFind(t, s, identifierOf("registered", "jane"))
	for c, want := range map[trackway.Customer]int{bobs: 1, janes: 0} {
		merges := 0
		err := v.Timeline(demo, c, query.TimelineRange{Merges: true}, func(*trackway.Event, query.Place) bool { merges++; return true })
		if merges != want || err != nil {
			t.Errorf("customer %d has %d merges, want %d: %v", c, merges, want, err)
		}
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	mustErase(t, s, janes)
	if got := strings.Join(mustEvents(t, s, bobs), " "); strings.Contains(got, `"c1"`) || !strings.Contains(got, `"bob"`) {
		t.Errorf("got %q, want Bob's merge without the cookie", got)
	}
	if got := strings.Join(mustEvents(t, s, mustFind(t, s, reg1)), " "); strings.Contains(got, "jane") {
		t.Errorf("got %q, want the imported merge without Jane", got)
	}
	mustErase(t, s, bobs)
	if got := strings.Join(mustEvents(t, s, bobs), " "); strings.Contains(got, "bob") {
		t.Errorf("got %q, want an empty merge", got)
	}
	mustBeConsistent(t, s)
}

// TestUpgradeIsWhole: what is cut off is begun anew, and once it is done the store is as if it had always been so.
func TestUpgradeIsWhole(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	olderStore(t, mem)
	before := mem.CrashClone(vfs.CrashCloneCfg{})
	s := mustOpen(t, mem)
	want := dump(t, s)
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, fs := range map[string]vfs.FS{"before": before, "after": after} {
		s := mustOpen(t, fs)
		if diff := gocmp.Diff(want, dump(t, s)); diff != "" {
			t.Errorf("power cut %s it (-want): %s", name, diff)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOlderBackup: a backup of a store of version 1 is restored, and upgraded when it is opened.
func TestOlderBackup(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	olderStore(t, fs)
	s, err := openToRead(fs, "data")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Close(); err != nil || s.nextSeq != 6 {
		t.Fatalf("next is event %d, %v", s.nextSeq, err)
	}
	if err := checkWhole(t.Context(), fs, "data", 5); err != nil {
		t.Error(err)
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/query"
	"trackway/internal/scale"
	"trackway/internal/store/format"
	"trackway/internal/store/totals"
)

// allBefore removes all events before at, whatever their project and type.
func allBefore(at trackway.Micros) func(uint32, string) trackway.Micros {
	return func(uint32, string) trackway.Micros { return at }
}

func mustExpire(tb testing.TB, s *Store, before func(uint32, string) trackway.Micros) query.Expired {
	tb.Helper()
	x, err := s.Expire(tb.Context(), 1, 1<<40, before)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func TestExpire(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	mustApply(
		t, s,
		event("visit", 100, nil, cookie1), event("visit", 200, nil, cookie1), event("buy", 100, nil, cookie1),
		event("visit", 100, nil, cookie2), update(150, map[string]string{"p": "1"}, cookie2),
	)
	got := mustExpire(t, s, func(project uint32, typ string) trackway.Micros {
		if project == demo && typ == "visit" {
			return 150
		}
		return query.Forever
	})
	if want := (query.Expired{Removed: 2, Soonest: 50, End: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if diff := gocmp.Diff([]string{"buy 100 {}", "visit 200 {}"}, mustEvents(t, s, 1)); diff != "" {
		t.Error(diff)
	}
	if got := mustEvents(t, s, 2); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
	if p := mustProfile(t, s, 2); len(p.IDs) != 1 || len(p.Properties) != 1 {
		t.Errorf("got %+v, want the customer as it was", p)
	}
	if u, err := s.usage.Total(totals.Day{Project: demo, Day: 0}); u.Stored != 4 || err != nil {
		t.Errorf("got usage %+v, %v, want all that was stored to be counted", u, err)
	}
	if x := mustExpire(t, s, allBefore(0)); x.Removed != 0 || x.Soonest != 100 {
		t.Errorf("got %+v", x)
	}
	for to, end := range map[uint64]bool{3: false, 8: false, 9: true} {
		if x, err := s.Expire(t.Context(), 1, to, allBefore(0)); err != nil || x.End != end {
			t.Errorf("up to %d of 7 changes: got %+v, %v", to, x, err)
		}
	}
	if x := mustExpire(t, s, allBefore(query.Never)); x.Removed != 2 || x.Soonest != query.Never {
		t.Errorf("got %+v", x)
	}
	mustBeConsistent(t, s)
}

// TestExpiredNumbersAreNotUsedAgain: the numbers of expired events are not used
// again, even if the last event of the log was removed before a restart.
func TestExpiredNumbersAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustApply(t, s, event("visit", 100, nil, cookie1), event("visit", 200, nil, cookie1))
	if x := mustExpire(t, s, allBefore(1000)); x.Removed != 2 {
		t.Fatal(x)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, fs)
	if r := mustApply(t, s, event("visit", 100, nil, cookie1))[0]; r.Seq != 5 || r.Duplicate {
		t.Errorf("got %+v, want number 5", r)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, fs)
	if r := mustApply(t, s, event("visit", 101, nil, cookie1))[0]; r.Seq != 6 {
		t.Errorf("got %+v, want number 6", r)
	}
	mustBeConsistent(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestExpireLongTimeline: expiry reaches the events of an absorbed timeline,
// whether it was moved or stayed in place, even if there are more events than
// one step removes.
func TestExpireLongTimeline(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	cmds := make([]trackway.Command, 0, 3*maxMoved)
	for i := range 2 * maxMoved {
		cmds = append(cmds, event("long", trackway.Micros(i), nil, cookie1))
	}
	for i := range 50 {
		cmds = append(cmds, event("short", trackway.Micros(i), nil, cookie2))
	}
	mustApply(t, s, update(1, nil, reg1))
	mustApply(t, s, cmds...)
	mustApply(t, s, update(5000, nil, reg1, cookie1, cookie2))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if x, err := s.Expire(ctx, 1, 1<<40, allBefore(4000)); !errors.Is(err, context.Canceled) || x.Removed != 0 {
		t.Errorf("got %+v, %v, want to be stopped", x, err)
	}
	compactAll(t, s)
	before := logBytes(t, s)
	if x := mustExpire(t, s, allBefore(4000)); x.Removed != 2*maxMoved+50 {
		t.Errorf("got %+v", x)
	}
	if got := mustEvents(t, s, 1); len(got) != 2 {
		t.Errorf("got %v, want the two merges", got)
	}
	mustBeConsistent(t, s)
	if err := s.Reclaim(t.Context(), 1, 5000); err != nil {
		t.Fatal(err)
	}
	if after := logBytes(t, s); after > before/2 {
		t.Errorf("the log takes %d bytes, and took %d before almost all of it went", after, before)
	}
}

// TestExpiredRoomComesBack: the log loses the records and the marks of deletion
// of expired events, although the table with the marks lies over others in
// which nothing else changes.
func TestExpiredRoomComesBack(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const tables, each = 12, 20
	for i := range tables {
		for j := range each {
			n := i*each + j
			large := map[string]string{"p": fmt.Sprintf("%q", strings.Repeat(strconv.Itoa(n*7919), 200))}
			mustApply(t, s, event("e", trackway.Micros(n), large, identifierOf("cookie", strconv.Itoa(n%5))))
		}
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	before := logBytes(t, s)
	if x := mustExpire(t, s, allBefore(tables*each/2)); x.Removed != tables*each/2 {
		t.Fatal(x)
	}
	mustApply(t, s, event("e", tables*each, nil, cookie1))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Reclaim(t.Context(), 1, s.nextSeq); err != nil {
		t.Fatal(err)
	}
	if after := logBytes(t, s); after > before*2/3 {
		t.Errorf("the log takes %d bytes, and took %d before half of it went", after, before)
	}
	unclean, err := s.scrubber().Unclean(s.scrubber().Removed)
	if err != nil || len(unclean) > 0 {
		t.Errorf("marks of deletion are left in %d tables, %v", len(unclean), err)
	}
	mustBeConsistent(t, s)
}

// logBytes returns the size of the log's tables.
func logBytes(t *testing.T, s *Store) (n uint64) {
	t.Helper()
	levels, err := s.db.SSTables(pebble.WithKeyRangeFilter([]byte{format.TableLog}, []byte{format.TableLog + 1}))
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range levels {
		for i := range level {
			n += level[i].Size
		}
	}
	return n
}

// TestExpireCrash cuts the power while events are removed. Afterwards the store
// is consistent, no number is used twice, and all young events are there.
func TestExpireCrash(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	fs := vfs.NewCrashableMem()
	highest, n := uint64(0), 0
	for range scale.Of(30, 5) {
		s := mustOpen(t, fs)
		mustBeConsistent(t, s)
		kept := make(map[string]bool)
		for range 20 {
			n++
			typ := fmt.Sprintf("old%d", n)
			at := trackway.Micros(n % 100)
			if n%3 == 0 {
				typ = fmt.Sprintf("young%d", n)
				at += 1000
				kept[typ] = true
			}
			id := identifierOf("cookie", strconv.Itoa(random.IntN(5)))
			r := mustApply(t, s, event(typ, at, nil, id))[0]
			if r.Seq <= highest {
				t.Fatalf("event %s has number %d, and %d was given out before", typ, r.Seq, highest)
			}
			highest = r.Seq
		}
		var next *vfs.MemFS
		cutAt := random.IntN(4)
		bound := func(uint32, string) trackway.Micros {
			if cutAt--; cutAt == 0 {
				next = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: random})
			}
			return 1000
		}
		mustExpire(t, s, bound)
		if next == nil {
			next = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: random})
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		fs = next
		s = mustOpen(t, fs)
		c, err := readAll(s.db)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range c.events {
			delete(kept, e.Type)
		}
		if len(kept) > 0 {
			t.Fatalf("%v are gone", kept)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExpireLetsOthersIn: the number of events removed in one hold of the lock
// is bounded, and so are their bytes, since they are read under the lock.
func TestExpireLetsOthersIn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ events, size, want int }{
		{entry.MaxEvents, 1, 1}, {entry.MaxEvents + 1, 1, 2}, {4, maxEntryBytes/2 + 1, 2}, {3, maxEntryBytes, 3},
	} {
		s := openTest(t)
		large := map[string]string{"p": `"` + strings.Repeat("x", test.size) + `"`}
		for i := range test.events {
			mustApply(t, s, event("e", trackway.Micros(i), large, cookie1))
		}
		before := s.Applied()
		if x := mustExpire(t, s, allBefore(query.Never)); x.Removed != test.events {
			t.Errorf("removed %d of %d events", x.Removed, test.events)
		}
		if got := int(s.Applied() - before); got != test.want {
			t.Errorf("removed %d events of %d bytes in %d steps, want %d", test.events, test.size, got, test.want)
		}
	}
}

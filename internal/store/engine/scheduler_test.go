package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestOpenWaitsForNoCompaction: after a crash, opening does not wait for a
// compaction that is due. Time in the bubble advances only while all goroutines
// wait.
func TestOpenWaitsForNoCompaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := func(fs vfs.FS, use func(*pebble.Options)) *Database {
			db, err := Open("db", Options{FS: fs, Cache: 1 << 20, Fatal: func(err error) { t.Error(err) }}, use)
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		fs := vfs.NewCrashableMem()
		db := open(fs, func(o *pebble.Options) { o.DisableAutomaticCompactions = true })
		for range 20 { // tables of the topmost level, one over the other
			if err := db.Set([]byte("lkey"), []byte("value"), pebble.Sync); err != nil || db.Flush() != nil {
				t.Fatal(err)
			}
		}
		if err := db.Set([]byte("lkey"), []byte("only in the log"), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		opened, begun := make(chan struct{}), make(chan struct{}, 100)
		db = open(crashed, func(o *pebble.Options) {
			o.EventListener.CompactionBegin = func(pebble.CompactionInfo) {
				select {
				case <-opened:
				case <-time.After(time.Minute):
					t.Error("the opening waits for a compaction")
				}
				begun <- struct{}{}
			}
		})
		close(opened)
		<-begun
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// fakeDB has compactions that wait.
type fakeDB struct {
	allowed, waiting, begun atomic.Int64
}

func (f *fakeDB) GetAllowedWithoutPermission() int { return int(f.allowed.Load()) }

func (f *fakeDB) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	return f.waiting.Load() > 0, pebble.WaitingCompaction{}
}

func (f *fakeDB) Schedule(pebble.CompactionGrantHandle) bool {
	f.waiting.Add(-1)
	f.begun.Add(1)
	return true
}

// TestScheduler: as many compactions run as are allowed, those that wait are
// started when one ends or more are allowed, and none after the end.
func TestScheduler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, db := newScheduler(&patience{}), &fakeDB{}
		db.allowed.Store(1)
		db.waiting.Store(4)
		s.Register(2, db)
		want := func(when string, begun int64) {
			t.Helper()
			synctest.Wait()
			if got := db.begun.Load(); got != begun {
				t.Errorf("%s, %d compactions have begun, want %d", when, got, begun)
			}
		}
		tick := func() { <-time.After(grantPause + time.Millisecond) }
		if ok, _ := s.TrySchedule(); ok {
			t.Error("a compaction may begin before the database is open")
		}
		tick()
		want("before the database is open", 0)
		s.begin(func() *pebble.Metrics { return &pebble.Metrics{} })
		tick()
		want("with one allowed", 1)
		if ok, _ := s.TrySchedule(); ok {
			t.Error("two compactions may run, want one")
		}
		s.Done()
		want("after the end of one", 2)
		db.allowed.Store(2)
		tick()
		want("with two allowed", 3)
		s.Unregister()
		s.Done()
		tick()
		want("after the end", 3)
	})
}

// TestCompactGivesUp: a compaction whose caller gives up while it waits to
// begin harms nobody, neither at once nor at the end.
func TestCompactGivesUp(t *testing.T) {
	t.Parallel()
	db, err := Open("db", Options{FS: vfs.NewMem(), Fatal: func(err error) { t.Error(err) }}, func(*pebble.Options) {})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := db.Set([]byte("tkey"), []byte{byte(i)}, nil); err != nil || db.Flush() != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		// it may have been done at once
		if err := db.Compact(ctx, []byte("t"), []byte("u")); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

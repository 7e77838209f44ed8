package engine

import (
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestFullDiskIsWaitedFor: whoever writes a table waits before the error comes back, and is told of it once; who writes anything else does not.
func TestFullDiskIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []bool
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpCreate {
				return &vfsError{syscall.ENOSPC}
			}
			return nil
		}))
		d := &disk{FS: fs, tell: func(full bool) { told = append(told, full) }, pause: fullPause}
		create := func(category vfs.DiskWriteCategory) time.Duration {
			start := time.Now()
			if _, err := d.Create("f", category); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("got %v", err)
			}
			return time.Since(start)
		}
		for category, want := range map[vfs.DiskWriteCategory]time.Duration{
			"pebble-memtable-flush": fullPause, "pebble-compaction": fullPause, "pebble-wal": 0, "trackway-backup": 0,
		} {
			if took := create(category); took != want {
				t.Errorf("%s: waited %v, want %v", category, took, want)
			}
		}
		d.flushed(pebble.FlushInfo{Err: syscall.ENOSPC})
		d.compacted(pebble.CompactionInfo{Reason: "default", Err: syscall.ENOSPC})
		d.compacted(pebble.CompactionInfo{Reason: "move"})
		d.flushed(pebble.FlushInfo{})
		d.flushed(pebble.FlushInfo{})
		create("pebble-compaction")
		if want := []bool{true, false, true}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

// TestRoomForCompactions: a disk that was full for a compaction only has room again once one has gone well. No flush may come after that: a
// server that is not ready is sent nothing.
func TestRoomForCompactions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full, told atomic.Bool
		db, err := pebble.Open("db", Pebble(Options{
			FS: noRoom{vfs.NewMem(), &full}, Cache: 1 << 20, Fatal: func(err error) { t.Error(err) },
			Full: told.Store,
		}))
		if err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		for range 5 { // tables of the topmost level
			if err := db.Set([]byte("lkey"), []byte("value"), pebble.Sync); err != nil || db.Flush() != nil {
				t.Fatal(err)
			}
		}
		<-time.After(10 * time.Second)
		if !told.Load() {
			t.Fatal("nothing was compacted: this test would notice nothing")
		}
		full.Store(false)
		<-time.After(10 * time.Second)
		if told.Load() {
			t.Error("there is room again, and nobody is told")
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// noRoom is a disk that is full for compactions.
type noRoom struct {
	vfs.FS

	full *atomic.Bool
}

func (n noRoom) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if category == "pebble-compaction" && n.full.Load() {
		return nil, syscall.ENOSPC
	}
	return n.FS.Create(name, category)
}

// vfsError is an error as file systems return it, with another one in it.
type vfsError struct{ error }

func (e *vfsError) Unwrap() error { return e.error }

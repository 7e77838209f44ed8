package engine

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestWritersOfTablesWait: if a table cannot be written, its writer waits
// before it returns the error, so that the store does not retry without a
// pause. The error is reported once. The write-ahead log and a backup return at
// once.
func TestWritersOfTablesWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []error
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpCreate {
				return &vfsError{syscall.ENOSPC}
			}
			return nil
		}))
		d := &disk{
			FS: fs, dir: "db", stuck: func(err error) { told = append(told, err) }, pause: retryPause,
			failures: &failures{log: slog.New(slog.DiscardHandler), now: time.Now}, mover: newMover(),
		}
		create := func(category vfs.DiskWriteCategory) time.Duration {
			start := time.Now()
			if _, err := d.Create("f", category); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("got %v", err)
			}
			return time.Since(start)
		}
		for category, want := range map[vfs.DiskWriteCategory]time.Duration{
			"pebble-memtable-flush": retryPause, "pebble-compaction": retryPause, "pebble-wal": 0, "trackway-backup": 0,
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
		if len(told) != 3 || !errors.Is(told[0], syscall.ENOSPC) || told[1] != nil || !errors.Is(told[2], syscall.ENOSPC) {
			t.Errorf("told %v, want that it is full, that it is not, and again that it is", told)
		}
	})
}

// TestRoomForCompactions: if the disk was full only for a compaction, it has
// room again once a compaction has succeeded. There may be no flush after that,
// because a server that is not ready receives no requests.
func TestRoomForCompactions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full, told atomic.Bool
		db, err := Open("db", Options{
			FS: noRoom{vfs.NewMem(), &full}, Cache: 1 << 20, Fatal: func(err error) { t.Error(err) },
			Stuck: func(err error) { told.Store(err != nil) },
		}, func(*pebble.Options) {})
		if err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		for range mostLayers + 1 { // tables of the topmost level, enough for a compaction
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

// vfsError wraps another error, as file systems do.
type vfsError struct{ error }

func (e *vfsError) Unwrap() error { return e.error }

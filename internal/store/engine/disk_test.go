package engine

import (
	"errors"
	"slices"
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
		d.flushed(pebble.FlushInfo{})
		d.flushed(pebble.FlushInfo{})
		create("pebble-compaction")
		if want := []bool{true, false, true}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

// vfsError is an error as file systems return it, with another one in it.
type vfsError struct{ error }

func (e *vfsError) Unwrap() error { return e.error }

package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestBackgroundWorkRests: whatever prevents Pebble's own work, it pauses
// before it retries. The log has a few lines with a count, and the work
// completes once it can. Time in the bubble advances only while all goroutines
// wait, so work without a pause would never end.
func TestBackgroundWorkRests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op  errorfs.OpKind
		err error
	}{
		{errorfs.OpCreate, syscall.EMFILE},
		{errorfs.OpCreate, syscall.ENFILE},
		{errorfs.OpCreate, syscall.ENOSPC},
		{errorfs.OpCreate, syscall.EDQUOT},
		{errorfs.OpCreate, syscall.ENOMEM},
		{errorfs.OpCreate, syscall.EACCES},
		{errorfs.OpFileWrite, syscall.EIO},
		{errorfs.OpOpen, syscall.EMFILE},
		{errorfs.OpFileReadAt, syscall.EIO},
	} {
		t.Run(fmt.Sprintf("%d %v", c.op, c.err), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var failing atomic.Bool
				var met atomic.Int64
				fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
					if !failing.Load() || op.Kind != c.op || !strings.HasSuffix(op.Path, ".sst") {
						return nil
					}
					met.Add(1)
					return &os.PathError{Op: "test", Path: op.Path, Err: c.err}
				}))
				var log bytes.Buffer
				var stuck atomic.Bool
				open := func() *Database {
					db, err := Open("db", Options{
						FS: fs, Cache: 1 << 20, Fatal: func(err error) { t.Error(err) }, Log: slog.New(slog.NewTextHandler(&log, nil)),
						Stuck: func(err error) { stuck.Store(err != nil) },
					}, func(*pebble.Options) {})
					if err != nil {
						t.Fatal(err)
					}
					return db
				}
				db := open()
				put := func() {
					if err := db.Set([]byte("lkey"), []byte("value"), pebble.Sync); err != nil {
						t.Error(err)
					}
				}
				for range mostLayers - 1 { // tables of the topmost level
					put()
					if err := db.Flush(); err != nil {
						t.Fatal(err)
					}
				}
				if err := db.Close(); err != nil { // so that nothing of them is in memory
					t.Fatal(err)
				}
				log.Reset()
				writes := c.op == errorfs.OpCreate || c.op == errorfs.OpFileWrite
				failing.Store(!writes)
				db = open()
				failing.Store(true)
				done := make(chan struct{})
				go func() {
					defer close(done)
					for range 2 { // enough for a compaction
						put()
						if err := db.Flush(); err != nil {
							t.Error(err)
						}
					}
				}()
				const seconds = 90
				<-time.After(seconds * time.Second)
				if n := met.Load(); n == 0 || n > 3*seconds {
					t.Errorf("met %d times in %d seconds", n, seconds)
				}
				if lines := strings.Count(log.String(), "\n"); lines == 0 || lines > 6 {
					t.Errorf("%d lines are logged:\n%s", lines, &log)
				}
				if writes != stuck.Load() {
					t.Errorf("whoever asks is told that nothing can be written: %v, want %v", stuck.Load(), writes)
				}
				failing.Store(false)
				<-done
				<-time.After(2 * failureKept)
				if stuck.Load() {
					t.Error("it goes on, and nobody is told")
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestDescriptors: a limit is divided, or refused with the number required.
func TestDescriptors(t *testing.T) {
	t.Parallel()
	for limit, want := range map[uint64]int{199: 0, 64: 0, 0: 0, 200: 132, 256: 160, 1024: 544, 20_000: 4064, 1 << 40: 4064} {
		files, err := Descriptors(limit)
		if files != want || (err != nil) != (want == 0) || err != nil && !strings.Contains(err.Error(), "at least 200") {
			t.Errorf("limit %d: got %d, %v; want %d", limit, files, err, want)
		}
		o := Options{FS: vfs.NewMem(), Files: limit, Fatal: func(error) {}}
		db, err := Open("db", o, func(po *pebble.Options) {
			if limit != 0 && po.MaxOpenFiles > files {
				t.Errorf("limit %d: Pebble takes %d of %d", limit, po.MaxOpenFiles, files)
			}
		})
		if limit != 0 && (err != nil) != (want == 0) { // 0: depends on the system
			t.Errorf("limit %d: %v", limit, err)
		}
		if err == nil {
			_ = db.Close()
		}
	}
}

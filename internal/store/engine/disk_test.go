package engine

import (
	"errors"
	"log/slog"
	"sync"
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

// TestTablesAreWrittenInWholePages: all writes to a table but its last one have
// the same size and begin at a multiple of it. The table is read back as it was
// written.
func TestTablesAreWrittenInWholePages(t *testing.T) {
	t.Parallel()
	// Pebble syncs a file in memory as a whole from time to time, and other
	// files only in part.
	fs, dir := &counting{FS: vfs.Default, writes: map[string][]int{}}, t.TempDir()
	db, err := Open(dir, Options{FS: fs, Cache: 1 << 20, Plain: true, Fatal: func(err error) { t.Error(err) }}, func(*pebble.Options) {})
	if err != nil {
		t.Fatal(err)
	}
	const events, length = 1000, 3000
	value := make([]byte, length)
	for n := range uint64(events) {
		if err := db.Set(logKey(n), value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	tables := flushed(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		name := fs.PathJoin(dir, table.BackingSSTNum.String()+".sst")
		if err := CheckFile(fs, name); err != nil {
			t.Error(err)
		}
		writes := fs.writes[name]
		if len(writes) < events*length/tableWrite {
			t.Errorf("%s: %d writes: this test would notice nothing", name, len(writes))
		}
		last := len(writes) - 1
		for _, n := range writes[:last] {
			if n != tableWrite {
				t.Errorf("%s: a write of %d bytes, want %d", name, n, tableWrite)
			}
		}
		if writes[last] > tableWrite {
			t.Errorf("%s: the last write has %d bytes, want at most %d", name, writes[last], tableWrite)
		}
	}
}

// TestFullDiskLeavesNoTableOpen: a table that cannot be written is closed, or
// its blocks would not be free after Pebble has removed it. A large one fails
// while it is written, and a small one at its sync.
func TestFullDiskLeavesNoTableOpen(t *testing.T) {
	t.Parallel()
	for _, length := range []int{1, 4 * tableWrite} {
		synctest.Test(t, func(t *testing.T) {
			fs := &counting{FS: vfs.NewMem(), writes: map[string][]int{}}
			db, err := Open("db", Options{FS: fs, Cache: 1 << 20, Plain: true, Fatal: func(err error) { t.Error(err) }}, func(*pebble.Options) {})
			if err != nil {
				t.Fatal(err)
			}
			fs.full.Store(true)
			for n := range uint64(2) { // a block each, if they are large
				if err := db.Set(logKey(n), make([]byte, length), pebble.Sync); err != nil {
					t.Fatal(err)
				}
			}
			flushed, err := db.AsyncFlush()
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(10*retryPause + retryPause/2)
			fs.mu.Lock()
			n := len(fs.writes)
			fs.mu.Unlock()
			if n < 5 {
				t.Errorf("%d bytes: %d tables were begun: this test would notice nothing", length, n)
			}
			if n := fs.open.Load(); n > 1 {
				t.Errorf("%d bytes: %d tables are open, want that of the last attempt at most", length, n)
			}
			fs.full.Store(false)
			<-flushed
			if n := fs.open.Load(); n != 0 {
				t.Errorf("%d bytes: %d tables are open, and all are written", length, n)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// counting looks after the tables that are created in a file system.
type counting struct {
	vfs.FS

	full atomic.Bool  // no table can be written
	open atomic.Int64 // tables that are being written

	mu     sync.Mutex
	writes map[string][]int // sizes of the writes to each table
}

func (c *counting) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, category)
	if err != nil || category == "pebble-wal" || category == "pebble-manifest" {
		return f, err
	}
	c.open.Add(1)
	return &counted{File: f, name: name, in: c}, nil
}

type counted struct {
	vfs.File

	name string
	in   *counting
}

func (c *counted) Write(b []byte) (int, error) {
	c.in.mu.Lock()
	c.in.writes[c.name] = append(c.in.writes[c.name], len(b))
	c.in.mu.Unlock()
	if c.in.full.Load() {
		return 0, syscall.ENOSPC
	}
	return c.File.Write(b)
}

func (c *counted) Close() error {
	c.in.open.Add(-1)
	return c.File.Close()
}

// vfsError wraps another error, as file systems do.
type vfsError struct{ error }

func (e *vfsError) Unwrap() error { return e.error }

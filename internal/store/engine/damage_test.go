package engine

import (
	"bytes"
	"errors"
	"io"
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

// TestDamagedTableIsRested: Pebble pauses before it retries its own work on a
// damaged table. Time in the bubble advances only while all goroutines wait, so
// work without a pause would never end.
func TestDamagedTableIsRested(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		var met atomic.Int64
		open := func() *Database {
			db, err := Open("db", Options{
				FS: fs, Cache: 1 << 20, Plain: true, Fatal: func(err error) { t.Error(err) }, Damaged: func(string, error) { met.Add(1) },
			}, func(*pebble.Options) {})
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		db := open()
		for range mostLayers - 1 { // tables of the topmost level
			if err := db.Set([]byte("lkey"), []byte("needle"), pebble.Sync); err != nil || db.Flush() != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		spoil(t, fs, "needle")
		db = open()
		for range mostLayers { // enough for a compaction, even if there was one before
			if err := db.Set([]byte("lkey"), []byte("more"), pebble.Sync); err != nil || db.Flush() != nil {
				t.Fatal(err)
			}
		}
		<-time.After(10 * time.Second)
		if n := met.Load(); n == 0 || n > 40 {
			t.Errorf("the damage was met %d times in ten seconds", n)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// spoil changes a byte of each table that contains a text.
func spoil(t *testing.T, fs vfs.FS, text string) {
	t.Helper()
	names, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		name = fs.PathJoin("db", name)
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		f, err := fs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err != nil || f.Close() != nil {
			t.Fatal(err)
		}
		at := bytes.Index(data, []byte(text))
		if at < 0 {
			continue
		}
		data[at] ^= 0x40
		if f, err = fs.Create(name, vfs.WriteCategoryUnspecified); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
	}
}

// TestDamagedBlockCostsLittle: Pebble never sees a block whose checksum is
// wrong. It would try to flip each of its bits, which takes seconds for each
// read.
func TestDamagedBlockCostsLittle(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	var told []string
	open := func() *Database {
		db, err := Open("db", Options{
			FS: fs, Cache: 1 << 20, Plain: true, Fatal: func(err error) { t.Error(err) }, Damaged: func(path string, _ error) { told = append(told, path) },
		}, func(*pebble.Options) {})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	if err := db.Set([]byte("lkey"), []byte("needle"), pebble.Sync); err != nil || db.Flush() != nil || db.Close() != nil {
		t.Fatal(err)
	}
	spoil(t, fs, "needle")
	db = open()
	for range 3 {
		if _, _, err := db.Get([]byte("lkey")); !pebble.IsCorruptionError(err) || !strings.Contains(err.Error(), "its checksum is wrong") {
			t.Errorf("got %v, want that the checksum is wrong, without Pebble's search", err)
		}
	}
	if len(told) == 0 || !strings.HasSuffix(told[0], ".sst") {
		t.Errorf("told of %q", told)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestUnreadablePlaceIsReadSeldom: reading a bad place on the disk takes
// seconds each time. It is not read again for a minute.
func TestUnreadablePlaceIsReadSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		var met atomic.Int64
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind != errorfs.OpFileReadAt || !failing.Load() {
				return nil
			}
			met.Add(1)
			return syscall.EIO
		}))
		d := &disk{FS: fs, dir: "db", pause: retryPause}
		f, err := fs.Create("1.sst", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, 100)); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
		if f, err = d.Open("1.sst"); err != nil {
			t.Fatal(err)
		}
		failing.Store(true)
		b := make([]byte, 10)
		for range 100 {
			if _, err := f.ReadAt(b, 90); !errors.Is(err, syscall.EIO) {
				t.Fatalf("got %v", err)
			}
		}
		if n := met.Load(); n != 1 {
			t.Errorf("the disk was asked %d times", n)
		}
		failing.Store(false)
		<-time.After(failureKept)
		if _, err := f.ReadAt(b, 90); err != nil {
			t.Errorf("it can be read again: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

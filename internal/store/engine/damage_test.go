package engine

import (
	"bytes"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestDamagedTableIsRested: Pebble's own work on a table that is damaged does not begin again without a pause. In the bubble's time, which
// goes on only while everybody waits, it would be met without end.
func TestDamagedTableIsRested(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		var met atomic.Int64
		open := func() *pebble.DB {
			db, err := pebble.Open("db", Pebble(Options{
				FS: fs, Cache: 1 << 20, Plain: true, Fatal: func(err error) { t.Error(err) }, Damaged: func(string, error) { met.Add(1) },
			}))
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		db := open()
		for range 3 { // tables of the topmost level
			if err := db.Set([]byte("lkey"), []byte("needle"), pebble.Sync); err != nil || db.Flush() != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		spoil(t, fs, "needle")
		db = open()
		for range 3 {
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

// spoil changes a byte of each table that holds a text.
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

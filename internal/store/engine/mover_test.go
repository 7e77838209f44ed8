package engine

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/format"
)

// compactions reports each compaction that takes tables of the log out of level
// 0.
func compactions(into chan<- pebble.CompactionInfo) func(*pebble.Options) {
	return func(po *pebble.Options) {
		po.AddEventListener(pebble.EventListener{CompactionEnd: func(info pebble.CompactionInfo) {
			for _, in := range info.Input {
				ofLog := func(t pebble.TableInfo) bool { return t.Smallest.UserKey[0] == format.TableLog }
				if in.Level == 0 && slices.ContainsFunc(in.Tables, ofLog) {
					into <- info
				}
			}
		}})
	}
}

func logKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{format.TableLog}, n) }

// flushEvents writes a table with events, and entries of indexes around the
// log.
func flushEvents(t *testing.T, db *Database, events ...uint64) {
	t.Helper()
	for _, n := range events {
		for _, key := range [][]byte{logKey(n), fmt.Append(nil, "i", n%10), fmt.Append(nil, "m", n%10)} {
			if err := db.Set(key, fmt.Append(nil, "value ", n), pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
}

// logTables counts the log's tables in level 0 and below it.
func logTables(t *testing.T, db *Database) (top, below int) {
	t.Helper()
	levels, err := db.SSTables(pebble.WithKeyRangeFilter([]byte{format.TableLog}, []byte{format.TableLog + 1}))
	if err != nil {
		t.Fatal(err)
	}
	for level, tables := range levels {
		if level == 0 {
			top = len(tables)
		} else {
			below += len(tables)
		}
	}
	return top, below
}

// inMemory returns a new database.
func inMemory(t *testing.T) *Database {
	t.Helper()
	db, err := Open("db", Options{FS: vfs.NewMem(), Cache: 1 << 20, Fatal: func(err error) { t.Error(err) }}, func(*pebble.Options) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// flushed returns the tables of a database after a flush.
func flushed(t *testing.T, db *Database) []pebble.SSTableInfo {
	t.Helper()
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	levels, err := db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(levels...)
}

// TestLogIsMoved: each table of the log leaves level 0 as the file that the
// flush wrote. Nothing writes events a second time.
func TestLogIsMoved(t *testing.T) {
	t.Parallel()
	done := make(chan pebble.CompactionInfo, 100)
	db, err := Open("db", Options{FS: vfs.NewMem(), Cache: 1 << 20, Fatal: func(err error) { t.Error(err) }}, compactions(done))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	t.Cleanup(db.Hurry()) // or the tables wait for compactions that wait
	const flushes = 40    // the indexes are compacted meanwhile
	moved := func() {
		if info := <-done; info.Reason != "move" || info.Err != nil {
			t.Fatalf("a table of the log is not moved: %v", info)
		}
	}
	for n := uint64(1); n <= flushes; n++ {
		flushEvents(t, db, 2*n, 2*n+1)
		moved()
	}
	top, below := logTables(t, db)
	for ; top != 0; top, below = logTables(t, db) {
		moved()
	}
	if below != flushes {
		t.Errorf("%d tables are below level 0, want %d", below, flushes)
	}
}

// TestSmallTablesAreMerged: those of the store's tables that only grow at their
// end, as the log does, share files with others. They do not leave a file for
// each flush.
func TestSmallTablesAreMerged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := inMemory(t)
		defer db.Hurry()()
		const flushes = 10 * mostLayers
		for n := range uint32(flushes) {
			key := func(table byte, n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{table}, n) }
			for _, key := range [][]byte{
				key(format.TableCustomers, n%3), key(format.TableChanges, n), key(format.TableLog, n),
				key(format.TableCounts, n), key(format.TableTimeline, n%3), key(format.TableUsage, n),
			} {
				if err := db.Set(key, []byte("value"), pebble.NoSync); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Flush(); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * grantPause)
			synctest.Wait()
		}
		top, below := logTables(t, db)
		if others := len(flushed(t, db)) - top - below; others > 3*mostLayers {
			t.Errorf("there are %d tables beside those of the log after %d flushes", others, flushes)
		}
	})
}

// TestLeftTablesAreMoved: an opening moves the tables that an earlier process
// left in level 0.
func TestLeftTablesAreMoved(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	o := Options{FS: fs, Cache: 1 << 20, Fatal: func(err error) { t.Error(err) }}
	db, err := Open("db", o, func(*pebble.Options) {})
	if err != nil {
		t.Fatal(err)
	}
	db.disk.mover.stop()
	const flushes = 3
	for n := uint64(1); n <= flushes; n++ {
		flushEvents(t, db, n)
	}
	if top, _ := logTables(t, db); top != flushes {
		t.Fatalf("%d tables are in level 0, want %d", top, flushes)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	moved := make(chan pebble.CompactionInfo, flushes)
	if db, err = Open("db", o, compactions(moved)); err != nil {
		t.Fatal(err)
	}
	for range flushes {
		if info := <-moved; info.Reason != "move" || info.Err != nil {
			t.Errorf("a table of the log is not moved: %v", info)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOverlappingTablesStay: a table that deletes or replaces older events is
// not moved, because that would rewrite all that it lies over. The tables after
// it are moved.
func TestOverlappingTablesStay(t *testing.T) {
	t.Parallel()
	db := inMemory(t)
	db.disk.mover.stop()
	flushEvents(t, db, 10, 11)
	flushEvents(t, db, 20, 21)
	flushEvents(t, db, 11, 30) // over the first and the second
	flushEvents(t, db, 40)
	for range 2 {
		if err := move(t.Context(), db.DB); err != nil {
			t.Fatal(err)
		}
		if top, below := logTables(t, db); top != 3 || below != 1 {
			t.Errorf("%d tables are in level 0 and %d below it, want 3 and 1", top, below)
		}
	}
}

// TestCloseStopsTheMover: a database can be closed at any moment after a flush.
func TestCloseStopsTheMover(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	for n := uint64(1); n <= 10; n++ {
		db, err := Open("db", Options{FS: fs, Cache: 1 << 20, Fatal: func(err error) { t.Error(err) }}, func(*pebble.Options) {})
		if err != nil {
			t.Fatal(err)
		}
		flushEvents(t, db, n)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLogIsCompressedWell: the log's tables are smaller than others with the
// same content, which are compressed fast.
func TestLogIsCompressedWell(t *testing.T) {
	t.Parallel()
	db := inMemory(t)
	for n := range uint32(5000) {
		for _, table := range []byte{format.TableCustomers, format.TableLog, format.TableTimeline} {
			value := fmt.Appendf(nil, `{"price":%d,"title":"Trail running shoe %d","viewport":"%dx%d"}`, n%97, n%1000, n%380, n%700)
			if err := db.Set(binary.BigEndian.AppendUint32([]byte{table}, n), value, pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
	}
	sizes := make(map[byte]uint64)
	for _, table := range flushed(t, db) {
		sizes[table.Smallest.UserKey[0]] += table.Size
	}
	log, before, after := sizes[format.TableLog], sizes[format.TableCustomers], sizes[format.TableTimeline]
	if log == 0 || log > before*9/10 || log > after*9/10 {
		t.Errorf("the log takes %d bytes, others with the same content %d and %d", log, before, after)
	}
}

// TestScratchKeysHaveTables: each key without a meaning is in a table of its
// own. A clean-up needs many tables that come and go, or a large store gets no
// new manifest.
func TestScratchKeysHaveTables(t *testing.T) {
	t.Parallel()
	db := inMemory(t)
	keys := [][]byte{{format.TableCustomers, 1}, {format.TableLog, 1}, {format.TableMeta, 1}, {format.TableTypes, 1}}
	const tables = 3 // of those
	for key := format.ScratchKeys; key <= 0xff; key++ {
		keys = append(keys, []byte{byte(key)})
	}
	for _, key := range keys {
		if err := db.Set(key, nil, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := len(flushed(t, db)), tables+0x100-format.ScratchKeys; got != want {
		t.Errorf("%d tables, want %d", got, want)
	}
}

package engine

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/format"
)

// mover takes each new table of the log out of level 0. Nothing overlaps such a
// table, so Pebble moves the file and reads nothing.
//
// Pebble itself picks the tables of level 0 that lie over others. Those of the
// log do not, so they would stay there. Pebble expects few tables in level 0:
// it arranges all of them again when one of them leaves.
type mover struct {
	wake chan struct{} // there may be a new table
	end  context.CancelFunc
	done sync.WaitGroup
}

// newMover returns a mover that does nothing until it is started.
func newMover() *mover { return &mover{wake: make(chan struct{}, 1), end: func() {}} }

// flushed tells the mover that there is a new table. It does not wait.
func (m *mover) flushed() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// start begins to move tables of db: first those that an earlier process left,
// then those of each flush.
func (m *mover) start(db *pebble.DB) {
	var ctx context.Context
	ctx, m.end = context.WithCancel(context.Background())
	m.flushed()
	m.done.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-m.wake:
			}
			// If this fails, the next flush repeats it. Pebble reports why.
			_ = move(ctx, db)
		}
	})
}

// stop ends the moving. After it, the mover does not use the database.
// REQUIRES: no more compactions begin: see [Database.Compact].
func (m *mover) stop() {
	m.end()
	m.done.Wait()
}

// move takes the log's tables out of level 0, except those that overlap other
// tables. Such a table has records that replace or delete older ones, and
// Pebble would rewrite all that it lies over. Its own compactions do that when
// several such tables lie over each other, and so does a clean-up.
func move(ctx context.Context, db *pebble.DB) error {
	levels, err := db.SSTables(pebble.WithKeyRangeFilter([]byte{format.TableLog}, []byte{format.TableLog + 1}))
	if err != nil || len(levels[0]) == 0 {
		return err
	}
	type table struct {
		first, last []byte
		isNew       bool
	}
	var tables []table
	for level, in := range levels {
		for i := range in {
			tables = append(tables, table{in[i].Smallest.UserKey, in[i].Largest.UserKey, level == 0})
		}
	}
	slices.SortFunc(tables, func(a, b table) int { return bytes.Compare(a.first, b.first) })
	var before []byte // the last key of the tables before
	for i, t := range tables {
		overlaps := bytes.Compare(t.first, before) <= 0 || i+1 < len(tables) && bytes.Compare(tables[i+1].first, t.last) <= 0
		if bytes.Compare(before, t.last) < 0 {
			before = t.last
		}
		if !t.isNew || overlaps {
			continue
		}
		// The end is exclusive.
		if err := db.Compact(ctx, t.first, append(slices.Clone(t.last), 0), false); err != nil {
			return err
		}
	}
	return nil
}

// GetDiskUsage implements [vfs.FS]. It says that no space is free, because
// Pebble lets a compaction grow only as far as the free space allows. A
// compaction must not grow: it would include the new tables of the log, which
// lie between tables that are compacted all the time, and compress each event a
// second time.
func (d *disk) GetDiskUsage(string) (vfs.DiskUsage, error) { return vfs.DiskUsage{}, nil }

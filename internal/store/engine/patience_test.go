package engine

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPatience: a compaction of level 0 waits while nobody looks anything up,
// and no longer.
func TestPatience(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		layers int
		then   func(t *testing.T, db *Database)
		waits  bool
	}{
		"nothing":         {mostLayers + 4, func(*testing.T, *Database) {}, true},
		"a few look-ups":  {mostLayers + 4, lookUp(20), true},
		"many look-ups":   {mostLayers + 4, lookUp(1000), false},
		"idle":            {mostLayers + 4, func(*testing.T, *Database) { <-time.After(idleAfter) }, false},
		"hurry":           {mostLayers + 4, func(_ *testing.T, db *Database) { db.Hurry() }, false},
		"too many layers": {patient, func(*testing.T, *Database) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db, err := Open("db", Options{FS: vfs.NewMem(), Fatal: func(err error) { t.Error(err) }}, func(*pebble.Options) {})
				if err != nil {
					t.Fatal(err)
				}
				rng := rand.NewChaCha8([32]byte{})
				pile := func(layers int) {
					for range layers {
						value := make([]byte, 50_000) // cannot be compressed
						_, _ = rng.Read(value)
						if db.Set([]byte("ta"), value, nil) != nil || db.Set([]byte("tz"), value, nil) != nil || db.Flush() != nil {
							t.Fatal("cannot write a table")
						}
					}
				}
				layers := func() int {
					<-time.After(2 * grantPause)
					synctest.Wait()
					return int(db.Metrics().Levels[0].Sublevels)
				}
				pile(mostLayers)
				if got := layers(); got != 0 {
					t.Errorf("%d layers are left of the first, whose compaction has no known cost", got)
				}
				pile(c.layers)
				c.then(t, db)
				if got := layers(); (got == c.layers) != c.waits {
					t.Errorf("there are %d layers of %d; a compaction waits: %t", got, c.layers, c.waits)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// lookUp looks for a key that is not there.
func lookUp(times int) func(t *testing.T, db *Database) {
	return func(t *testing.T, db *Database) {
		t.Helper()
		for range times {
			if _, _, err := db.Get([]byte("tm")); err != pebble.ErrNotFound { //nolint:errorlint // Pebble does not wrap it
				t.Fatal(err)
			}
		}
	}
}

// TestPatienceGoesOn: once compactions go on, those of other tables of the
// store go on as well. After that, they wait again.
func TestPatienceGoesOn(t *testing.T) {
	t.Parallel()
	p, now := &patience{}, time.Now()
	at := func(full float64, compacting int32, running, asked int64) bool {
		m := &pebble.Metrics{}
		m.Levels[0].Sublevels = int32(full*mostLayers) + compacting
		m.Levels[0].FillFactor, m.Compact.NumInProgress, m.FileCache.Hits = full, running, asked
		p.flushed.Store(now.UnixNano())
		return p.waits(m, now)
	}
	wrote := func(size uint64) {
		p.compacted(pebble.CompactionInfo{
			Input:  []pebble.LevelInfo{{Level: 0}},
			Output: pebble.LevelInfo{Level: 5, Tables: []pebble.TableInfo{{Size: size}}},
		})
	}
	for i, step := range []struct {
		full           float64
		compacting     int32 // layers
		running, asked int64
		wrote          uint64
		waits          bool
	}{
		{full: 1, wrote: 1000 * bytesPerAsk}, // has no known cost
		{full: 1, asked: 10},                 // goes on
		{full: 0.9, asked: 100, waits: true}, // ends: look-ups count from here
		{full: 2, asked: 1000, waits: true},  // 900 of 1000
		{full: 2, asked: 1100, running: 1, waits: true},
		{full: 2, asked: 900, running: 1, compacting: patient, wrote: 1000 * bytesPerAsk}, // too many layers
		{full: 0.9, asked: 100, waits: true},
		{full: 2, asked: 1100, wrote: 10},
		{full: 1, asked: 1100},
		{full: 0.9, asked: 1100, waits: true},
		{full: 1, asked: 1101}, // a cost of almost nothing is soon paid
	} {
		if got := at(step.full, step.compacting, step.running, step.asked); got != step.waits {
			t.Errorf("step %d: waits: %t, want %t", i, got, step.waits)
		}
		wrote(step.wrote)
	}
}

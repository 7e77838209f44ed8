package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// A compaction of level 0 waits as long as there are fewer layers.
	patient = 40
	// An idle database does not wait: readers would ask more layers for
	// nothing. It is idle if no memtable was written for so long.
	idleAfter = 10 * time.Second
	// Asking one table costs as much processor time as writing so many bytes
	// of a table: 0.3 to 2 µs, by whether its blocks are in the cache.
	bytesPerAsk = 100
)

// patience decides which compactions of level 0 wait.
//
// Such a compaction takes in all that the level below has in the same range.
// For timelines that is everything, so each compaction rewrites what the one
// before has written. The longer it waits, the more new entries share that
// cost. But meanwhile each look-up asks each layer. So a compaction waits until
// look-ups since the last one have cost as much as it will. A store that looks
// nothing up, because its cache knows all its customers, gathers many layers.
// One that looks up much gathers as few as Pebble asks for.
type patience struct {
	hurried atomic.Int64 // how many want that nothing waits
	flushed atomic.Int64 // when the last memtable was written, in nanoseconds
	written atomic.Int64 // bytes that compactions of level 0 have written

	// Guarded by [scheduler.granting]:

	// Compactions of level 0 go on until it is less full than this; 0: they
	// wait.
	until float64
	asked int64 // tables asked before they began to wait
	since int64 // bytes written before they last went on
}

// hurry lets no compaction wait until done is called.
func (p *patience) hurry() (done func()) {
	p.hurried.Add(1)
	return sync.OnceFunc(func() { p.hurried.Add(-1) })
}

// compacted notes what a compaction of level 0 has cost.
func (p *patience) compacted(info pebble.CompactionInfo) {
	if len(info.Input) == 0 || info.Input[0].Level != 0 || info.Output.Level == 0 {
		return
	}
	for i := range info.Output.Tables {
		p.written.Add(int64(info.Output.Tables[i].Size))
	}
}

// waits reports whether the next compaction of level 0 has to wait.
func (p *patience) waits(m *pebble.Metrics, now time.Time) bool {
	full := m.Levels[0].FillFactor // 1 at mostLayers, without those that are being compacted
	if p.until > 0 && full >= p.until {
		return false
	}
	if p.until > 0 {
		p.until, p.asked = 0, asked(m)
	}
	idle := now.UnixNano()-p.flushed.Load() > int64(idleAfter)
	// While one runs, nobody knows its cost.
	paid := m.Compact.NumInProgress == 0 && (asked(m)-p.asked)*bytesPerAsk >= p.written.Load()-p.since
	if m.Levels[0].Sublevels < patient && !idle && !paid && p.hurried.Load() == 0 {
		return true
	}
	// Other tables of the store are nearly as deep. They use the occasion.
	p.until, p.since = max(1, full/2), p.written.Load()
	return false
}

// rest notes that no compaction is due.
func (p *patience) rest(metrics func() *pebble.Metrics) {
	if p.until > 0 {
		p.until, p.asked = 0, asked(metrics())
	}
}

// asked returns how many tables were asked by look-ups. Few are asked by
// compactions.
func asked(m *pebble.Metrics) int64 { return m.FileCache.Hits + m.FileCache.Misses }

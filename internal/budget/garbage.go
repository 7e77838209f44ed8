package budget

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// How much garbage may gather before Go's collector runs, in hundredths of
	// the memory in use: on an idle server, at least beside a large heap, and
	// at most.
	idleGarbage  = 25
	leastGarbage = 16
	mostGarbage  = 100

	// usualHeap is how large the heap may become before the collector runs,
	// garbage included, unless the memory in use alone is nearly as much.
	usualHeap = 230 << 20

	// idleHeap is the memory in use below which little garbage may gather,
	// because a server with little to do must be small rather than fast.
	idleHeap = 48 << 20
)

// garbageOf returns how much garbage may gather beside so many bytes in use.
// Each collection looks at all that is in use. So a heap of medium size may
// gather a lot, and is then collected seldom. Most of a large heap is blocks
// and tables, which have no pointers and are quickly looked at, while as much
// garbage as tables costs as much memory as they do.
func garbageOf(inUse uint64) int {
	if inUse < idleHeap {
		return idleGarbage
	}
	free := 100 * (usualHeap - float64(inUse)) / float64(inUse)
	return int(math.Round(min(max(free, leastGarbage), mostGarbage)))
}

// adjuster sets how much garbage may gather, after each collection.
type adjuster struct {
	read [1]metrics.Sample
	set  int // what was set last
}

// adjust sets it now, and again after the next collection.
func (a *adjuster) adjust() {
	metrics.Read(a.read[:])
	if percent := garbageOf(a.read[0].Value.Uint64()); percent != a.set {
		a.set = percent
		debug.SetGCPercent(percent)
	}
	runtime.AddCleanup(new([32]byte), func(a *adjuster) { a.adjust() }, a)
}

func newAdjuster() *adjuster {
	return &adjuster{read: [1]metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
}

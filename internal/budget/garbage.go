package budget

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// leastGarbage is how much garbage may gather at least before Go's
	// collector runs, in hundredths of the memory in use, and mostGarbage is
	// how much at most.
	leastGarbage = 25
	mostGarbage  = 100

	// usualHeap is how large the heap may become before the collector runs,
	// garbage included. With a million customers, a quarter of the memory in
	// use is as much.
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
		return leastGarbage
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

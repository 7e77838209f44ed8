package table

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"trackway/internal/allocs"
)

const ms = 1_000_000 // nanoseconds

var rules = map[string]Rule{
	"fixed":   Fixed(500, 60e3),
	"sliding": Sliding(500, 60e3),
	"gcra":    GCRA(550, 500, 60e3),
}

func TestExactUnderAnyInterleaving(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]Rule{
		"fixed":   Fixed(800_000, 60e3),
		"sliding": Sliding(800_000, 60e3),
		"gcra":    GCRA(900_000, 800_000, 60e3),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The calls run long enough to overlap.
			if got := race(New(100), 8, 200_000, &rule); got != 800_000 {
				t.Errorf("8 goroutines of 200000 calls were admitted %d times, want 800000", got)
			}
		})
	}
}

// race makes calls of one caller in several goroutines and returns how many
// were admitted.
func race(table *Table, goroutines, calls int, rule *Rule) int64 {
	var admitted atomic.Int64
	var wg sync.WaitGroup
	key := table.Key(1, 2, 3, 4)
	for range goroutines {
		wg.Go(func() {
			for range calls {
				if table.Take(1, key, 1, rule).Allowed {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return admitted.Load()
}

// The calls of a caller who has used more than others are counted exactly while
// others overflow the table.
func TestExactInTheMidstOfASpray(t *testing.T) {
	t.Parallel()
	table, rule := New(1), Fixed(500, 60e3)
	key := table.Key(1, 2, 3, 4)
	for range 16 {
		table.Take(1, key, 1, &rule)
	}
	stop := make(chan struct{})
	var spray sync.WaitGroup
	for g := range uint64(2) {
		spray.Go(func() {
			for i := uint64(0); ; i++ {
				select {
				case <-stop:
					return
				default:
					table.Take(1, table.Key(1, 0, g<<32|i, 0), 1, &rule)
				}
			}
		})
	}
	got := race(table, 8, 200, &rule)
	close(stop)
	spray.Wait()
	if got != 500-16 {
		t.Errorf("admitted %d, want %d", got, 500-16)
	}
}

// Two goroutines that meet a new caller at once create one counter.
func TestNewCallersAreCountedOnce(t *testing.T) {
	t.Parallel()
	const callers, goroutines = 100_000, 2
	table, rule := New(4*callers), Fixed(1, 60e3)
	var admitted [callers]atomic.Int32
	var arrived atomic.Int64 // synchronizes the goroutines for each caller
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range admitted {
				arrived.Add(1)
				for arrived.Load() < int64(goroutines*(i+1)) {
					runtime.Gosched()
				}
				if table.Take(1, table.Key(1, 0, uint64(i), 0), 1, &rule).Allowed {
					admitted[i].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range admitted {
		if n := admitted[i].Load(); n != 1 {
			t.Fatalf("caller %d was admitted %d times, want once", i, n)
		}
	}
}

func TestTakeDoesNotAllocate(t *testing.T) {
	table := New(100)
	for name, rule := range rules {
		id := uint64(0)
		if n := allocs.PerRun(2000, func() {
			id++
			table.Take(int64(id)*ms, table.Key(1, 1, 7, 0), 1, &rule)
			table.Take(int64(id)*ms, table.Key(1, 0, id, 0), 1, &rule)
			table.Refund(int64(id)*ms, int64(id)*ms, table.Key(1, 0, id, 0), 1, &rule)
		}); n != 0 {
			t.Errorf("%s: %v allocations a call, want 0", name, n)
		}
	}
}

func TestASetIsOneCacheLine(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(set{}); size != cacheLine {
		t.Errorf("a set has %d bytes, want %d", size, cacheLine)
	}
	table := New(1000)
	if at := uintptr(unsafe.Pointer(&table.stripes[0].sets[0])); at%cacheLine != 0 {
		t.Errorf("the sets begin %d bytes into a cache line", at%cacheLine)
	}
}

func TestBytesPerCaller(t *testing.T) {
	t.Parallel()
	const callers = 1e6
	if per := float64(New(callers).Bytes()) / callers; per > 26.7 {
		t.Errorf("%v bytes a caller, at most 26.7", per)
	}
}

// A table forgets hardly any of the callers that it was made for.
func TestRoomForAll(t *testing.T) {
	t.Parallel()
	const callers = 200_000
	table, rule := New(callers), Fixed(30, 30e3)
	for range 2 {
		for i := range uint64(callers) {
			table.Take(1, table.Key(1, 0, i, 0), 1, &rule)
		}
	}
	forgotten := 0
	for i := range uint64(callers) {
		if res := table.Take(1, table.Key(1, 0, i, 0), 1, &rule); res.Remaining != 27 {
			forgotten++
		}
	}
	if forgotten > callers/1000 {
		t.Errorf("%d of %d callers lost a call, at most one in a thousand should", forgotten, callers)
	}
}

// A spray of addresses, each calling once, cannot make the table forget a
// refused caller. Nor does it forget one who used much while others used less.
func TestSprayForgetsNobodyRefused(t *testing.T) {
	t.Parallel()
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := New(1)
			key := table.Key(1, 2, 3, 4) // the key in race
			race(table, 1, 600, &rule)
			if table.Take(1, key, 1, &rule).Allowed {
				t.Fatal("the caller is not refused")
			}
			for i := range uint64(100_000) {
				table.Take(1, table.Key(1, 0, i, 0), 1, &rule)
			}
			if table.Take(1, key, 1, &rule).Allowed {
				t.Error("a refused caller is free again after a spray")
			}
		})
	}
}

// If all callers that could make room are being refused, a new caller is
// admitted without being counted: it is not their fault.
func TestNobodyElseIsRefused(t *testing.T) {
	t.Parallel()
	table, rule := New(1), Fixed(1, 60e3)
	full := func(i uint64) bool {
		key := table.Key(1, 0, i, 0)
		table.Take(1, key, 1, &rule)
		return table.Take(1, key, 1, &rule).Allowed && table.Untracked() > 0
	}
	for i := uint64(0); !full(i); i++ {
		if i > 10_000 {
			t.Fatalf("%d callers are being refused in a table of %d slots", i, table.Slots())
		}
	}
	if live := len(scan(table, 1, 1)); live > table.Slots() {
		t.Errorf("%d live of %d slots", live, table.Slots())
	}
	later := int64(60e3) * ms
	if key := table.Key(1, 0, 1<<50, 0); !table.Take(later, key, 1, &rule).Allowed || table.Take(later, key, 1, &rule).Allowed {
		t.Error("after the window all make room, and a new caller is counted again")
	}
}

func TestScanSeesEachClass(t *testing.T) {
	t.Parallel()
	table, fixed, slid := New(100), Fixed(5, 10e3), Sliding(5, 10e3)
	table.Prepare(1, &fixed)
	table.Prepare(2, &slid)
	for i := range uint64(10) {
		table.Take(0, table.Key(1, 0, i, 0), 1, &fixed)
		table.Take(0, table.Key(2, 0, i, 0), 2, &slid)
	}
	for _, c := range []struct {
		at          int64
		fixed, slid int
	}{{0, 10, 10}, {9_999, 10, 10}, {10_000, 0, 10}, {19_999, 0, 10}, {20_000, 0, 0}} {
		fixed, slid, none := len(scan(table, c.at*ms, 1)), len(scan(table, c.at*ms, 2)), len(scan(table, c.at*ms, 0))
		if fixed != c.fixed || slid != c.slid || none != 0 {
			t.Errorf("at %d ms: %d fixed and %d sliding, want %d and %d", c.at, fixed, slid, c.fixed, c.slid)
		}
	}
}

func TestRefund(t *testing.T) {
	t.Parallel()
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := New(100)
			key := table.Key(1, 2, 3, 4)
			before := table.Take(0, key, 1, &rule).Remaining
			table.Take(1*ms, key, 1, &rule)
			table.Refund(2*ms, 1*ms, key, 1, &rule)
			if got := table.Take(2*ms, key, 1, &rule).Remaining; got != before-1 {
				t.Errorf("%d remain after a refund, want %d", got, before-1)
			}
			table.Refund(2*ms, 2*ms, table.Key(9, 9, 9, 9), 1, &rule) // nobody's: nothing happens

			later := int64(200e3 * ms) // every window is over, and another call began a new one
			first := table.Take(later, key, 1, &rule).Remaining
			table.Refund(later, 2*ms, key, 1, &rule)
			if got := table.Take(later, key, 1, &rule).Remaining; got != first-1 {
				t.Errorf("a call of a window that is over was given back: %d remain, want %d", got, first-1)
			}
		})
	}
}

// The end of a window wraps around after two years.
func TestTimeWrapsAround(t *testing.T) {
	t.Parallel()
	for name, rule := range rules {
		for _, around := range []int64{1 << timeBits, 3 << timeBits} {
			t.Run(fmt.Sprint(name, around), func(t *testing.T) {
				t.Parallel()
				table, fresh := New(100), New(100)
				table.Prepare(1, &rule)
				fresh.Prepare(1, &rule)
				for i := range int64(1000) {
					near, far := i*100-50_000, int64(50_000+60_000)
					got := table.Take((around+near)*ms, table.Key(1, 0, 1, 0), 1, &rule)
					want := fresh.Take((far+near)*ms, fresh.Key(1, 0, 1, 0), 1, &rule)
					if got != want {
						t.Fatalf("call %d: got %+v, want %+v", i, got, want)
					}
				}
			})
		}
	}
}

// A counter last used long ago is not mistaken for a running one.
func TestLongAgo(t *testing.T) {
	t.Parallel()
	for name, rule := range rules {
		table := New(100)
		key := table.Key(1, 2, 3, 4)
		first := table.Take(0, key, 1, &rule).Remaining
		for _, days := range []int64{1, 30, 365, 700} {
			if got := table.Take(days*24*3600e3*ms, key, 1, &rule).Remaining; got != first {
				t.Errorf("%s: after %d days %d remain, want %d", name, days, got, first)
			}
		}
	}
}

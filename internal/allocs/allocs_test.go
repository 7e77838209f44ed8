package allocs

import (
	"testing"
)

var sink []byte

// TestPerRun: allocations of the function are counted. Those of other
// goroutines are not, unless they happen in each round.
func TestPerRun(t *testing.T) { // not parallel: it counts allocations
	if n := PerRun(10, func() { sink = make([]byte, 64) }); n != 1 {
		t.Errorf("a function that allocates once: got %v", n)
	}
	calls := 0
	foreign := func() { // allocates in the first round only
		if calls++; calls <= 11 {
			sink = make([]byte, 64)
		}
	}
	if n := PerRun(10, foreign); n != 0 || calls != 22 {
		t.Errorf("a function beside which others allocate: got %v after %d calls, want 0 after 22", n, calls)
	}
}

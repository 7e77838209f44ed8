// Package allocs counts allocations in tests. [testing.AllocsPerRun] counts
// those of the whole process. So a goroutine that an earlier test or a library
// left in the background can fail a test that allocates nothing itself.
package allocs

import "testing"

// rounds is how often a function is measured at most.
const rounds = 5

// PerRun returns the average number of allocations in a call of f, as
// [testing.AllocsPerRun] does. It measures up to five times and returns the
// least: f allocates that much each time, and what is above it comes from other
// goroutines. The calling test must not be parallel. Cost: at most 5 × (runs +
// 1) calls of f.
func PerRun(runs int, f func()) float64 {
	least := testing.AllocsPerRun(runs, f)
	for range rounds - 1 {
		if least == 0 {
			break
		}
		least = min(least, testing.AllocsPerRun(runs, f))
	}
	return least
}

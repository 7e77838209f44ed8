package store

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"trackway"
	"trackway/internal/query"
)

// longestWait takes the store's lock repeatedly while do runs, as a writer
// would, and returns the longest wait.
func longestWait(s *Store, do func()) (longest time.Duration) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			start := time.Now()
			s.mu.Lock()
			took := time.Since(start)
			s.mu.Unlock()
			longest = max(longest, took)
			time.Sleep(100 * time.Microsecond) //nolint:forbidigo // the pace of a writer; nothing is waited for
		}
	})
	do()
	close(stop)
	wg.Wait()
	return longest
}

// heldEvents is the number of events of the one customer in the benchmarks of
// how long the lock is held.
const heldEvents = 50_000

func storeHeldEvents(b *testing.B, s *Store, id trackway.Identifier) {
	b.Helper()
	for i := 0; i < heldEvents; i += 1000 {
		var cmds []trackway.Command
		for n := i; n < i+1000; n++ {
			email := map[string]string{"email": fmt.Sprintf(`"%d@example.com"`, n), "page": `"/a/page"`}
			cmds = append(cmds, event("visit", trackway.Micros(n+1), email, id))
		}
		mustApply(b, s, cmds...)
	}
}

// BenchmarkEraseHold measures a writer's longest wait while a customer of 50
// 000 events is erased.
func BenchmarkEraseHold(b *testing.B) {
	s := benchOpen(b)
	var longest time.Duration
	for i := range b.N {
		b.StopTimer()
		id := identifierOf("registered", fmt.Sprint("jane", i))
		storeHeldEvents(b, s, id)
		c := mustFind(b, s, id)
		b.StartTimer()
		longest = max(longest, longestWait(s, func() {
			if _, err := s.Erase(demo, c, []string{"email"}, 1); err != nil {
				b.Error(err)
			}
		}))
	}
	b.ReportMetric(float64(longest.Microseconds())/1000, "ms-longest-wait")
}

// BenchmarkExpireHold measures a writer's longest wait while 50 000 events are
// removed.
func BenchmarkExpireHold(b *testing.B) {
	s := benchOpen(b)
	var longest time.Duration
	for range b.N {
		b.StopTimer()
		from := s.nextSeq
		storeHeldEvents(b, s, reg1)
		b.StartTimer()
		longest = max(longest, longestWait(s, func() {
			all := func(uint32, string) trackway.Micros { return query.Never }
			if x, err := s.Expire(b.Context(), from, s.nextSeq, all); err != nil || x.Removed != heldEvents {
				b.Error(x, err)
			}
		}))
	}
	b.ReportMetric(float64(longest.Microseconds())/1000, "ms-longest-wait")
}

// BenchmarkMergeHold measures the cost of a request of 10 commands, each of
// which merges 17 customers of 1000 events, and a writer's longest wait
// meanwhile.
func BenchmarkMergeHold(b *testing.B) {
	const merges, customers, each = 10, 17, 1000
	s := benchOpen(b)
	var longest time.Duration
	for n := range b.N {
		b.StopTimer()
		var request []trackway.Command
		for m := range merges {
			var all []trackway.Identifier
			for c := range customers {
				id := identifierOf("cookie", fmt.Sprint(n, "-", m, "-", c))
				cmds := make([]trackway.Command, each)
				for i := range cmds {
					cmds[i] = event("visit", trackway.Micros(i+1), map[string]string{"page": strconv.Itoa(c)}, id)
				}
				mustApply(b, s, cmds...)
				all = append(all, id)
			}
			request = append(request, update(5000, nil, all...))
		}
		b.StartTimer()
		longest = max(longest, longestWait(s, func() { mustApply(b, s, request...) }))
	}
	b.ReportMetric(float64(longest.Microseconds())/1000, "ms-longest-wait")
}

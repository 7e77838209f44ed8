package store

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"trackway"
	"trackway/internal/entry"
)

// processorTime returns the processor time of this thread, which other work on
// the machine does not affect.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkLock measures the processor time for which an event holds the
// store's lock, in groups of requests as on a busy server. A second divided by
// it is the maximum number of events that one store accepts in a second,
// whatever the number of processors. With late=1, every other event is older
// than its customer's last.
func BenchmarkLock(b *testing.B) {
	for _, shape := range []struct{ requests, commands, late int }{{1, 1, 0}, {64, 1, 0}, {1, trackway.MaxCommands, 0}, {8, trackway.MaxCommands, 0}, {8, trackway.MaxCommands, 1}} {
		b.Run(fmt.Sprintf("requests=%d/commands=%d/late=%d", shape.requests, shape.commands, shape.late), func(b *testing.B) {
			s := benchOpen(b)
			const customers = 10_000
			ids := make([]trackway.Identifier, customers)
			for i := range ids {
				ids[i] = identifierOf("cookie", fmt.Sprintf("c0000000-0000-0000-0000-%012d", i))
				mustCommit(b, s, benchEvent(0, ids[i]))
			}
			e := entry.Commands{Requests: make([]entry.Request, shape.requests)}
			for i := range e.Requests {
				r := &e.Requests[i]
				r.Commands, r.Results = make([]trackway.Command, shape.commands), make([]trackway.Result, shape.commands)
				for j := range r.Commands {
					r.Commands[j] = benchEvent(0, ids[0])
				}
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			n := 0
			var used time.Duration
			for b.Loop() {
				for i := range e.Requests {
					for j := range e.Requests[i].Commands {
						c := &e.Requests[i].Commands[j]
						n++
						c.IDs[0], c.Time = ids[n*7919%customers], trackway.Micros(1_700_000_000_000_000+n-shape.late*(n%2)*3*customers)
					}
				}
				begin := processorTime(b)
				if err := s.machine.Apply(s.Applied()+1, &e); err != nil {
					b.Fatal(err)
				}
				used += processorTime(b) - begin
			}
			b.ReportMetric(float64(used.Nanoseconds())/float64(n), "cpu-ns/event")
		})
	}
}

// BenchmarkPartitions commits batches to one store, and to two stores at once,
// each with its own lock.
func BenchmarkPartitions(b *testing.B) {
	for _, stores := range []int{1, 2} {
		b.Run(fmt.Sprintf("stores=%d", stores), func(b *testing.B) {
			var all sync.WaitGroup
			opened := make([]*Store, stores)
			ids := make([][]trackway.Identifier, stores)
			for i := range opened {
				opened[i] = benchOpen(b)
				ids[i] = known(b, opened[i])
			}
			b.ResetTimer()
			for i, s := range opened {
				all.Go(func() {
					cmds, results := make([]trackway.Command, trackway.MaxCommands), make([]trackway.Result, trackway.MaxCommands)
					for j := range cmds {
						cmds[j] = benchEvent(j, ids[i][j])
					}
					for range b.N {
						for j := range cmds {
							cmds[j].Time += trackway.MaxCommands
						}
						if err := commit(s, cmds, results); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N*stores*trackway.MaxCommands)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"
)

// ready is the report of a limiter's process once it knows all callers of a
// column.
type ready struct {
	BytesPerCaller float64       // of the heap, including callers' keys that the limiter keeps
	Collector      time.Duration // processor time of one garbage collection, median of three
}

// order asks for a measurement, and answer is its result.
type order struct {
	Workers int
	Length  time.Duration
}

type answer struct {
	Nanos  float64 // processor time per call; for several workers, wall time per call
	Allocs float64 // per call
}

// process is a limiter's process, seen from the measuring one.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	send  *json.Encoder
	recv  *json.Decoder
	ready ready
}

func start(contestant, col string) *process {
	cmd := childCommand(contestant, col)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(err)
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	p := &process{cmd: cmd, in: in, send: json.NewEncoder(in), recv: json.NewDecoder(out)}
	must(p.recv.Decode(&p.ready))
	return p
}

func (p *process) run(workers int, length time.Duration) (a answer) {
	must(p.send.Encode(order{workers, length}))
	must(p.recv.Decode(&a))
	return a
}

func (p *process) stop() {
	must(p.in.Close())
	must(p.cmd.Wait())
}

// serve is the process of a limiter: it meets all callers, reports their cost,
// and measures on request.
func serve(c contestant, col column) {
	before := heap()
	l := c.open(col)
	if col.draw != nil {
		l.meet(col.callers)
	}
	is := ready{BytesPerCaller: float64(heap()-before) / float64(col.callers), Collector: collection()}
	calls := newCalls(col)
	l.prepare(col, calls)
	debug.FreeOSMemory() // the other limiters' processes need the memory
	out, in := json.NewEncoder(os.Stdout), json.NewDecoder(os.Stdin)
	must(out.Encode(is))
	for {
		debug.SetGCPercent(-1) // while others are measured
		var o order
		if in.Decode(&o) != nil {
			return
		}
		debug.SetGCPercent(100)
		must(out.Encode(measure(l, calls, o)))
	}
}

// heap returns the live bytes.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// collection returns the processor time of one cycle of the collector.
func collection() time.Duration {
	var all []time.Duration
	for range 3 {
		before := processorTime()
		runtime.GC()
		all = append(all, processorTime()-before)
	}
	slices.Sort(all)
	return all[1]
}

// processorTime returns the time that this process has used according to the
// system. The runtime's own metric of the collector includes the time in which
// its workers had to wait.
func processorTime() time.Duration {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure makes calls for the length of time, with one core per worker.
func measure(l *limiter, calls *calls, o order) answer {
	runtime.GOMAXPROCS(max(o.Workers, 1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	done := make([]int, o.Workers)
	began, used := time.Now(), processorTime()
	for w := range o.Workers {
		wg.Go(func() { done[w] = work(l, calls, w, began.Add(o.Length)) })
	}
	wg.Wait()
	took := time.Since(began)
	if o.Workers == 1 {
		took = processorTime() - used // excludes other processes on the machine
	}
	runtime.ReadMemStats(&after)
	n := 0
	for _, d := range done {
		n += d
	}
	return answer{Nanos: float64(took.Nanoseconds()) / float64(n), Allocs: float64(after.Mallocs-before.Mallocs) / float64(n)}
}

// work makes calls until end, and returns their number. Workers start at
// different positions of the sequence.
func work(l *limiter, calls *calls, worker int, end time.Time) int {
	take := l.worker()
	const lap = 1 << 12
	at := calls.next(worker)
	for n := lap; ; n += lap {
		for range lap {
			take(at & calls.mask)
			at++
		}
		if !time.Now().Before(end) {
			calls.keep(worker, at)
			return n
		}
	}
}

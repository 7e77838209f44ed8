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

// ready is what a limiter's process tells once it knows all callers of a column.
type ready struct {
	BytesPerCaller float64       // of the heap, the callers' keys included where the limiter keeps them
	Collector      time.Duration // processor time of one garbage collection, median of three
}

// order asks for a measurement, and answer is its result.
type order struct {
	Workers int
	Length  time.Duration
}

type answer struct {
	Nanos  float64 // processor time over calls; of several workers wall time over all their calls
	Allocs float64 // a call
}

// process is a limiter's process, seen from the one that measures.
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

// serve is the process of a limiter: it meets all callers, tells what they cost, and measures when it is asked to.
func serve(c contestant, col column) {
	before := heap()
	l := c.open(col)
	if col.draw != nil {
		l.meet(col.callers)
	}
	is := ready{BytesPerCaller: float64(heap()-before) / float64(col.callers), Collector: collection()}
	calls := newCalls(col)
	l.prepare(col, calls)
	debug.FreeOSMemory() // memory is shared with the other limiters' processes
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

// heap returns the bytes that live.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// collection returns the processor time that one cycle of the collector takes.
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

// processorTime is what the system says that this process has used. The runtime's own metric of the collector counts the
// time in which its workers were not let run, too.
func processorTime() time.Duration {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure makes calls for the length of time, on as many cores as there are workers.
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
		took = processorTime() - used // so that others on the machine do not count
	}
	runtime.ReadMemStats(&after)
	n := 0
	for _, d := range done {
		n += d
	}
	return answer{Nanos: float64(took.Nanoseconds()) / float64(n), Allocs: float64(after.Mallocs-before.Mallocs) / float64(n)}
}

// work makes calls until end, and returns how many. Workers start at different places of the sequence.
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

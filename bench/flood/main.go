// Command flood measures, on the real binary, what refusing costs against accepting, and what a hundred well-behaved callers
// feel while one address floods the server. It prints Markdown.
//
//	go run ./flood                          # builds the server beside this module
//	go run ./flood -binary ../bin/trackway -rounds 3 -time 3s
//	go run ./flood -profile refused.pprof   # where the server's time goes while it refuses
//
// Callers are told apart by X-Forwarded-For, which the server believes from this host. The flooder is a process of its own:
// over its limit, closed-loop, on several connections. The others are open-loop: each sends at its own times, whatever
// became of the call before. All share the processors with the server; the machine's idle share is printed too.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"time"

	"trackway/bench/running"
)

func main() {
	log.SetFlags(0)
	role := flag.String("flooder", "", "internal: be the flooder that this describes")
	binary := flag.String("binary", "", "the server; without it, it is built")
	rounds := flag.Int("rounds", 5, "rounds; medians are printed")
	length := flag.Duration("time", 5*time.Second, "length of one measurement, at most 20s")
	conns := flag.Int("conns", 64, "connections, where the cost of a call is measured")
	floodConns := flag.Int("flood-conns", 8, "connections of the flooder, where others are there")
	calls := flag.String("calls", "event", "what the others send: event or time")
	others := flag.Int("others", 100, "well-behaved callers")
	each := flag.Float64("rate", 5, "calls a second of each of them")
	profile := flag.String("profile", "", "write a CPU profile of the server while it refuses to this file")
	flag.Parse()
	if *role != "" {
		beFlooder(*role)
		return
	}
	runtime.LockOSThread() // the server dies with the thread that started it
	dir, err := os.MkdirTemp("", "trackway-flood-")
	must(err)
	defer os.RemoveAll(dir)
	if *binary == "" {
		*binary = running.Build(dir)
	}
	b := &bench{
		server: running.Start(*binary, dir, 6000), rounds: *rounds, length: min(*length, 20*time.Second),
		conns: *conns, others: *others, each: *each, calls: *calls,
	}
	defer b.server.Stop()
	fmt.Printf("%s, %s/%s, GOMAXPROCS %d, %s, medians of %d rounds of %v\n\n",
		time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version(), b.rounds, b.length)
	if b.conns > 0 {
		b.cost()
	}
	if *profile != "" {
		b.profile(*profile)
	}
	b.conns = *floodConns
	b.flood()
}

// bench is one run.
type bench struct {
	server        *running.Server
	rounds, conns int
	others        int
	each          float64 // calls a second
	calls         string
	length        time.Duration
	flooders      int // addresses that have flooded: each flood comes from a fresh one
}

// cost prints the processor time of the server for a refused call and an accepted one, in turn, at the rate at which the
// server refuses: a call is dearer where processors go to sleep between calls.
func (b *bench) cost() {
	fmt.Println("| call | accepted, µs of server CPU | refused | refused ÷ accepted | accepted/s | refused/s |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	for _, kind := range []string{"event", "time"} {
		var accepted, refused, ratios, fast, faster []float64
		for range b.rounds {
			r := b.load(kind, true, 0)
			a := b.load(kind, false, r.rate)
			accepted, refused, ratios = append(accepted, a.cpu), append(refused, r.cpu), append(ratios, r.cpu/a.cpu)
			fast, faster = append(fast, a.rate), append(faster, r.rate)
		}
		fmt.Printf("| %s | %.1f | %.1f | %.2f | %.0f | %.0f |\n", titles[kind],
			median(accepted), median(refused), median(ratios), median(fast), median(faster))
	}
	fmt.Println()
}

var titles = map[string]string{"event": "`POST customers/events`, 513 bytes, durable", "time": "`GET system/time`"}

// loaded is what a load made of the server.
type loaded struct{ cpu, rate float64 } // µs a call, calls a second

// load runs the flooder alone, either from one address over its limit or from ever other ones. A rate of 0 is as fast as
// answers come.
func (b *bench) load(kind string, refused bool, rate float64) loaded {
	f := b.flooder(kind, rate)
	f.Spread = !refused
	p := b.start(f)
	before := b.server.ProcessorTime()
	time.Sleep(b.length)
	used := b.server.ProcessorTime() - before
	res := p.stop()
	if refused && res.Accepted > 0 {
		log.Fatalf("%d calls were accepted that should have been refused", res.Accepted)
	}
	if !refused && res.Refused > 0 {
		log.Fatalf("%d calls were refused that should have been accepted", res.Refused)
	}
	calls := float64(res.Accepted + res.Refused)
	// The flooder counted from its first counted call to its last; the server's time was taken within.
	reached := calls / res.Seconds
	return loaded{cpu: used.Seconds() * 1e6 / (reached * b.length.Seconds()), rate: reached}
}

func (b *bench) flooder(kind string, rate float64) flooder {
	b.flooders++
	return flooder{
		Server: b.server.Public, Kind: kind, Address: fmt.Sprintf("203.0.113.%d", b.flooders%256), Conns: b.conns, Rate: rate, Most: 4 * b.length,
	}
}

// profile saves a CPU profile of the server while it refuses.
func (b *bench) profile(file string) {
	p := b.start(b.flooder("event", 0))
	b.server.Profile(file, b.length)
	p.stop()
}

// flood prints the latency of well-behaved callers: without a flood, with one that leaves a quarter of the processors, and
// with one as fast as it can be.
func (b *bench) flood() {
	probe := b.start(b.flooder("event", 0))
	time.Sleep(b.length)
	full := probe.stop()
	fmt.Printf("%d callers, each %.0f times a second %s; the flood on %d connections:\n\n", b.others, b.each, titles[b.calls], b.conns)
	fmt.Println("| flood | refused/s | machine idle | p50 | p99 | p99 ÷ quiet p99 |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	kinds := []string{"none", "paced, to leave a quarter of the cores", "as fast as it can"}
	type sums struct{ refused, idle, p50, p99, ratio []float64 }
	all := make([]sums, len(kinds))
	for range b.rounds {
		quiet := 0.0
		for i, rate := range []float64{-1, 0.6 * full.rate(), 0} {
			var p *flooding
			if rate >= 0 {
				p = b.start(b.flooder("event", rate))
			}
			idle := startIdle()
			times := behave(b.server.Public, b.calls, b.others, b.each, b.length)
			s := &all[i]
			s.idle = append(s.idle, idle.share())
			if p != nil {
				s.refused = append(s.refused, p.stop().rate())
			}
			p50, p99 := times[len(times)/2].Seconds()*1e3, times[len(times)*99/100].Seconds()*1e3
			if rate < 0 {
				quiet = p99
			}
			s.p50, s.p99, s.ratio = append(s.p50, p50), append(s.p99, p99), append(s.ratio, p99/quiet)
		}
	}
	for i, s := range all {
		fmt.Printf("| %s | %.0f | %.0f %% | %.2f ms | %.2f ms | %.2f |\n",
			kinds[i], median(s.refused), 100*median(s.idle), median(s.p50), median(s.p99), median(s.ratio))
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Command server measures what a durable acknowledgement costs: the whole tracking server against a bare net/http handler
// that reads the body and answers, in turn, on the same machine, in one run. It prints the rates and their ratios.
//
//	go run ./server                     # 64 connections: single events, and batches of 50
//	go run ./server -fsync 2ms -conns 512
//	go run ./server -against OLD        # two real binaries in turn; -binary: the new one
//
// Each server runs in a process of its own, with a fresh data directory; this one is the client. The client is closed-loop
// and does as little as it can (requests are made beforehand, answers are read by their length), because it shares the
// processors with the server.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"trackway/bench/running"
)

func main() {
	log.SetFlags(0)
	var (
		role   = flag.String("serve", "", "internal: be the server named bare or trackway")
		conns  = flag.Int("conns", 64, "connections")
		rounds = flag.Int("rounds", 5, "rounds; medians are printed")
		length = flag.Duration("time", 4*time.Second, "length of one measurement")
		fsync  = flag.Duration("fsync", 0, "lengthen each fsync by this much")
		known  = flag.Int("customers", 100_000, "customers that the events are spread over")
		only   = flag.String("only", "", "measure only this: single or batch")
	)
	against := flag.String("against", "", "compare real binaries: the old one")
	binary := flag.String("binary", "", "with -against: the new one; without it, it is built")
	flag.Parse()
	if *role != "" {
		must(serve(*role, *fsync))
		return
	}
	if *against != "" {
		comparePair(*binary, *against, *only, *known, *conns, *rounds, *length)
		return
	}
	for _, w := range []workload{single(*known), batches(*known)} {
		if *only == "" || *only == w.name {
			compare(w, *conns, *rounds, *length, *fsync)
		}
	}
}

func comparePair(fresh, old, only string, known, conns, rounds int, length time.Duration) {
	dir, err := os.MkdirTemp("", "trackway-bench-")
	must(err)
	defer os.RemoveAll(dir)
	if fresh == "" {
		fresh = running.Build(dir)
	}
	for _, kind := range []string{"single", "batch"} {
		if only == "" || only == kind {
			pair(fresh, old, kind, known, conns, rounds, length)
		}
	}
}

// compare measures both servers in turn and prints the medians.
func compare(w workload, conns, rounds int, length, fsync time.Duration) {
	var bare, track, ratios []float64
	for range rounds {
		b := measure("bare", w, conns, length, 0)
		t := measure("trackway", w, conns, length, fsync)
		bare, track, ratios = append(bare, b.rate), append(track, t.rate), append(ratios, t.rate/b.rate)
		fmt.Printf("  %-7s bare %9.0f/s p50 %8v p99 %8v cpu %5.1f (sys %.1f) µs | trackway %9.0f/s p50 %8v p99 %8v cpu %5.1f (sys %.1f) µs rss %3d MB | ratio %.2f\n",
			w.name, b.rate, b.p50, b.p99, b.cpu, b.sys, t.rate, t.p50, t.p99, t.cpu, t.sys, t.rss>>20, t.rate/b.rate)
	}
	fmt.Printf("%s, %d connections: bare %.0f requests/s, trackway %.0f requests/s = %.0f events/s durable, ratio %.2f (medians of %d)\n",
		w.name, conns, median(bare), median(track), median(track)*float64(w.events), median(ratios), rounds)
	if fsync > 0 {
		fmt.Printf("  with each fsync lengthened by %v: events/s × fsync / connections = %.2f\n",
			fsync, median(track)*fsync.Seconds()/float64(conns))
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// measure starts one server, loads it, and stops it.
func measure(role string, w workload, conns int, length, fsync time.Duration) result {
	cmd := exec.Command(os.Args[0], "-serve", role, "-fsync", fsync.String())
	stdin, err := cmd.StdinPipe() // the server ends when it closes
	must(err)
	out, err := cmd.StdoutPipe()
	must(err)
	cmd.Stderr = os.Stderr
	must(cmd.Start())
	lines := bufio.NewReader(out)
	addr, err := lines.ReadString('\n')
	must(err)
	res := load(strings.TrimSpace(addr), w, conns, length)
	must(stdin.Close())
	_, _ = io.Copy(io.Discard, lines)
	_ = cmd.Wait()
	usage := cmd.ProcessState
	res.cpu = float64((usage.UserTime() + usage.SystemTime()).Microseconds()) / float64(res.requests)
	res.sys = float64(usage.SystemTime().Microseconds()) / float64(res.requests)
	res.rss = maxRSS(usage)
	return res
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

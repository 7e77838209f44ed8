// Command limit measures the cost of counting one call. It compares Trackway's
// limiter with the best-known Go limiters, side by side in one run, and prints
// a Markdown table.
//
//	go run ./limit                      # every column; 10 M callers need about 8 GB
//	go run ./limit -columns hot,refused -rounds 3 -slice 50ms
//
// Each limiter runs in a process of its own, so that no collector marks
// another's heap. The limiters take turns, a slice of time each, for several
// rounds: first on one core (processor time), then on two (wall time). The
// table shows the medians of the rounds. Compare only figures of one run.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"trackway/bench/rounds"
)

func main() {
	log.SetFlags(0)
	child := flag.String("child", "", "internal: be the process of this limiter")
	names := flag.String("columns", "", "measure only these, separated by commas: hot, refused, 1M-uniform, 1M-zipf, 10M-uniform")
	only := flag.String("only", "", "measure only the limiters whose names contain this")
	rounds := flag.Int("rounds", 9, "rounds; medians are printed")
	slice := flag.Duration("slice", 200*time.Millisecond, "how long a limiter is measured at a time")
	flag.Parse()
	if *child != "" {
		serve(contestantNamed(*child), columnNamed(*names))
		return
	}
	report := newReport(*rounds, *slice)
	for _, c := range columns {
		if *names == "" || slices.Contains(strings.Split(*names, ","), c.name) {
			report.measure(c, *only)
		}
	}
	report.print()
}

// report holds the measurements, by limiter and column.
type report struct {
	rounds   int
	slice    time.Duration
	measured []column
	cells    map[string]map[string]*cell
}

// cell holds those of one limiter in one column.
type cell struct {
	ready            ready
	serial, parallel []float64 // ns per call, one for each round
	allocs           float64   // per call
}

func newReport(rounds int, slice time.Duration) *report {
	return &report{rounds: rounds, slice: slice, cells: make(map[string]map[string]*cell)}
}

// measure runs one column: a process for each limiter, then slices in turn.
// Each round starts with another limiter.
func (r *report) measure(col column, only string) {
	var procs []*process
	var cells []*cell
	for _, c := range contestants {
		if !strings.Contains(c.name, only) || (c.slow && col.callers > 1e6) {
			continue
		}
		p := start(c.name, col.name)
		procs = append(procs, p)
		cells = append(cells, r.cell(c.name, col.name, p.ready))
		fmt.Fprintf(os.Stderr, "%s: %s is ready\n", col.name, c.name)
	}
	for round := range r.rounds {
		for i := range procs {
			at := (i + round) % len(procs)
			a := procs[at].run(1, r.slice)
			cells[at].serial = append(cells[at].serial, a.Nanos)
			cells[at].allocs = a.Allocs
			cells[at].parallel = append(cells[at].parallel, procs[at].run(2, r.slice).Nanos)
		}
	}
	for _, p := range procs {
		p.stop()
	}
	r.measured = append(r.measured, col)
}

func (r *report) cell(contestant, col string, is ready) *cell {
	if r.cells[contestant] == nil {
		r.cells[contestant] = make(map[string]*cell)
	}
	c := &cell{ready: is}
	r.cells[contestant][col] = c
	return c
}

// print writes the Markdown table: ns per call on one core / on two, then the
// cost of keeping the callers.
func (r *report) print() {
	fmt.Printf("%s, %s/%s, GOMAXPROCS %d, %s, medians of %d rounds of %v\n\n",
		time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version(), r.rounds, r.slice)
	head, rule := "| ns a call, one core / two |", "| --- |"
	for _, c := range r.measured {
		head, rule = head+" "+c.title+" |", rule+" --- |"
	}
	fmt.Println(head + " allocations a call | bytes a caller at 1 M (10 M) | collector CPU a cycle at 1 M (10 M) |")
	fmt.Println(rule + " --- | --- | --- |")
	for _, c := range contestants {
		if cells := r.cells[c.name]; cells != nil {
			r.printRow(c.name, cells)
		}
	}
}

func (r *report) printRow(name string, cells map[string]*cell) {
	row := "| " + name + " |"
	allocs := 0.0
	for _, c := range r.measured {
		v := cells[c.name]
		if v == nil {
			row += " – |"
			continue
		}
		allocs = max(allocs, v.allocs)
		row += fmt.Sprintf(" %.0f / %.0f |", rounds.Median(v.serial), rounds.Median(v.parallel))
	}
	bytes, collector := "–", "–"
	if v := cells["1M-uniform"]; v != nil {
		bytes, collector = fmt.Sprintf("%.0f", v.ready.BytesPerCaller), short(v.ready.Collector)
	}
	if v := cells["10M-uniform"]; v != nil {
		bytes += fmt.Sprintf(" (%.0f)", v.ready.BytesPerCaller)
		collector += " (" + short(v.ready.Collector) + ")"
	}
	fmt.Printf("%s %.1f | %s | %s |\n", row, allocs, bytes, collector)
}

// short rounds to about three digits.
func short(d time.Duration) string {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d > 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// childCommand returns the command that runs this program as the process of a
// limiter.
func childCommand(contestant, col string) *exec.Cmd {
	return exec.Command(os.Args[0], "-child", contestant, "-columns", col)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

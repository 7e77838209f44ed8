// Package rounds measures servers in turn, in several rounds, with the same
// client and the same requests. The speed of a machine drifts; the ratios
// within a round do not.
package rounds

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"trackway/bench/client"
	"trackway/bench/running"
)

// Subject is a server that is measured.
type Subject struct {
	Name  string
	Start func(dir string) *running.Server // with its data in dir, which is empty
}

// Flags is how to measure.
type Flags struct {
	conns, customers, rounds int
	length                   time.Duration
	only, profile            string
	Together                 bool // load all servers at the same time
}

// NewFlags defines the flags of the command line.
func NewFlags() *Flags {
	var f Flags
	flag.IntVar(&f.conns, "conns", 64, "connections")
	flag.IntVar(&f.rounds, "rounds", 5, "rounds; medians are printed")
	flag.DurationVar(&f.length, "time", 4*time.Second, "length of one measurement")
	flag.IntVar(&f.customers, "customers", 10_000, "customers that the events are spread over")
	flag.StringVar(&f.only, "only", "", "measure only this: single or batch")
	flag.StringVar(&f.profile, "profile", "", "save CPU profiles of the servers in this `folder`")
	flag.BoolVar(&f.Together, "together", false, "load all servers at the same time instead of in turn: better for processor time on a busy machine")
	flag.Float64Var(&running.Cores, "cores", 0, "give each server so many processors, as if it had a machine of its own (needs root)")
	flag.DurationVar(&running.FsyncDelay, "fsync", 0, "lengthen each fsync of the servers by this much (needs strace)")
	return &f
}

// figures holds the results of a subject in each round.
type figures struct{ rate, cpu, p50, p99, memory, client []float64 }

// Compare measures the subjects and prints a table in Markdown for single
// events and one for batches of 50. It compares all subjects with the first
// one. Processor time does not include the start of a server.
func (f *Flags) Compare(subjects []Subject) {
	runtime.LockOSThread() // the servers end with the thread that started them
	fmt.Printf("%s, %s/%s, %d processors, %s; medians of %d rounds of %v, %d customers, an fsync longer by %v\n",
		time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), f.rounds, f.length, f.customers, running.FsyncDelay)
	if f.only == "" || f.only == "single" {
		f.table(subjects, "single events", 1)
	}
	if f.only == "" || f.only == "batch" {
		f.table(subjects, "batches of 50", 50)
	}
}

func (f *Flags) table(subjects []Subject, title string, size int) {
	all := make([]figures, len(subjects))
	for round := range f.rounds {
		var loads sync.WaitGroup
		for i := range subjects {
			at := (i + round) % len(subjects) // each is first as often as the others
			load := f.start(subjects[at], fmt.Sprint(at, "-", size), requests(size), &all[at])
			if f.Together {
				loads.Go(load)
			} else {
				load()
			}
		}
		loads.Wait()
	}
	first := all[0]
	fmt.Printf("\n| %s, %d connections | events/s | %s ÷ it | µs of processor time an event | it ÷ %s | p50 ms | p99 ms | memory MB | client, µs an event |\n"+
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n", title, f.conns, subjects[0].Name, subjects[0].Name)
	for i, v := range all {
		fmt.Printf("| %s | %.0f | %s | %.1f | %s | %.2f | %.1f | %.0f | %.2f |\n", subjects[i].Name, Median(v.rate), ratio(first.rate, v.rate),
			Median(v.cpu), ratio(v.cpu, first.cpu), Median(v.p50), Median(v.p99), Median(v.memory), Median(v.client))
	}
}

// requests returns a request of a number of events for each project.
func requests(size int) (all []*client.Request) {
	for i := range running.Projects {
		token, key := running.ProjectOf(i)
		all = append(all, client.NewRequest(token, key, size))
	}
	return all
}

// start starts a server. The returned function loads it, and stops it.
func (f *Flags) start(subject Subject, name string, r []*client.Request, v *figures) func() {
	dir, err := os.MkdirTemp("", "trackway-bench-")
	Must(err)
	s := subject.Start(dir)
	return func() {
		defer os.RemoveAll(dir)
		if f.profile != "" {
			go s.Profiles(filepath.Join(f.profile, name), f.length-time.Second)
		}
		f.measure(s, r, v)
	}
}

// measure loads a server, and stops it.
func (f *Flags) measure(s *running.Server, r []*client.Request, v *figures) {
	before := s.ProcessorTime()
	res := client.LoadAll(s.Public, r, f.conns, f.customers, f.length)
	used, memory := s.ProcessorTime()-before, s.Memory()
	s.Stop()
	micros := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(res.Events) }
	v.rate = append(v.rate, float64(res.Events)/res.Took.Seconds())
	v.cpu = append(v.cpu, micros(used))
	v.p50, v.p99 = append(v.p50, res.P50.Seconds()*1e3), append(v.p99, res.P99.Seconds()*1e3)
	v.memory = append(v.memory, float64(memory)/1e6)
	v.client = append(v.client, micros(res.Used))
}

// ratio returns the median of the ratios within the rounds, and their range.
func ratio(a, b []float64) string {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	return fmt.Sprintf("**%.2f** (%.2f to %.2f)", Median(all), slices.Min(all), slices.Max(all))
}

// Median returns the median, or 0 if there is nothing.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	half := len(v) / 2
	if len(v)%2 == 0 {
		return (v[half-1] + v[half]) / 2
	}
	return v[half]
}

// Must ends the program if there is an error.
func Must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

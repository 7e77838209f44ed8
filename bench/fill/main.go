// Command fill measures the store over time: it puts in events until there are many, and prints, tenth by tenth, how fast
// that went; then what they take on the disk, and how long it takes to read customers back.
//
//	go run ./fill -events 20000000 -customers 1000000
//
// The events come in batches of 50 through the store's own Apply, as from connections that wait for each answer: identity,
// duplicate check, indexes, usage and fsync included, HTTP and JSON not.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"trackway"
	"trackway/internal/store"
)

const (
	batch   = 50
	writers = 16
	tenths  = 10
)

func main() {
	log.SetFlags(0)
	events := flag.Int("events", 20_000_000, "events to put in")
	customers := flag.Int("customers", 1_000_000, "customers they are of: a few are much more active than most")
	flag.Parse()
	dir, err := os.MkdirTemp("", "trackway-fill-")
	must(err)
	defer os.RemoveAll(dir)
	s, err := store.Open(dir, store.Options{Fatal: func(err error) { log.Fatal(err) }})
	must(err)
	var rates []float64
	for tenth := range tenths {
		start, cpu := time.Now(), processorTime()
		fill(s, *events/tenths, *customers)
		took, used := time.Since(start), processorTime()-cpu
		rates = append(rates, float64(*events/tenths)/took.Seconds())
		fmt.Printf("tenth %2d: %7.0f events/s, %5.1f µs of CPU an event, %4d MB resident, %5.0f bytes of disk an event\n", tenth+1,
			rates[tenth], float64(used.Nanoseconds())/1e3/float64(*events/tenths), resident()>>20,
			float64(size(dir))/float64(*events/tenths*(tenth+1)))
	}
	fmt.Printf("last tenth against the first: %.2f\n", rates[tenths-1]/rates[0])
	read(s, *customers, "just written")
	must(s.Close())
	fmt.Printf("closed: %.0f bytes of disk an event\n", float64(size(dir))/float64(*events))
	s, err = store.Open(dir, store.Options{Fatal: func(err error) { log.Fatal(err) }})
	must(err)
	read(s, *customers, "opened anew")
	read(s, *customers, "the same again")
	must(s.Close())
}

var clock atomic.Int64 // microseconds: events come in order of time

// fill puts in n events.
func fill(s *store.Store, n, customers int) {
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	for w := range writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), uint64(clock.Load())))
			results := make([]trackway.Result, batch)
			for left.Add(-batch) >= 0 {
				must(s.Apply(commands(r, customers), results))
				for i := range results {
					if results[i].Err != nil {
						log.Fatal(results[i].Err)
					}
				}
			}
		})
	}
	wg.Wait()
}

// commands are the events of one visit after the other: a visitor does some things in a row.
func commands(r *rand.Rand, customers int) []trackway.Command {
	cmds := make([]trackway.Command, batch)
	var who int
	for i := range cmds {
		if i%5 == 0 {
			who = visitor(r, customers)
		}
		now := trackway.Micros(1_760_000_000_000_000 + clock.Add(997))
		cmds[i] = trackway.Command{
			Kind: trackway.AddEvent, Project: 1, IDs: []trackway.Identifier{{Name: "cookie", Value: cookie(who)}},
			Type: types[r.IntN(len(types))], Time: now, TimeGiven: true, Received: now, Properties: properties(r),
		}
	}
	return cmds
}

// visitor draws a customer: one in fifty comes a hundred times as often as the others.
func visitor(r *rand.Rand, customers int) int {
	if r.IntN(3) > 0 {
		return r.IntN(customers / 50)
	}
	return r.IntN(customers)
}

func cookie(who int) string { return fmt.Sprintf("%08x-4782-47ae-ba14-df6e29eefb36", who) }

var types = []string{"page_visit", "view_item", "cart_update", "purchase", "search"}

// properties of about 460 bytes, as a shop's page sends them.
func properties(r *rand.Rand) []trackway.Property {
	item := r.IntN(40000)
	text := func(format string, args ...any) []byte { return fmt.Appendf(nil, format, args...) }
	return []trackway.Property{
		{Name: "browser", Value: text(`"Chrome %d"`, 120+r.IntN(22))},
		{Name: "campaign", Value: text(`"autumn-%d"`, r.IntN(30))},
		{Name: "category", Value: text(`"Shoes > Running > Trail %d"`, item%300)},
		{Name: "currency", Value: text(`"EUR"`)},
		{Name: "item_id", Value: text(`"sku-%06d"`, item)},
		{Name: "language", Value: text(`"de-DE"`)},
		{Name: "os", Value: text(`"Android %d"`, 9+r.IntN(7))},
		{Name: "price", Value: text(`%d.90`, item%200)},
		{Name: "referrer", Value: text(`"https://www.example.org/search?q=%x"`, r.IntN(1<<24))},
		{Name: "session", Value: text(`"%016x"`, r.Uint64())},
		{Name: "title", Value: text(`"Trail running shoe %d, waterproof, with a sole for wet rock"`, item)},
		{Name: "url", Value: text(`"https://shop.example/p/%06d?utm_source=newsletter&utm_medium=email"`, item)},
		{Name: "viewport", Value: text(`"%dx%d"`, 360+r.IntN(80), 700+r.IntN(250))},
	}
}

// read reads customers who have about a hundred events or more, the same ones each time.
func read(s *store.Store, customers int, when string) {
	const samples = 400
	r := rand.New(rand.NewPCG(1, 2))
	var times []time.Duration
	for range samples {
		start := time.Now()
		v := s.Snapshot()
		c, err := v.Find(1, trackway.Identifier{Name: "cookie", Value: cookie(r.IntN(customers / 50))})
		must(err)
		if c == 0 {
			log.Fatal("a customer is missing")
		}
		n := 0
		must(v.Events(1, c, true, func(*trackway.Event) bool { n++; return n < 100 }))
		must(v.Close())
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	fmt.Printf("the last 100 events of a customer, %s: p50 %v, p99 %v\n", when,
		times[samples/2].Round(time.Microsecond), times[samples*99/100].Round(time.Microsecond))
}

func processorTime() time.Duration {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func resident() (bytes int64) {
	text, err := os.ReadFile("/proc/self/statm")
	must(err)
	var all, pages int64
	_, err = fmt.Sscan(string(text), &all, &pages)
	must(err)
	return pages * int64(os.Getpagesize())
}

func size(dir string) (bytes int64) {
	must(filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil { // it may be gone
			bytes += info.Size()
		}
		return nil
	}))
	return bytes
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

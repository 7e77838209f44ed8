// Command read measures how long lists, searches and statistics of a project
// take. It fills a store with customers and with events of two months, reopens
// it, and asks each question many times.
//
//	go run ./read -events 2000000 -customers 100000
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/query/page"
	"trackway/internal/store"
)

const (
	batch   = 50
	writers = 16
	types   = 12
	begin   = trackway.Micros(1_760_000_000_000_000)
	span    = trackway.Micros(60 * 24 * 3600 * 1_000_000)
	samples = 200
	rows    = 100
)

var project = []string{"registered", "cookie"}

func main() {
	log.SetFlags(0)
	events := flag.Int("events", 2_000_000, "events to put in")
	customers := flag.Int("customers", 100_000, "customers they are of")
	flag.Parse()
	dir, err := os.MkdirTemp("", "trackway-read-")
	must(err)
	defer os.RemoveAll(dir)
	s, err := store.Open(dir, store.Options{Fatal: func(err error) { log.Fatal(err) }})
	must(err)
	start := time.Now()
	fill(s, *events, *customers)
	fmt.Printf("filled with %d customers and %d events in %v\n", *customers, *events, time.Since(start).Round(time.Second))
	must(s.Close())
	start = time.Now()
	s, err = store.Open(dir, store.Options{Fatal: func(err error) { log.Fatal(err) }})
	must(err)
	fmt.Printf("opened in %v\n", time.Since(start).Round(time.Millisecond))
	ask(s, *customers)
	must(s.Close())
}

// fill stores customers with three properties each, then events of randomly
// drawn customers, in order of time.
func fill(s *store.Store, events, customers int) {
	var done atomic.Int64
	total := int64(events + customers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			cmds, results := make([]trackway.Command, batch), make([]trackway.Result, batch)
			for {
				from := done.Add(batch) - batch
				if from >= total {
					return
				}
				for i := range cmds {
					cmds[i] = command(r, int(from)+i, events, customers)
				}
				must(s.Apply(cmds, results))
			}
		})
	}
	wg.Wait()
}

func command(r *rand.Rand, n, events, customers int) trackway.Command {
	if n < customers {
		return trackway.Command{
			Kind: trackway.UpdateCustomer, Project: 1, IDs: []trackway.Identifier{cookie(n)}, Time: begin, Received: begin,
			Properties: []trackway.Property{
				{Name: "country", Value: []byte(`"DE"`)}, {Name: "plan", Value: fmt.Appendf(nil, `"plan-%d"`, n%1000)}, {Name: "visits", Value: []byte("7")},
			},
		}
	}
	n -= customers
	at := begin + span/trackway.Micros(events)*trackway.Micros(n)
	return trackway.Command{
		Kind: trackway.AddEvent, Project: 1, IDs: []trackway.Identifier{cookie(r.IntN(customers))},
		Type: fmt.Sprintf("type_%02d", r.IntN(types)), Time: at, TimeGiven: true, Received: at,
		Properties: []trackway.Property{
			{Name: "path", Value: fmt.Appendf(nil, `"/products/%d/details"`, r.IntN(40_000))},
			{Name: "price", Value: fmt.Appendf(nil, "%d.5", r.IntN(100))},
			{Name: "referrer", Value: fmt.Appendf(nil, `"https://www.example.org/search?q=%x"`, r.IntN(1<<24))},
			{Name: "session", Value: fmt.Appendf(nil, `"%016x"`, r.Uint64())},
		},
	}
}

func cookie(n int) trackway.Identifier {
	return trackway.Identifier{Name: "cookie", Value: fmt.Sprintf("%08x-4782-47ae-ba14-df6e29eefb36", uint32(n)*2654435761)}
}

// ask asks the questions and prints how long they took.
func ask(s *store.Store, customers int) {
	r := rand.New(rand.NewPCG(1, 2))
	ctx := context.Background()
	var deep page.Cursor
	measure(s, "100 customers, the newest", samples, func(v query.Snapshot) int {
		p, err := page.Customers(ctx, v, 1, page.Search{NewestFirst: true, Limit: rows})
		must(err)
		deep = p.Next
		return len(p.Rows)
	})
	measure(s, "100 customers, the page after 9900 others", samples, func(v query.Snapshot) int {
		p, err := page.Customers(ctx, v, 1, page.Search{NewestFirst: true, Skip: 9900, Limit: rows})
		must(err)
		deep = p.Next
		return len(p.Rows)
	})
	measure(s, "100 customers, deeper, by cursor", samples, func(v query.Snapshot) int {
		p, err := page.Customers(ctx, v, 1, page.Search{NewestFirst: true, Cursor: deep, Limit: rows})
		must(err)
		deep = p.Next
		return len(p.Rows)
	})
	measure(s, "customers by the first 6 characters of an identifier", samples, func(v query.Snapshot) int {
		p, err := page.Customers(ctx, v, 1, page.Search{Names: project, Prefix: cookie(r.IntN(customers)).Value[:6], Limit: rows})
		must(err)
		return len(p.Rows)
	})
	measure(s, "all customers with a property (a scan)", 10, func(v query.Snapshot) int {
		p, err := page.Customers(ctx, v, 1, page.Search{Property: "plan", Value: "plan-7", Limit: 1000})
		must(err)
		return p.Searched
	})
	measure(s, "the last 100 events of a customer, or all it has", samples, func(v query.Snapshot) int {
		c, err := v.Find(1, cookie(r.IntN(customers)))
		must(err)
		p, err := page.Timeline(ctx, v, 1, c, page.EventSearch{NewestFirst: true, Limit: rows})
		must(err)
		return len(p.Rows)
	})
	measure(s, "the last 100 events of the project", samples, func(v query.Snapshot) int {
		p, err := page.Received(ctx, v, 1, page.EventSearch{NewestFirst: true, Limit: rows})
		must(err)
		return len(p.Rows)
	})
	measure(s, "100 events of a type from an hour long ago", samples, func(v query.Snapshot) int {
		since := begin + trackway.Micros(r.Int64N(int64(span)))
		p, err := page.Received(ctx, v, 1, page.EventSearch{Types: []string{"type_03"}, Since: since, Until: since + 3600e6, Limit: rows})
		must(err)
		return len(p.Rows)
	})
	measure(s, "the whole log, for a type that there is not", 3, func(v query.Snapshot) int {
		n := 0
		must(v.Log(query.LogRange{}, func(*trackway.Event) bool { n++; return true }))
		return n
	})
	month := query.CountRange{By: query.ByTime, Since: query.HourOf(begin), Until: query.HourOf(begin) + 30*24}
	for name, interval := range map[string]page.Interval{"month": page.Monthly, "hour": page.Hourly} {
		measure(s, "statistics of 30 days by "+name, samples, func(v query.Snapshot) int {
			sums, _, err := page.Sums(ctx, v, 1, month, interval, 10_000)
			must(err)
			return len(sums)
		})
	}
	measure(s, "the total of customers and events", samples, func(v query.Snapshot) int {
		u, err := query.Total(v, 1)
		must(err)
		return int(u.Events())
	})
}

func measure(s *store.Store, what string, times int, do func(query.Snapshot) int) {
	all := make([]time.Duration, times)
	var n int
	for i := range all {
		start := time.Now()
		v := s.Snapshot()
		n = do(v)
		must(v.Close())
		all[i] = time.Since(start)
	}
	slices.Sort(all)
	fmt.Printf("%-54s p50 %10v  p99 %10v  (%d rows or steps)\n", what, all[times/2].Round(time.Microsecond), all[times*99/100].Round(time.Microsecond), n)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

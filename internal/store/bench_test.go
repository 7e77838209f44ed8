package store

import (
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/store/recent"
)

// benchEvent returns an event of about 500 bytes, with a unique time.
func benchEvent(n int, id trackway.Identifier) trackway.Command {
	c := event("page_visit", trackway.Micros(1_700_000_000_000_000+n), nil, id)
	for i := range 12 {
		c.Properties = append(c.Properties, trackway.Property{
			Name: fmt.Sprintf("property_%02d", i), Value: []byte(`"a value that is usual"`),
		})
	}
	return c
}

func benchOpen(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.TempDir(), Options{Fatal: func(err error) { panic(err) }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// known creates a thousand customers, and returns an identifier of each.
func known(b *testing.B, s *Store) []trackway.Identifier {
	b.Helper()
	ids := make([]trackway.Identifier, 1000)
	for i := range ids {
		ids[i] = identifierOf("cookie", fmt.Sprintf("c0000000-0000-0000-0000-%012d", i))
		mustCommit(b, s, update(1, map[string]string{"last": "1"}, ids[i]))
	}
	return ids
}

// commit does everything that Apply does, except wait for the disk.
func commit(s *Store, cmds []trackway.Command, results []trackway.Result) error {
	return s.machine.Apply(s.Applied()+1, &entry.Commands{Requests: []entry.Request{{Commands: cmds, Results: results}}})
}

// mustCommit does everything that Apply does, except wait for the disk.
func mustCommit(b *testing.B, s *Store, cmds ...trackway.Command) {
	b.Helper()
	results := make([]trackway.Result, len(cmds))
	if err := commit(s, cmds, results); err != nil || results[0].Err != nil {
		b.Fatal(err, results[0].Err)
	}
}

// written returns a function that reports how many bytes of write-ahead log an
// operation has taken since the call of written.
func written(b *testing.B, s *Store) func() {
	b.Helper()
	before := s.db.Metrics().WAL.BytesIn
	return func() { b.ReportMetric(float64(s.db.Metrics().WAL.BytesIn-before)/float64(b.N), "written-B/op") }
}

// BenchmarkCommit measures the work under the lock, without the disk.
func BenchmarkCommit(b *testing.B) {
	b.Run("event of a known customer", func(b *testing.B) {
		s := benchOpen(b)
		ids := known(b, s)
		cmds, results := []trackway.Command{benchEvent(0, ids[0])}, make([]trackway.Result, 1)
		report := written(b, s)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			cmds[0].IDs[0], cmds[0].Time = ids[n*7919%len(ids)], cmds[0].Time+1
			if err := commit(s, cmds, results); err != nil {
				b.Fatal(err)
			}
		}
		report()
	})
	// The worst case for the counts: each event is of another hour.
	b.Run("event of any hour and type", func(b *testing.B) {
		s := benchOpen(b)
		ids := known(b, s)
		cmds, results := []trackway.Command{benchEvent(0, ids[0])}, make([]trackway.Result, 1)
		report := written(b, s)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			cmds[0].IDs[0], cmds[0].Time = ids[n*7919%len(ids)], trackway.Micros(n*7919%100_000)*3600e6+trackway.Micros(n)
			cmds[0].Type = strconv.Itoa(n % 2000)
			if err := commit(s, cmds, results); err != nil {
				b.Fatal(err)
			}
		}
		report()
	})
	b.Run("event of a new customer", func(b *testing.B) {
		s := benchOpen(b)
		cmds, results := []trackway.Command{benchEvent(0, cookie1)}, make([]trackway.Result, 1)
		report := written(b, s)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			cmds[0].IDs[0].Value = fmt.Sprintf("c0000000-0000-0000-0000-%012d", n)
			if err := commit(s, cmds, results); err != nil {
				b.Fatal(err)
			}
		}
		report()
	})
	b.Run("batch of 50 events", func(b *testing.B) {
		s := benchOpen(b)
		ids := known(b, s)
		cmds, results := make([]trackway.Command, trackway.MaxCommands), make([]trackway.Result, trackway.MaxCommands)
		for i := range cmds {
			cmds[i] = benchEvent(i, ids[i])
		}
		b.ReportAllocs()
		for b.Loop() {
			for i := range cmds {
				cmds[i].Time += trackway.MaxCommands
			}
			if err := commit(s, cmds, results); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(cmds)), "ns/event")
	})
	b.Run("update of two properties", func(b *testing.B) {
		s := benchOpen(b)
		ids := known(b, s)
		cmds, results := []trackway.Command{update(2, map[string]string{"last": "2", "plan": `"free"`}, ids[0])}, make([]trackway.Result, 1)
		report := written(b, s)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			cmds[0].IDs[0], cmds[0].Time = ids[n*7919%len(ids)], cmds[0].Time+1
			if err := commit(s, cmds, results); err != nil {
				b.Fatal(err)
			}
		}
		report()
	})
}

// BenchmarkFeed measures what the feed of changes costs a transaction for each
// changed customer, including the insertion into memory. An event of a known
// customer changes no customer.
func BenchmarkFeed(b *testing.B) {
	const some = 1000 // customers; one commit has as many changes
	for name, isNew := range map[string]bool{"new customer": true, "known customer": false} {
		b.Run(name, func(b *testing.B) {
			s := benchOpen(b)
			var st recent.Stager
			batch := s.db.NewBatch()
			s.stageInto(&st, batch, 1)
			bytes := 0
			commit := func() {
				bytes += batch.Len()
				if err := batch.Commit(pebble.NoSync); err != nil {
					b.Fatal(err)
				}
				batch = s.db.NewBatch()
				st.Batch = batch
			}
			b.ReportAllocs()
			n := 0
			for ; b.Loop(); n++ {
				c := trackway.Customer(n + 1)
				if !isNew {
					c, st.New = trackway.Customer(n*7919%some+1), some+1
				}
				if err := st.Add(change.Change{Kind: change.Changed, Project: demo, Customer: c}); err != nil {
					b.Fatal(err)
				}
				if n%some == some-1 {
					commit()
				}
			}
			commit()
			b.ReportMetric(float64(bytes)/float64(n), "B/change")
		})
	}
}

// BenchmarkApply measures everything: 64 clients, each of which waits for the
// disk.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, trackway.MaxCommands} {
		b.Run(fmt.Sprintf("commands=%d", size), func(b *testing.B) {
			s := benchOpen(b)
			ids := known(b, s)
			var client atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			b.RunParallel(func(pb *testing.PB) {
				me := int(client.Add(1))
				cmds, results := make([]trackway.Command, size), make([]trackway.Result, size)
				for i := range cmds {
					cmds[i] = benchEvent(me<<32+i, ids[(me*31+i)%len(ids)])
				}
				for pb.Next() {
					for i := range cmds {
						cmds[i].Time += trackway.MaxCommands
					}
					if err := s.Apply(cmds, results); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkRead measures a read of export-one: one customer of many, with a
// hundred events, all in memory.
func BenchmarkRead(b *testing.B) {
	s := benchOpen(b)
	ids := known(b, s)
	for n := range 100 * len(ids) {
		mustCommit(b, s, benchEvent(n, ids[n%len(ids)]))
	}
	if err := s.db.Flush(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if got := readOne(b, s, ids[n*7919%10]); got != 100 {
			b.Fatalf("got %d events, want 100", got)
		}
	}
}

func readOne(b *testing.B, s *Store, id trackway.Identifier) (events int) {
	b.Helper()
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	c, err := v.Find(demo, id)
	if err != nil {
		b.Fatal(err)
	}
	if _, err = v.Profile(demo, c); err != nil {
		b.Fatal(err)
	}
	if err := v.Events(demo, c, false, func(*trackway.Event) bool { events++; return true }); err != nil {
		b.Fatal(err)
	}
	return events
}

// BenchmarkMerge merges a customer with a given number of events into another.
func BenchmarkMerge(b *testing.B) {
	for _, events := range []int{1, 100, maxMoved} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			s := benchOpen(b)
			mustCommit(b, s, event("e", 1, nil, reg1))
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				visitor := identifierOf("cookie", strconv.Itoa(n))
				cmds := make([]trackway.Command, events)
				for i := range cmds {
					cmds[i] = event("e", trackway.Micros(n*events+i), nil, visitor)
				}
				mustCommit(b, s, cmds...)
				merge := update(trackway.Micros(n), nil, reg1, visitor)
				b.StartTimer()
				mustCommit(b, s, merge)
			}
		})
	}
}

// BenchmarkCleanUp erases one customer of many, and removes what was erased
// from the files. It first creates a store of 100 000 customers and 300 000
// events.
func BenchmarkCleanUp(b *testing.B) {
	s := benchOpen(b)
	const customers, each = 100_000, 3
	id := func(n int) trackway.Identifier {
		return identifierOf("cookie", fmt.Sprintf("c0000000-0000-0000-0000-%012d", n))
	}
	for n := 0; n < customers; n += 10 {
		var cmds []trackway.Command
		for i := range 10 {
			cmds = append(cmds, update(1, map[string]string{"email": `"jane@example.com"`, "last": "1"}, id(n+i)))
			for k := range each {
				cmds = append(cmds, benchEvent((n+i)*each+k, id(n+i)))
			}
		}
		mustCommit(b, s, cmds...)
	}
	n := 0
	for b.Loop() {
		n += 7919
		if _, err := s.Erase(demo, mustFind(b, s, id(n%customers)), []string{"email"}, 1); err != nil {
			b.Fatal(err)
		}
		if done, err := s.CleanUp(b.Context(), func() trackway.Micros { return 2 }); done != 1 || err != nil {
			b.Fatal(done, err)
		}
	}
	b.ReportMetric(float64(s.db.Metrics().DiskSpaceUsage())/(1<<20), "MB")
}

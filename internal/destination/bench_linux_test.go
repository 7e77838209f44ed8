package destination_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/sleep"
	"trackway/internal/store"
)

// discard is a sink that accepts everything.
type discard struct{ at destination.Position }

func (s *discard) Prepare(context.Context) (destination.Position, error) { return s.at, nil }

func (s *discard) Write(_ context.Context, b *destination.Batch) ([]destination.Reject, error) {
	s.at = destination.Position{Store: b.Store, Number: b.Through}
	return nil, nil
}

func (*discard) Check(context.Context) error { return nil }

func (s *discard) Rewind(_ context.Context, to destination.Position) error {
	s.at = to
	return nil
}

func (*discard) Close() error { return nil }

// BenchmarkIngest compares the processor time that the store takes for commands
// while a destination follows it with the time without a destination. Both
// variants take turns in the same store. The time for HTTP is not included, so
// the real ratio is lower.
func BenchmarkIngest(b *testing.B) {
	s, err := store.Open(b.TempDir(), store.Options{Fatal: func(err error) { panic(err) }})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }() // of a benchmark
	projects := []trackway.Project{{Name: "demo", Token: "11111111-1111-4111-8111-111111111111", Hard: []string{"registered"}, Soft: []string{"cookie"}}}
	if err := s.Register(projects); err != nil {
		b.Fatal(err)
	}
	var spent [2]time.Duration
	var commands [2]int
	n := 0
	for round := 0; b.Loop(); round++ {
		with := round % 2
		stop := func() {}
		if with == 1 {
			stop = follow(b, s, projects)
		}
		before := processorTime(b)
		n = ingest(b, s, n)
		stop()
		spent[with] += processorTime(b) - before
		commands[with] += commandsARound
	}
	if commands[1] > 0 {
		without, with := spent[0]/time.Duration(commands[0]), spent[1]/time.Duration(commands[1])
		b.ReportMetric(float64(without.Nanoseconds()), "cpu-ns/command-without")
		b.ReportMetric(float64(with.Nanoseconds()), "cpu-ns/command-with")
		b.ReportMetric(float64(with)/float64(without), "ratio")
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// follow runs a destination that begins at the end of the log.
func follow(b *testing.B, s *store.Store, projects []trackway.Project) (stop func()) {
	b.Helper()
	m, err := destination.New(destination.Options{
		Dir: b.TempDir(), Store: s, Log: slog.New(slog.DiscardHandler),
		Open: func(config.Destination) (destination.Sink, error) { return new(discard), nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.SetCursor("destination/a", s.Synced()); err != nil {
		b.Fatal(err)
	}
	apply, _, err := m.Reload([]config.Destination{{Name: "a", Start: "now", Rows: 10_000, Bytes: 16 << 20, Every: time.Second}}, projects)
	if err != nil {
		b.Fatal(err)
	}
	apply()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = m.Run(ctx) // always nil
	}()
	return func() {
		for m.List()[0].Position < s.Synced() {
			_ = sleep.For(b.Context(), time.Millisecond) // of a benchmark
		}
		cancel()
		<-ended
	}
}

const (
	commandsARound = 60_000
	aRequest       = 10
	senders        = 16
)

// ingest sends events of 2000 customers, in groups as large as those of a
// server.
func ingest(b *testing.B, s *store.Store, from int) int {
	b.Helper()
	var all sync.WaitGroup
	for sender := range senders {
		all.Go(func() {
			for i := range commandsARound / aRequest / senders {
				cmds := make([]trackway.Command, aRequest)
				for j := range cmds {
					n := from + (sender*commandsARound/senders + i*aRequest + j)
					properties := []trackway.Property{{Name: "n", Value: fmt.Append(nil, n)}, {Name: "page", Value: []byte(`"https://shop.example.com/product/123?ref=mail"`)}}
					cmds[j] = trackway.Command{
						Kind: trackway.AddEvent, Project: 1, IDs: []trackway.Identifier{{Name: "cookie", Value: fmt.Sprint("c", n%2000)}}, Type: "page_visit",
						Time: trackway.Micros(1_700_000_000_000_000 + n), TimeGiven: true, Received: trackway.Micros(1_700_000_000_000_000 + n),
						Properties: properties, Bytes: 100,
					}
				}
				if err := s.Apply(cmds, make([]trackway.Result, aRequest)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return from + commandsARound
}

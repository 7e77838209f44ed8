package catalogue

import (
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/store"
)

// BenchmarkRound looks at the events of a store, with ten properties each, as
// rounds do: 2000 changes at a time. The result is for one event, with its
// reading.
func BenchmarkRound(b *testing.B) {
	s, err := store.Open(b.TempDir(), store.Options{Fatal: func(err error) { panic(err) }})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	projects := []trackway.Project{shop}
	if err := s.Register(projects); err != nil {
		b.Fatal(err)
	}
	const batch, batches = 500, 40
	for n := range batches {
		cmds := make([]trackway.Command, batch)
		for i := range cmds {
			at := trackway.MicrosOf(time.Now())
			cmds[i] = trackway.Command{
				Kind: trackway.AddEvent, Project: projects[0].Number, Type: []string{"purchase", "visit", "search"}[i%3], Time: at, Received: at,
				IDs: []trackway.Identifier{{Name: "registered", Value: strconv.Itoa(n*batch + i), Hard: true}}, Properties: canonjson.SplitObject([]byte(typical)), Bytes: len(typical),
			}
		}
		if err := s.Apply(cmds, make([]trackway.Result, batch)); err != nil {
			b.Fatal(err)
		}
	}
	c := New(Options{Log: s, Path: filepath.Join(b.TempDir(), File), Most: 1000, Logger: slog.New(slog.DiscardHandler)})
	c.Reload(projects)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if c.position == s.Synced() {
			c.position = 0
		}
		if n%mostLooked == 0 {
			if err := c.round(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if c.projects[projects[0].Number].Seen == 0 {
		b.Fatal("nothing was learned")
	}
}

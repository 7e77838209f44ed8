package spread

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/kinds"
	"trackway/internal/partition"
	"trackway/internal/store"
)

// spreadOver returns the destinations of n partitions, with a project in each
// but the last.
func spreadOver(t *testing.T, n int, configured []config.Destination) *Set {
	t.Helper()
	dir := t.TempDir()
	s := &Set{Part: kinds.Part}
	for i := range n {
		one, err := store.Open(filepath.Join(dir, partition.Name(i), "store"), store.Options{Cache: 1 << 20, Known: 1 << 20, MemTable: 1 << 20, Fatal: func(err error) { panic(err) }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = one.Close() })
		var m *destination.Manager
		m, err = destination.New(destination.Options{
			Dir: filepath.Join(dir, partition.Name(i)), Store: one, Log: slog.New(slog.DiscardHandler),
			Open: func(d config.Destination) (destination.Sink, error) {
				return kinds.New(d, kinds.Deps{Store: m.StoreID()})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.All = append(s.All, m)
	}
	var projects []trackway.Project
	for i := range max(n-1, 1) {
		projects = append(projects, trackway.Project{Name: fmt.Sprint("p", i), Number: partition.Global(i, 1)})
	}
	apply, _, err := s.Reload(configured, projects)
	if err != nil {
		t.Fatal(err)
	}
	apply()
	return s
}

func names(s *Set) (names []string) {
	for _, st := range s.List() {
		names = append(names, st.Name)
	}
	return names
}

// A destination is one for each partition that has projects for it. Operators
// may mean one of them or all.
func TestSpread(t *testing.T) {
	t.Parallel()
	configured := []config.Destination{
		{Name: "all", Kind: config.File, Path: filepath.Join(t.TempDir(), "all"), Start: "beginning"},
		{Name: "some", Kind: config.File, Path: filepath.Join(t.TempDir(), "some"), Start: "beginning", Projects: []string{"p1"}},
	}
	if got, want := names(spreadOver(t, 1, configured)), []string{"all", "some"}; !slices.Equal(got, want) {
		t.Errorf("one partition: got %v, want %v", got, want)
	}
	s := spreadOver(t, 3, configured)
	if got, want := names(s), []string{"all/p00", "all/p01", "some/p01"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for _, name := range []string{"none", "all/p02", "all/p9", "some/p00", "/p00", "all/"} {
		if err := s.Pause(name); !errors.Is(err, destination.ErrUnknown) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	paused := func() (n int) {
		for _, st := range s.List() {
			if st.State == destination.Paused {
				n++
			}
		}
		return n
	}
	for _, test := range []struct {
		name string
		want int
	}{{"all/p01", 1}, {"all", 2}, {"some", 3}} {
		if err := s.Pause(test.name); err != nil || paused() != test.want {
			t.Errorf("%s: %d are paused, %v", test.name, paused(), err)
		}
	}
	if err := s.Resume("all"); err != nil || paused() != 1 {
		t.Errorf("resume: %d are paused, %v", paused(), err)
	}
	if err := s.Check(t.Context(), "all"); err != nil {
		t.Error(err)
	}
	if _, err := s.Rewind(t.Context(), "all", "now"); err == nil || !strings.Contains(err.Error(), "name one of all/p00, all/p01") {
		t.Errorf("rewind: got %v", err)
	}
	if n, err := s.Rewind(t.Context(), "some", "now"); err != nil || n != 0 { // there is only one
		t.Errorf("rewind: got %d, %v", n, err)
	}
}

// Each partition has a place of its own wherever a kind keeps a position.
func TestPartsOfDestinations(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ of, want config.Destination }{
		{config.Destination{Kind: config.File, Path: "/out"}, config.Destination{Path: "/out/p02"}},
		{config.Destination{Kind: config.S3, Prefix: "a/b/"}, config.Destination{Prefix: "a/b/p02"}},
		{config.Destination{Kind: config.S3}, config.Destination{Prefix: "p02"}},
		{config.Destination{Kind: config.Postgres}, config.Destination{Prefix: "public_p02"}},
		{config.Destination{Kind: config.ClickHouse, Prefix: "shop"}, config.Destination{Prefix: "shop_p02"}},
		{config.Destination{Kind: config.ClickHouse}, config.Destination{Prefix: "trackway_p02"}},
		{config.Destination{Kind: config.Kafka, Prefix: "shop."}, config.Destination{Prefix: "shop.p02."}},
		{config.Destination{Kind: config.Webhook, URL: "https://a"}, config.Destination{}},
	} {
		got := kinds.Part(test.of, 2)
		if got.Path != test.want.Path || got.Prefix != test.want.Prefix || got.URL != test.of.URL {
			t.Errorf("%s: got path %q and prefix %q", test.of.Kind, got.Path, got.Prefix)
		}
	}
}

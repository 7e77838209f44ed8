package destination_test

import (
	"context"
	"testing"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/query"
)

func cleanUp(t *testing.T, w *destinationtest.World) int {
	t.Helper()
	n, err := w.Store.CleanUp(t.Context(), func() trackway.Micros { return trackway.MicrosOf(time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func erasures(t *testing.T, w *destinationtest.World) (all []query.Erasure) {
	t.Helper()
	for i := range w.Projects {
		list, err := w.Store.Erasures(w.Projects[i].Number)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

// TestErasuresWait: an erasure is done once the destination has its changes.
func TestErasuresWait(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	var memory destinationtest.Memory
	m := w.Manager(t.TempDir(), config.Destination{Name: "memory", Start: "beginning", Rows: 10, Bytes: 1 << 20, Every: time.Millisecond}, memory.Sink)
	w.Store.SetCopies(m.Copies())
	w.Act(100)
	for len(erasures(t, w)) < 3 {
		w.Erase()
	}
	if n := cleanUp(t, w); n != 0 {
		t.Errorf("%d erasures are done before the destination has any change", n)
	}
	for _, e := range erasures(t, w) {
		if e.Done != 0 || len(e.WaitingFor) != 1 || e.WaitingFor[0] != "memory" {
			t.Errorf("got %+v, want it to wait for memory", e)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	destinationtest.CatchUp(t, w, m)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := cleanUp(t, w); n != 3 {
		t.Errorf("%d erasures are done, want 3", n)
	}
	for _, e := range erasures(t, w) {
		if e.Done == 0 || len(e.WaitingFor) > 0 {
			t.Errorf("got %+v, want it to be done", e)
		}
	}
}

// TestMissed: a destination that lags holds old events back, unless its
// configuration says otherwise. The events that it misses are counted, even
// across restarts.
func TestMissed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config config.Destination
		missed bool
	}{
		"hold":             {config.Destination{Retention: "hold"}, false},
		"hold for an hour": {config.Destination{Retention: "hold", Hold: time.Hour}, true}, // they are years old
		"hold for longer":  {config.Destination{Retention: "hold", Hold: 100 * 365 * 24 * time.Hour}, false},
		"let go":           {config.Destination{Retention: "let_go"}, true},
		"let others go":    {config.Destination{Retention: "let_go", Events: []string{"none"}}, true}, // it misses none
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := destinationtest.NewWorld(t, 1)
			dir, d := t.TempDir(), test.config
			d.Name, d.Start = "memory", "beginning"
			var memory destinationtest.Memory
			m := w.Manager(dir, d, memory.Sink)
			w.Store.SetCopies(m.Copies())
			w.Act(100)
			x, err := w.Store.Expire(t.Context(), 1, 1<<40, func(uint32, string) trackway.Micros { return query.Never })
			if err != nil || x.Removed > 0 != test.missed {
				t.Errorf("got %+v, %v, want events to expire: %t", x, err, test.missed)
			}
			want := uint64(x.Removed)
			if len(d.Events) > 0 {
				want = 0
			}
			for range 2 {
				if got := m.List()[0].Missed; got != want {
					t.Errorf("got %d missed events, want %d", got, want)
				}
				m = w.Manager(dir, d, memory.Sink)
			}
		})
	}
}

// TestFirst: a destination remembers where it began, so that verify does not
// expect older changes there.
func TestFirst(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	w.Act(50)
	dir, d := t.TempDir(), config.Destination{Name: "memory", Start: "now"}
	var memory destinationtest.Memory
	began := w.Store.Synced()
	var m *destination.Manager
	for range 2 {
		m = w.Manager(dir, d, memory.Sink)
		if s := m.List()[0]; s.First != began || s.Position < began {
			t.Errorf("it began after %d and is at %d, want %d", s.First, s.Position, began)
		}
		w.Act(10)
	}
	for _, test := range []struct {
		to   string
		want uint64
	}{{"now", began}, {"5", 5}, {"7", 5}} {
		if _, err := m.Rewind(t.Context(), "memory", test.to); err != nil {
			t.Fatal(err)
		}
		if s := m.List()[0]; s.First != test.want {
			t.Errorf("after a rewind to %s it began after %d, want %d", test.to, s.First, test.want)
		}
	}
}

package destination_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trackway/internal/change"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/destination/file"
	"trackway/internal/destination/turn"
	"trackway/internal/scale"
	"trackway/internal/sleep"
	"trackway/internal/store"
)

// seat is a server's view of a store that several servers share: it may believe
// that it leads.
type seat struct {
	*store.Store

	term *atomic.Uint64 // of all servers
	of   atomic.Uint64  // in which this server leads; 0: it does not
}

// Leading implements [destination.Shared].
func (s *seat) Leading() (term uint64, leading bool) { return s.of.Load(), s.of.Load() != 0 }

func (s *seat) lead() { s.of.Store(s.term.Add(1)) }

// office is several servers that share a store, and a folder.
type office struct {
	*destinationtest.World

	config   config.Destination
	seats    []*seat
	managers []*destination.Manager
}

// open starts servers, until the test ends. If sink is nil, they write into a
// folder.
func open(t *testing.T, servers int, sink func() destination.Sink) *office {
	t.Helper()
	o := &office{World: destinationtest.NewWorld(t, rand.Uint64())}
	o.config = config.Destination{
		Name: "out", Kind: config.File, Path: filepath.Join(t.TempDir(), "out"), Format: "ndjson", Start: "beginning", Rows: 50, Bytes: 1 << 20, Every: 5 * time.Millisecond,
	}
	var term atomic.Uint64
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); running.Wait() })
	for range servers {
		s := &seat{Store: o.Store, term: &term}
		var m *destination.Manager
		m, err := destination.New(destination.Options{
			Dir: t.TempDir(), Store: o.Store, Shared: s, Log: slog.New(slog.DiscardHandler), Jitter: func(time.Duration) time.Duration { return time.Millisecond },
			Open: func(d config.Destination) (destination.Sink, error) {
				if sink != nil {
					return sink(), nil
				}
				return file.New(d, m.StoreID())
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		apply, _, err := m.Reload([]config.Destination{o.config}, o.Projects)
		if err != nil {
			t.Fatal(err)
		}
		apply()
		o.seats, o.managers = append(o.seats, s), append(o.managers, m)
		running.Go(func() { _ = m.Run(ctx) })
	}
	return o
}

// caughtUp waits until a server has sent everything.
func (o *office) caughtUp(t *testing.T, server int) destination.Status {
	t.Helper()
	for range 12_000 {
		if all := o.managers[server].List(); len(all) == 1 && all[0].LagEvents == 0 && all[0].State == destination.Running {
			return all[0]
		}
		_ = sleep.For(t.Context(), 10*time.Millisecond)
	}
	t.Fatalf("got %+v", o.managers[server].List())
	return destination.Status{}
}

// same checks that the folder has each event of the store once.
func (o *office) same(t *testing.T, id string) {
	t.Helper()
	s, err := file.New(o.config, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, last := make(map[uint64]int), o.Store.Synced()
	err = s.Events(t.Context(), 0, last+1, func(e *destination.Event) bool {
		got[e.Seq]++
		return true
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	want := 0
	for some, err := range o.Store.Changes(0, last) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range some {
			if c := &some[i]; c.Kind == change.Stored {
				want++
				if n := got[c.Number]; n != 1 {
					t.Fatalf("the folder has event %d %d times", c.Number, n)
				}
			}
		}
	}
	if len(got) != want {
		t.Errorf("the folder has %d events, want %d", len(got), want)
	}
}

// change lets the leader change again and again while the store grows. An old
// one may go on for a while. It returns the last leader.
func (o *office) change(t *testing.T) (leader int) {
	t.Helper()
	o.seats[leader].lead()
	for range scale.Of(60, 15) {
		o.Act(1 + o.Random.IntN(200))
		if o.Random.IntN(4) == 0 {
			o.Erase()
		}
		_ = sleep.For(t.Context(), time.Duration(o.Random.IntN(300))*time.Millisecond)
		old := leader
		leader = o.Random.IntN(len(o.seats))
		if leader != old && o.Random.IntN(2) == 0 {
			o.seats[old].of.Store(0)
		}
		o.seats[leader].lead()
	}
	for i, s := range o.seats {
		if i != leader {
			s.of.Store(0)
		}
	}
	o.seats[leader].lead()
	return leader
}

// hook is a destination that keeps no position, such as a webhook.
type hook struct {
	mu  sync.Mutex
	got map[uint64]int // events
}

type hookSink struct {
	destination.Sink

	to *hook
}

// Prepare implements [destination.Sink].
func (s *hookSink) Prepare(context.Context) (destination.Position, error) {
	return destination.Position{Number: destination.Unkept}, nil
}

// Write implements [destination.Sink].
func (s *hookSink) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	for i := range b.Events {
		s.to.got[b.Events[i].Seq]++
	}
	return nil, ctx.Err()
}

// TestTurnsWithoutPosition: a destination that keeps no position gets each
// event at least once.
func TestTurnsWithoutPosition(t *testing.T) {
	t.Parallel()
	to := &hook{got: make(map[uint64]int)}
	var m destinationtest.Memory
	o := open(t, 3, func() destination.Sink { return &hookSink{Sink: m.Sink(), to: to} })
	o.caughtUp(t, o.change(t))
	to.mu.Lock()
	defer to.mu.Unlock()
	for some, err := range o.Store.Changes(0, o.Store.Synced()) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range some {
			if c := &some[i]; c.Kind == change.Stored && to.got[c.Number] == 0 {
				t.Fatalf("event %d did not arrive", c.Number)
			}
		}
	}
}

// TestTurns: the leader changes again and again while the store grows, and an
// old one may go on for a while. The folder has each event once.
func TestTurns(t *testing.T) {
	t.Parallel()
	o := open(t, 3, nil)
	leader := o.change(t)
	o.caughtUp(t, leader)
	o.same(t, o.managers[leader].StoreID())
}

// TestTurnKeepsState: what an operator has decided at one leader holds at the
// next one, and only the leader can decide it.
func TestTurnKeepsState(t *testing.T) {
	t.Parallel()
	o := open(t, 2, nil)
	o.Act(100)
	o.seats[0].lead()
	first := o.caughtUp(t, 0)
	if err := o.managers[1].Pause("out"); !errors.Is(err, turn.ErrLost) {
		t.Errorf("pause at a server that does not lead: got %v", err)
	}
	if err := o.managers[0].Pause("out"); err != nil {
		t.Fatal(err)
	}
	o.Act(100)
	o.seats[0].of.Store(0)
	o.seats[1].lead()
	for len(o.managers[1].List()) == 0 {
		_ = sleep.For(t.Context(), 10*time.Millisecond)
	}
	if s := o.managers[1].List()[0]; s.State != destination.Paused || s.Position != first.Position {
		t.Errorf("got %+v, want it paused at %d", s, first.Position)
	}
	copies := o.managers[0].Copies().List()
	if len(copies) != 1 || copies[0].Through != first.Position {
		t.Errorf("at the other server: got %+v, want it at %d", copies, first.Position)
	}
	if err := o.managers[1].Resume("out"); err != nil {
		t.Fatal(err)
	}
	o.caughtUp(t, 1)
	if len(o.managers[0].List()) != 0 {
		t.Errorf("the first server says that it sends")
	}
	o.same(t, o.managers[1].StoreID())
	if err := o.managers[1].Use(t.Context(), "out", false, func(context.Context, destination.Sink, *destination.View) error { return nil }); err != nil {
		t.Error(err)
	}
}

// TestLateCommand: a server that does not know yet that its turn has ended
// carries out no command of an operator.
func TestLateCommand(t *testing.T) {
	t.Parallel()
	o := open(t, 2, nil)
	o.Act(100)
	o.seats[0].lead()
	o.caughtUp(t, 0)
	if err := o.managers[0].Check(t.Context(), "out"); err != nil {
		t.Error(err)
	}
	if _, err := turn.Take(o.Store); err != nil { // another one has it
		t.Fatal(err)
	}
	if _, err := o.managers[0].Rewind(t.Context(), "out", "beginning"); err == nil || err.Error() != turn.ErrLost.Error() {
		t.Errorf("got %v", err)
	}
	s, err := file.New(o.config, "another")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := s.Prepare(t.Context()); err != nil || p.Number != o.Store.Synced() {
		t.Errorf("the folder is at %d, %v; want %d, where it was", p.Number, err, o.Store.Synced())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestLateCursor: what a server writes after its turn has no effect.
func TestLateCursor(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	w.Act(100)
	old, err := turn.Take(w.Store)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.SetCursor("c", 5); err != nil {
		t.Fatal(err)
	}
	next, err := turn.Take(w.Store)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.SetCursor("c", 7); !errors.Is(err, turn.ErrLost) || !old.Ended() {
		t.Errorf("the old one: got %v", err)
	}
	if all, err := w.Store.Cursors(); err != nil || all["c"] != 5 {
		t.Errorf("got %v, %v", all, err)
	}
	if err := next.SetCursor("c", 6); err != nil {
		t.Error(err)
	}
	if err := next.Confirm(); err != nil {
		t.Error(err)
	}
}

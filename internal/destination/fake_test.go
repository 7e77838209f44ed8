package destination_test

import (
	"context"
	"iter"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/query"
	"trackway/internal/sleep"
)

// fakeStore is a log of events in memory. It records up to which number it was
// read.
type fakeStore struct {
	mu      sync.Mutex
	events  []trackway.Event
	changed chan struct{}
	cursors map[string]uint64
	read    uint64
}

func newFakeStore() *fakeStore {
	return &fakeStore{changed: make(chan struct{}), cursors: make(map[string]uint64)}
}

// add adds events, received now.
func (s *fakeStore) add(n int, properties string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.events = append(s.events, trackway.Event{
			Seq: uint64(len(s.events) + 1), Project: 1, Customer: 1, Type: "a", Received: trackway.MicrosOf(time.Now()), Properties: []byte(properties),
		})
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeStore) Synced() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.events))
}

func (s *fakeStore) Await(ctx context.Context, number uint64) bool {
	for {
		s.mu.Lock()
		synced, changed := uint64(len(s.events)), s.changed
		s.mu.Unlock()
		if synced > number {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (s *fakeStore) Changes(after, through uint64) iter.Seq2[[]change.Change, error] {
	return func(yield func([]change.Change, error) bool) {
		const piece = 10
		for after < through {
			var some []change.Change
			s.mu.Lock()
			for ; after < through && len(some) < piece; after++ {
				e := s.events[after]
				some = append(some, change.Change{Number: e.Seq, Project: 1, Customer: 1, Event: &e})
			}
			s.read = max(s.read, after)
			s.mu.Unlock()
			if !yield(some, nil) {
				return
			}
		}
	}
}

func (*fakeStore) Sync() error { return nil }

func (*fakeStore) Unreadable(error) bool { return false }

func (s *fakeStore) SetCursor(name string, number uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursors[name] = number; number == change.NoCursor {
		delete(s.cursors, name)
	}
	return nil
}

func (s *fakeStore) Cursors() (map[string]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.cursors), nil
}

func (*fakeStore) Erasures(uint32) ([]query.Erasure, error) { return nil, nil }

func (s *fakeStore) Snapshot() query.Snapshot { return fakeSnapshot{of: s} }

type fakeSnapshot struct {
	query.Snapshot

	of *fakeStore
}

func (fakeSnapshot) Close() error { return nil }

func (v fakeSnapshot) Log(r query.LogRange, yield func(*trackway.Event) bool) error {
	v.of.mu.Lock()
	defer v.of.mu.Unlock()
	for i := int(r.First) - 1; i < len(v.of.events); i++ {
		if !yield(&v.of.events[i]) {
			break
		}
	}
	return nil
}

// bubble is a manager in a synctest bubble, with a store and some destinations
// in memory.
type bubble struct {
	*testing.T
	*fakeStore

	manager *destination.Manager
	sinks   map[string]*destinationtest.Memory
	configs []config.Destination
	opened  map[string]int
	stop    func()
}

func configOf(name string) config.Destination {
	return config.Destination{
		Name: name, Kind: "memory", Start: "beginning", Rows: 100, Bytes: 1 << 20, Every: 5 * time.Second,
		URL: "memory://user:s3cr3t@host/" + name, Password: "pa55word", Secret: "whsec_s3cret",
	}
}

// run runs a test with destinations of these names.
func run(t *testing.T, test func(b *bubble), names ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, fakeStore: newFakeStore(), sinks: map[string]*destinationtest.Memory{}, opened: map[string]int{}}
		for _, name := range names {
			b.sinks[name] = new(destinationtest.Memory)
			b.configs = append(b.configs, configOf(name))
		}
		b.start(t.TempDir())
		synctest.Wait() // the first sessions have begun
		test(b)
		b.stop()
	})
}

// start starts a manager, as another process would.
func (b *bubble) start(dir string) {
	b.Helper()
	m, err := destination.New(destination.Options{
		Dir: dir, Store: b.fakeStore, Log: slog.New(slog.DiscardHandler),
		Jitter: func(most time.Duration) time.Duration { return most },
		Open: func(d config.Destination) (destination.Sink, error) {
			b.opened[d.Name]++
			return b.sinks[d.Name].Sink(), nil
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.manager = m
	b.reload()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := m.Run(ctx); err != nil {
			b.Error(err)
		}
	}()
	b.stop = func() { cancel(); <-ended }
}

func (b *bubble) reload() {
	b.Helper()
	apply, _, err := b.manager.Reload(b.configs, []trackway.Project{{Number: 1, Name: "demo"}})
	if err != nil {
		b.Fatal(err)
	}
	apply()
}

// pass lets time pass, and lets everything happen that is due.
func (b *bubble) pass(d time.Duration) {
	_ = sleep.For(b.Context(), d) // the bubble's time
	synctest.Wait()
}

func (b *bubble) status(name string) destination.Status {
	b.Helper()
	for _, s := range b.manager.List() {
		if s.Name == name {
			return s
		}
	}
	b.Fatalf("there is no destination %s", name)
	return destination.Status{}
}

// has checks that a destination has the first n events, each once and in order,
// and that the batches follow each other without gaps.
func (b *bubble) has(name string, n int) {
	b.Helper()
	events := b.sinks[name].Tables().Events
	if len(events) != n || n > 0 && (events[0].Seq != 1 || events[n-1].Seq != uint64(n)) {
		b.Errorf("%s has %d events, want the first %d", name, len(events), n)
	}
	after := uint64(0)
	for _, w := range b.sinks[name].Batches() {
		if w.After != after {
			b.Errorf("%s: a batch begins after %d, the one before ended at %d", name, w.After, after)
		}
		after = w.Through
	}
}

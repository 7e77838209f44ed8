package destination_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/query"
)

var (
	errDisk    = errors.New("input/output error")
	errDamaged = errors.New("a record is damaged")
)

// unreadable is a store in which some reads of customers fail.
type unreadable struct {
	destination.Store

	timelines, profiles atomic.Int64 // reads that fail, from now on
	err                 error
}

func (s *unreadable) Unreadable(err error) bool {
	return errors.Is(err, errDamaged) || s.Store.Unreadable(err)
}

func (s *unreadable) Snapshot() query.Snapshot { return unreadableSnapshot{s.Store.Snapshot(), s} }

type unreadableSnapshot struct {
	query.Snapshot

	of *unreadable
}

func (v unreadableSnapshot) Timeline(p uint32, c trackway.Customer, r query.TimelineRange, do func(*trackway.Event, query.Place) bool) error {
	if v.of.timelines.Add(-1) >= 0 {
		return v.of.err
	}
	return v.Snapshot.Timeline(p, c, r, do)
}

func (v unreadableSnapshot) Profile(p uint32, c trackway.Customer) (*trackway.Profile, error) {
	if v.of.profiles.Add(-1) >= 0 {
		return nil, v.of.err
	}
	return v.Snapshot.Profile(p, c)
}

// joiner is a sink that needs the holders of events.
type joiner struct{ destination.Sink }

func (joiner) JoinsHolders() {}

// open returns a manager of a store that fails, and the destination that it
// writes to.
func (s *unreadable) open(t *testing.T, w *destinationtest.World, joins bool) (*destination.Manager, *destinationtest.Memory) {
	t.Helper()
	s.Store = w.Store
	var mem destinationtest.Memory
	m, err := destination.New(destination.Options{
		Dir: t.TempDir(), Store: s, Log: slog.New(slog.DiscardHandler), Jitter: func(time.Duration) time.Duration { return time.Millisecond },
		Open: func(config.Destination) (destination.Sink, error) {
			if joins {
				return joiner{mem.Sink()}, nil
			}
			return mem.Sink(), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	reload(t, w, m, memoryConfig("a"))
	return m, &mem
}

func wantErased(t *testing.T, m *destination.Manager, mem *destinationtest.Memory) {
	t.Helper()
	for _, e := range mem.Tables().Events {
		if strings.Contains(string(e.Properties), "jane") {
			t.Errorf("the erasure has passed (position %d), and the destination has %s", m.List()[0].Position, e.Properties)
		}
	}
}

// TestErasureReadsAgain: if a read fails for a moment, an erasure still reaches
// the destination, and no customer is left out.
func TestErasureReadsAgain(t *testing.T) {
	t.Parallel()
	for what, joins := range map[string]bool{"plain": false, "with holders": true} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := destinationtest.NewWorld(t, 1)
			s := unreadable{err: errDisk}
			m, mem := s.open(t, w, joins)
			stop := running(t, m)
			s.profiles.Store(2)
			c := purchase(t, w)
			destinationtest.CatchUp(t, w, m)
			s.timelines.Store(1)
			s.profiles.Store(2)
			erase(t, w, c)
			destinationtest.CatchUp(t, w, m)
			stop()
			wantErased(t, m, mem)
			if s := m.List()[0]; s.Lost != 0 || len(mem.Tables().Customers) != 1 {
				t.Errorf("%d changes are lost, and there are %d customers", s.Lost, len(mem.Tables().Customers))
			}
		})
	}
}

// TestDamage: a damaged customer is left out, and counted. If an erasure
// concerns the damaged customer, the destination stops, because it may still
// have the erased data. The error says how an operator can continue.
func TestDamage(t *testing.T) {
	t.Parallel()
	w := destinationtest.NewWorld(t, 1)
	s := unreadable{err: errDamaged}
	m, mem := s.open(t, w, false)
	stop := running(t, m)
	s.profiles.Store(1)
	c := purchase(t, w)
	destinationtest.CatchUp(t, w, m)
	if s := m.List()[0]; s.Lost != 1 || len(mem.Tables().Events) != 1 {
		t.Errorf("got %d lost changes and %d events, want one each", s.Lost, len(mem.Tables().Events))
	}
	for what, reads := range map[string]*atomic.Int64{"profile": &s.profiles, "timeline": &s.timelines} {
		before := m.List()[0].Position
		reads.Store(1)
		erase(t, w, c)
		stopped := destination.Status{}
		for stopped.State != destination.Stopped && t.Context().Err() == nil {
			stopped = m.List()[0]
		}
		if stopped.Position != before || !strings.Contains(stopped.Error, "destinations rewind a --to ") {
			t.Errorf("%s: stopped at %d with %s", what, stopped.Position, stopped.Error)
		}
		if err := m.Resume("a"); err != nil { // it was the disk after all
			t.Fatal(err)
		}
		destinationtest.CatchUp(t, w, m)
		wantErased(t, m, mem)
	}
	stop()
}

package destinationtest

import (
	"context"
	"sync"
	"sync/atomic"

	"trackway/internal/destination"
)

// The points at which [Memory] may fail.
const (
	Preparing     = "prepare"
	BeforeWriting = "before a write"
	AfterWriting  = "after a write" // after storing, but before the caller gets an answer
	CheckingIt    = "check"
)

// Memory is a destination in memory. Its zero value is empty. All sinks that
// [Memory.Sink] returns share it, as processes share a database.
type Memory struct {
	fails atomic.Pointer[Failing]

	mu       sync.Mutex
	tables   Tables
	position destination.Position
	batches  []Written
}

// Failing is called at each point. If it returns an error, the call of the sink
// fails with it.
type Failing func(ctx context.Context, point string, b *destination.Batch) error

// Fail makes sinks fail as f says from now on. A nil f ends the failures.
func (m *Memory) Fail(f Failing) { m.fails.Store(&f) }

// Written describes a batch that was written.
type Written struct {
	After, Through uint64
	Rows, Bytes    int
}

// Sink returns a sink of the destination.
func (m *Memory) Sink() destination.Sink { return &memorySink{m} }

// Tables returns what the destination has.
func (m *Memory) Tables() *Tables {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tables.clone()
}

// Batches returns the batches that were written, in order.
func (m *Memory) Batches() []Written {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Written(nil), m.batches...)
}

// Place sets the position by hand.
func (m *Memory) Place(p destination.Position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.position = p
}

// Position returns the position.
func (m *Memory) Position() destination.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.position
}

type memorySink struct{ m *Memory }

func (s *memorySink) fail(ctx context.Context, point string, b *destination.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f := s.m.fails.Load(); f != nil && *f != nil {
		return (*f)(ctx, point, b)
	}
	return nil
}

// Prepare implements [destination.Sink].
func (s *memorySink) Prepare(ctx context.Context) (destination.Position, error) {
	if err := s.fail(ctx, Preparing, nil); err != nil {
		return destination.Position{}, err
	}
	return s.m.Position(), nil
}

// Write implements [destination.Sink].
func (s *memorySink) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	if err := s.fail(ctx, BeforeWriting, b); err != nil {
		return nil, err
	}
	s.m.mu.Lock()
	s.m.tables.add(b)
	s.m.batches = append(s.m.batches, Written{b.After, b.Through, b.Rows(), b.Bytes})
	if b.Through > s.m.position.Number { // otherwise another process has taken over
		s.m.position = destination.Position{Store: b.Store, Number: b.Through}
	}
	s.m.mu.Unlock()
	return nil, s.fail(ctx, AfterWriting, b)
}

// Check implements [destination.Sink].
func (s *memorySink) Check(ctx context.Context) error { return s.fail(ctx, CheckingIt, nil) }

// Rewind implements [destination.Sink].
func (s *memorySink) Rewind(_ context.Context, to destination.Position) error {
	s.m.Place(to)
	return nil
}

// Close implements [destination.Sink].
func (s *memorySink) Close() error { return nil }

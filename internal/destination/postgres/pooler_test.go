package postgres_test

import (
	"sync"
	"testing"

	"trackway/internal/destination"
)

// TestReadThroughPooler reads while others use the same sessions of PgBouncer.
func TestReadThroughPooler(t *testing.T) {
	t.Parallel()
	d := database(t)
	port := d.Pooler(t)
	first := unprepared(t, d.At(port))
	if _, err := first.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, first, numbered(0, 50))
	var all sync.WaitGroup
	for range 6 {
		s := unprepared(t, d.At(port))
		all.Go(func() {
			for range 40 {
				n := 0
				if err := s.Events(t.Context(), 0, 1000, func(*destination.Event) bool { n++; return true }); err != nil || n != 50 {
					t.Errorf("got %d events and %v, want 50", n, err)
					return
				}
			}
		})
	}
	all.Wait()
}

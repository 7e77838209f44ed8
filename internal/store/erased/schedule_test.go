package erased

import (
	"testing"

	"trackway"
)

// TestPending: an erasure that lost its record, and so the time of its request,
// does not hide the times of the others.
func TestPending(t *testing.T) {
	t.Parallel()
	var s Schedule
	for id, asked := range []trackway.Micros{0, 30, 20, 0, 40} {
		s.Add(uint64(id+1), asked)
	}
	for range 100 { // the iteration order is random
		if n, oldest := s.Pending(); n != 5 || oldest != 20 {
			t.Fatalf("%d are pending, the oldest was asked for at %d; want 5, at 20", n, oldest)
		}
	}
	for id := range uint64(5) {
		s.Done(id + 1)
	}
	if n, oldest := s.Pending(); n != 0 || oldest != 0 {
		t.Errorf("%d are pending, the oldest was asked for at %d", n, oldest)
	}
}

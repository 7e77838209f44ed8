package erased

import (
	"testing"

	"trackway"
)

// TestPending: an erasure whose record is lost, and with it when it was asked for, does not hide when the others were.
func TestPending(t *testing.T) {
	t.Parallel()
	var s Schedule
	for id, asked := range []trackway.Micros{0, 30, 20, 0, 40} {
		s.Add(uint64(id+1), asked)
	}
	for range 100 { // the order in which they are looked at is random
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

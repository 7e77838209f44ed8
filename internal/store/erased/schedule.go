package erased

import (
	"sync"

	"trackway"
)

// Schedule holds the pending erasures. The zero value is empty. It is safe for
// concurrent use and has its own lock: callers that ask for the number of
// erasures must not wait for writers, above all if those wait for the disk.
type Schedule struct {
	mu    sync.Mutex
	asked map[uint64]trackway.Micros // by number
}

// Add adds an erasure and the time of its request.
func (s *Schedule) Add(id uint64, asked trackway.Micros) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = make(map[uint64]trackway.Micros)
	}
	s.asked[id] = asked
}

// Done removes an erasure.
func (s *Schedule) Done(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asked, id)
}

// Pending returns the number of pending erasures and the time of the oldest
// request. The time is 0 if there are no pending erasures or if no time is
// known.
func (s *Schedule) Pending() (n int, oldest trackway.Micros) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, asked := range s.asked {
		if asked != 0 && (oldest == 0 || asked < oldest) {
			oldest = asked
		}
	}
	return len(s.asked), oldest
}

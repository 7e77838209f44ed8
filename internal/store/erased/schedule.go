package erased

import (
	"sync"

	"trackway"
)

// Schedule is the erasures that are not done. The zero value is empty. It is safe for concurrent use, and has a lock of its own: who
// asks how many there are must not wait for those who write, above all when these wait for the disk.
type Schedule struct {
	mu    sync.Mutex
	asked map[uint64]trackway.Micros // by number
}

// Add adds an erasure, and when it was asked for.
func (s *Schedule) Add(id uint64, asked trackway.Micros) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = make(map[uint64]trackway.Micros)
	}
	s.asked[id] = asked
}

// Done takes an erasure away.
func (s *Schedule) Done(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asked, id)
}

// Pending returns how many there are, and when the oldest of them was asked for; 0 where there is none, or of none it is known.
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

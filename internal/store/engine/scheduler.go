package engine

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// grantPause is how often the scheduler looks for a compaction that waits.
// Pebble's own scheduler looks as often.
const grantPause = 100 * time.Millisecond

// scheduler lets compactions run as Pebble's own scheduler does: as many as
// Pebble permits by the state of its tables. But none begins before the
// database is open. Opening ends with a search for obsolete files, and for that
// Pebble waits until no compaction runs. After a crash, replaying the
// write-ahead log fills level 0, so a compaction that takes seconds would start
// before that search, and the server would not be ready until it is done.
//
// It implements [pebble.CompactionScheduler]. A DB calls TrySchedule while it
// holds its lock, and nothing else.
type scheduler struct {
	db       pebble.DBForCompaction
	end      chan struct{} // closed when the DB closes
	granting sync.Mutex    // held while compactions are granted

	mu      sync.Mutex
	running int
	begun   bool // compactions may begin
}

func newScheduler() *scheduler { return &scheduler{end: make(chan struct{})} }

// begin lets compactions begin.
func (s *scheduler) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = true
}

// Register implements [pebble.CompactionScheduler].
func (s *scheduler) Register(_ int, db pebble.DBForCompaction) {
	s.db = db
	go s.run()
}

// run looks for waiting compactions. A waiting one that has been permitted
// since then does not ask again.
func (s *scheduler) run() {
	tick := time.NewTicker(grantPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.grant()
		case <-s.end:
			return
		}
	}
}

// Unregister implements [pebble.CompactionScheduler]. After it, the scheduler
// calls the DB no more.
func (s *scheduler) Unregister() {
	close(s.end)
	s.granting.Lock() // waits for a call that has begun
	defer s.granting.Unlock()
}

// TrySchedule implements [pebble.CompactionScheduler].
func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	return s.take(), s
}

// take reports whether one more compaction may run, and counts it.
func (s *scheduler) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun || s.running >= s.db.GetAllowedWithoutPermission() {
		return false
	}
	s.running++
	return true
}

func (s *scheduler) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

// grant starts those of the waiting compactions that are permitted.
func (s *scheduler) grant() {
	s.granting.Lock()
	defer s.granting.Unlock()
	for {
		select {
		case <-s.end:
			return
		default:
		}
		if !s.take() {
			return
		}
		if waiting, _ := s.db.GetWaitingCompaction(); !waiting || !s.db.Schedule(s) {
			s.release()
			return
		}
	}
}

// UpdateGetAllowedWithoutPermission implements [pebble.CompactionScheduler].
// The DB holds its lock; the next look is soon enough.
func (s *scheduler) UpdateGetAllowedWithoutPermission() {}

// Started implements [pebble.CompactionGrantHandle].
func (s *scheduler) Started() {}

// MeasureCPU implements [pebble.CompactionGrantHandle].
func (s *scheduler) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats implements [pebble.CompactionGrantHandle].
func (s *scheduler) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done implements [pebble.CompactionGrantHandle].
func (s *scheduler) Done() {
	s.release()
	s.grant()
}

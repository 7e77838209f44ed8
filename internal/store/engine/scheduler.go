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
// Pebble permits by the state of its tables. There are two differences:
//
//   - None begins before the database is open. Opening ends with a search for
//     obsolete files, and for that Pebble waits until no compaction runs. After
//     a crash, replaying the write-ahead log fills level 0, so a compaction
//     that takes seconds would start before that search, and the server would
//     not be ready until it is done.
//   - Those of level 0 may have to wait: see [patience].
//
// As long as one waits, Pebble offers no other that is less urgent. So tables
// of the log stay in level 0 until then: see [mover].
//
// It implements [pebble.CompactionScheduler]. A DB calls TrySchedule while it
// holds its lock, and nothing else.
type scheduler struct {
	patience *patience
	db       pebble.DBForCompaction
	wake     chan struct{} // a compaction waits
	end      chan struct{} // closed by stop
	stopped  sync.Once
	granting sync.Mutex // held while compactions are granted

	mu      sync.Mutex
	running int
	metrics func() *pebble.Metrics // nil: no compaction may begin
}

func newScheduler(p *patience) *scheduler {
	return &scheduler{patience: p, wake: make(chan struct{}, 1), end: make(chan struct{})}
}

// begin lets compactions begin. It gets the metrics of the DB.
func (s *scheduler) begin(metrics func() *pebble.Metrics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics = metrics
	s.poke()
}

// poke has somebody look for waiting compactions. It does not wait.
func (s *scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
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
		case <-s.wake:
		case <-s.end:
			return
		}
		s.grant()
	}
}

// Unregister implements [pebble.CompactionScheduler].
func (s *scheduler) Unregister() { s.stop() }

// stop lets no more compactions begin. After it, the scheduler calls the DB no
// more.
func (s *scheduler) stop() {
	s.stopped.Do(func() { close(s.end) })
	s.granting.Lock() // waits for a call that has begun
	defer s.granting.Unlock()
}

// TrySchedule implements [pebble.CompactionScheduler]. It does not say which
// compaction may begin, so none does here.
func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	s.poke()
	return false, nil
}

// take reports whether one more compaction may run, and counts it.
func (s *scheduler) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.metrics == nil || s.running >= s.db.GetAllowedWithoutPermission() {
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
		if !s.next() {
			s.release()
			return
		}
	}
}

// next starts the compaction that waits. It reports whether there was one that
// need not wait any longer.
func (s *scheduler) next() bool {
	there, waiting := s.db.GetWaitingCompaction()
	if !there {
		s.patience.rest(s.metrics)
		return false
	}
	// Only a compaction for the shape of the levels has a score.
	if waiting.Score > 0 {
		m := s.metrics()
		if waiting.Score == m.Levels[0].Score && s.patience.waits(m, time.Now()) {
			return false
		}
	}
	return s.db.Schedule(s)
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

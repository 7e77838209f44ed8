package destination

import (
	"maps"
	"sync"
	"time"
)

// State is what a destination is doing.
type State string

// The states.
const (
	Running  State = "running"  // it has all changes, or will soon
	Behind   State = "behind"   // it works, but is far behind
	Retrying State = "retrying" // it fails, and is tried again
	Paused   State = "paused"   // by an operator
	Stopped  State = "stopped"  // an operator has to act: see the error
	Checking State = "checking" // a row is written, read and removed
)

// mostReasons is how many reasons of rejects are counted by name.
const (
	mostReasons = 50
	otherReason = "other reasons"
)

// Bucket is the time that one element of [Status.History] covers.
const Bucket = 10 * time.Second

const buckets = 60

// stats is what operators see of a destination. It is safe for concurrent use.
type stats struct {
	mu        sync.Mutex
	position  uint64
	batches   uint64
	rows      uint64
	rejected  map[string]uint64 // by reason
	retries   map[string]uint64 // by reason
	lost      uint64
	missed    uint64    // before this start, too
	announced time.Time // when the log last said so
	success   time.Time // last
	failure   time.Time // last
	err       string    // of the last failure
	failing   bool
	checks    int // under way
	stopped   bool
	paused    bool
	history   [buckets]uint64 // rows, by time modulo
	historyAt int64           // number of the newest bucket
}

// moved notes the position.
func (s *stats) moved(position uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = position
}

// inherit takes over the position and all counts of another runner, which must
// have stopped.
func (s *stats) inherit(other *stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	s.position, s.batches, s.rows, s.lost, s.missed, s.announced = other.position, other.batches, other.rows, other.lost, other.missed, other.announced
	s.success, s.failure, s.err = other.success, other.failure, other.err
	s.history, s.historyAt = other.history, other.historyAt
	s.rejected, s.retries = maps.Clone(other.rejected), maps.Clone(other.retries)
}

// at returns the position.
func (s *stats) at() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position
}

func (s *stats) wrote(b *Batch, rejects []Reject) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	s.rows += uint64(max(b.Rows()-len(rejects), 0)) // a customer is one row here, and up to three elsewhere
	s.success = time.Now()
	s.bucketLocked(s.success)
	s.history[s.historyAt%buckets] += uint64(b.Rows())
	for _, r := range rejects {
		s.rejectLocked(r.Reason, 1)
	}
}

func (s *stats) rejectLocked(reason string, n uint64) {
	if s.rejected == nil {
		s.rejected = make(map[string]uint64)
	}
	if _, known := s.rejected[reason]; !known && len(s.rejected) >= mostReasons {
		reason = otherReason
	}
	s.rejected[reason] += n
}

// bucketLocked advances the history to a time.
func (s *stats) bucketLocked(now time.Time) {
	at := now.UnixNano() / int64(Bucket)
	for n := 0; s.historyAt < at && n < buckets; n++ {
		s.historyAt++
		s.history[s.historyAt%buckets] = 0
	}
	s.historyAt = max(s.historyAt, at)
}

func (s *stats) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost++
}

// miss counts events that expired before they were sent. It returns the sum,
// and whether it is time to log it.
func (s *stats) miss(events int, now time.Time) (sum uint64, announce bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed += uint64(events)
	if announce = now.Sub(s.announced) >= missedEvery; announce {
		s.announced = now
	}
	return s.missed, announce
}

// failed notes an error and its text. It reports whether this is news: the
// destination worked before, or failed for another reason.
func (s *stats) failed(err error, text string) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retries == nil {
		s.retries = make(map[string]uint64)
	}
	s.retries[reasonOf(err)]++
	news = !s.failing || s.err != text
	s.failure, s.err, s.failing = time.Now(), text, true
	return news
}

// recovered notes that the destination works. It reports whether it had failed
// before.
func (s *stats) recovered() (before bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.failing = s.failing, false
	return before
}

// checking notes that a check is running until the returned function is called.
func (s *stats) checking() (done func()) {
	add := func(n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.checks += n
	}
	add(1)
	return func() { add(-1) }
}

// pause notes whether the destination is paused.
func (s *stats) pause(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
}

// begin notes that the destination runs from now on.
func (s *stats) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped, s.failing = false, false
}

// stop notes that an operator has to act.
func (s *stats) stop(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped, s.err, s.failure = true, text, time.Now()
}

// show fills in a status, except for the position and what the store has.
func (s *stats) show(to *Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to.Position, to.Batches, to.Rows, to.Lost, to.Missed = s.position, s.batches, s.rows, s.lost, s.missed
	to.Success, to.Failure, to.Error = s.success, s.failure, s.err
	to.Rejected, to.Retries = maps.Clone(s.rejected), maps.Clone(s.retries)
	s.bucketLocked(time.Now())
	to.History = make([]uint64, 0, buckets)
	for i := int64(1); i <= buckets; i++ {
		to.History = append(to.History, s.history[(s.historyAt+i)%buckets])
	}
	const minute = int(time.Minute / Bucket)
	recent := uint64(0)
	for _, rows := range to.History[buckets-1-minute : buckets-1] { // the newest bucket is not full yet
		recent += rows
	}
	to.Rate = float64(recent) / time.Minute.Seconds()
	switch {
	case s.paused:
		to.State = Paused
	case s.stopped:
		to.State = Stopped
	case s.checks > 0:
		to.State = Checking
	case s.failing:
		to.State = Retrying
	default:
		to.State = Running
	}
}

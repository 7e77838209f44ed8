package destination

import "time"

// Status is what operators see of a destination.
type Status struct {
	Name, Kind string
	State      State
	First      uint64 // it began after this change
	Position   uint64 // it has all changes up to this number
	LagEvents  uint64 // changes after the position, including those that the destination does not get
	Lag        time.Duration
	Batches    uint64    // written since the server started
	Rows       uint64    // written since then
	Rate       float64   // rows a second, in the last minute
	History    []uint64  // rows in the last ten minutes, by [Bucket], oldest first
	Success    time.Time // last batch; zero: none since the server started
	Failure    time.Time // last error; zero: none since then
	Error      string    // of the last failure, without credentials and properties
	Rejected   map[string]uint64
	Retries    map[string]uint64 // by reason, since the server started
	Misfits    []Misfit
	Lost       uint64 // changes that the store could not read
	Missed     uint64 // events that expired before they were sent
	Deletes    bool   // erasures reach it
	LetsGo     bool   // events expire before it has them, because of its lag or its configuration
}

// status returns a runner's status. Cost: a step of the log, if the destination
// is behind.
func (r *runner) status() Status {
	s := Status{Name: r.config.Name, Kind: r.config.Kind, Deletes: r.deletes(), First: r.files.Get().First}
	r.stats.show(&s)
	if c, ok := r.sink.(MisfitCounter); ok {
		s.Misfits = c.Misfits()
	}
	if synced := r.store.Synced(); synced > s.Position {
		s.LagEvents = synced - s.Position
		s.Lag = r.lag(s.Position)
	}
	s.LetsGo = r.letsGo(s.Lag)
	if s.State == Running && s.Lag > behindAfter+3*r.config.Every {
		s.State = Behind
	}
	return s
}

// behindAfter is how long a lag must be to count as unusual, apart from the
// time that a batch waits for more changes.
const behindAfter = 30 * time.Second

// lag returns how long the first event after a position has been waiting. If no
// event follows, only customers have changed, and their times are unknown.
func (r *runner) lag(position uint64) (lag time.Duration) {
	at, err := receivedAfter(r.store, position)
	if err != nil || at == 0 {
		return 0
	}
	return max(time.Since(at.Time()), 0)
}

// letsGo reports whether events expire although the destination does not have
// them.
func (r *runner) letsGo(lag time.Duration) bool {
	return r.config.Retention == "let_go" || r.config.Hold > 0 && lag > r.config.Hold
}

// deletes reports whether erasures reach the destination.
func (r *runner) deletes() bool {
	_, keeps := r.sink.(Keeper)
	return !keeps
}

package members

import (
	"context"
	"sync"
	"time"
)

// How a [Watch] asks the others.
const (
	pace     = 2 * time.Second
	askTime  = 1500 * time.Millisecond
	silentBy = 2    // questions in a row without an answer
	mostKept = 1800 // of the times at which entries were applied: an hour
)

// Watch asks the other members again and again how far they are. It is safe for
// concurrent use.
type Watch struct {
	mu      sync.Mutex
	heard   map[Member]answers // by id and address
	reached []reached          // oldest first; of all members together
}

// answers is what a member has answered.
type answers struct {
	applied uint64
	at      time.Time // of the last answer; zero: never
	failed  int       // questions since
}

// reached says which entry was applied at a time, by at least one member.
type reached struct {
	at    time.Time
	index uint64
}

// Run asks until ctx ends. self returns what this server knows; ask asks the
// member at an address for the last entry in its data.
func (w *Watch) Run(ctx context.Context, self func() Status, ask func(ctx context.Context, address string) (uint64, error)) error {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		s := self()
		var all sync.WaitGroup
		for _, m := range s.Members {
			if m.ID == s.ID {
				continue
			}
			all.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, askTime)
				defer cancel()
				applied, err := ask(ctx, m.Address)
				w.note(m, applied, err, time.Now())
			})
		}
		all.Wait()
		w.forget(&s)
		w.reach(s.Applied, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// key is a member as a key, without what changes.
func key(m Member) Member { return Member{ID: m.ID, Address: m.Address} }

func (w *Watch) note(m Member, applied uint64, err error, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heard == nil {
		w.heard = make(map[Member]answers)
	}
	a := w.heard[key(m)]
	if a.failed++; err == nil {
		a = answers{applied: applied, at: now}
	}
	w.heard[key(m)] = a
}

// forget forgets servers that are no longer members.
func (w *Watch) forget(s *Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for known := range w.heard {
		member := false
		for _, m := range s.Members {
			member = member || key(m) == known
		}
		if !member {
			delete(w.heard, known)
		}
	}
}

// reach notes how far the first of the members is.
func (w *Watch) reach(applied uint64, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.heard {
		applied = max(applied, a.applied)
	}
	if n := len(w.reached); n > 0 && w.reached[n-1].index >= applied {
		return
	}
	if w.reached = append(w.reached, reached{now, applied}); len(w.reached) > mostKept {
		w.reached = w.reached[1:]
	}
}

// Complete fills in what this server has learned of the members.
func (w *Watch) Complete(s *Status, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := s.Applied
	for _, a := range w.heard {
		first = max(first, a.applied)
	}
	for i := range s.Members {
		m := &s.Members[i]
		if m.ID == s.ID {
			m.Applied, m.Heard = s.Applied, &now
		} else if a := w.heard[key(*m)]; !a.at.IsZero() {
			m.Applied, m.Heard, m.Silent = a.applied, &a.at, a.failed >= silentBy
		} else {
			m.Silent = a.failed >= silentBy
			continue // how far it is nobody knows
		}
		m.Behind = first - m.Applied
		m.Seconds = w.since(m.Applied, first, now)
	}
	s.Level, s.Trouble = judge(s)
}

// since returns for how many seconds there was an entry after applied, or nil
// if that is not known.
func (w *Watch) since(applied, first uint64, now time.Time) *float64 {
	var seconds float64
	if applied >= first {
		return &seconds
	}
	for i, r := range w.reached {
		if r.index > applied {
			if i == 0 {
				return nil // it is older than what is kept
			}
			seconds = max(now.Sub(r.at).Seconds(), 0)
			return &seconds
		}
	}
	return &seconds // it is newer than the last question
}

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
	first   uint64             // the last entry that any member had applied, when all were asked
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

// Run asks until ctx ends. self returns what this server knows; ask asks a
// member for the last entry in its data.
func (w *Watch) Run(ctx context.Context, self func() Status, ask func(ctx context.Context, m *Member) (uint64, error)) error {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		s := self()
		w.note(&s, askAll(ctx, &s, ask), time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// askAll asks the other members once, all at the same time. The answers are in
// the order of the members.
func askAll(ctx context.Context, s *Status, ask func(ctx context.Context, m *Member) (uint64, error)) []answers {
	got := make([]answers, len(s.Members))
	var all sync.WaitGroup
	for i, m := range s.Members {
		if m.ID == s.ID {
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTime)
			defer cancel()
			applied, err := ask(ctx, &m)
			if err != nil {
				got[i] = answers{failed: 1}
				return
			}
			got[i] = answers{applied: applied, at: time.Now()}
		})
	}
	all.Wait()
	return got
}

// key is a member as a key, without what changes.
func key(m *Member) Member { return Member{ID: m.ID, Address: m.Address} }

// note notes what the members have answered. The entries that each lacks are
// counted as of one moment: a later look at this server's own data would find
// that the others lack what they have got meanwhile.
func (w *Watch) note(s *Status, got []answers, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := make(map[Member]answers, len(got)) // without servers that are no longer members
	w.first = s.Applied
	for i := range s.Members {
		m := &s.Members[i]
		if m.ID == s.ID {
			continue
		}
		a := got[i]
		if a.failed > 0 {
			a = w.heard[key(m)]
			a.failed++
		}
		heard[key(m)] = a
		w.first = max(w.first, a.applied)
	}
	w.heard = heard
	if n := len(w.reached); n > 0 && w.reached[n-1].index >= w.first {
		return
	}
	if w.reached = append(w.reached, reached{now, w.first}); len(w.reached) > mostKept {
		w.reached = w.reached[1:]
	}
}

// Complete fills in what this server has learned of the members.
func (w *Watch) Complete(s *Status, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range s.Members {
		m := &s.Members[i]
		if m.ID == s.ID {
			m.Applied, m.Heard = s.Applied, &now
		} else if a := w.heard[key(m)]; !a.at.IsZero() {
			m.Applied, m.Heard, m.Silent = a.applied, &a.at, a.failed >= silentBy
		} else {
			m.Silent = a.failed >= silentBy
			continue // nobody knows how far it is
		}
		if m.Applied < w.first {
			m.Behind = w.first - m.Applied
		}
		m.Seconds = w.since(m.Applied, now)
	}
	s.Level, s.Trouble = judge(s)
}

// since returns for how many seconds there was an entry after applied, or nil
// if that is not known.
func (w *Watch) since(applied uint64, now time.Time) *float64 {
	var seconds float64
	for i, r := range w.reached {
		if r.index > applied {
			if i == 0 {
				return nil // it is older than what is kept
			}
			seconds = max(now.Sub(r.at).Seconds(), 0)
			break
		}
	}
	return &seconds
}

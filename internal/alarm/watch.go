package alarm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/config/alarming"
	"trackway/internal/query"
)

const (
	pause      = 10 * time.Second // between two looks
	savePause  = time.Minute      // between two notes that the server runs
	gapLeast   = 2 * time.Minute  // a shorter time without a look is no gap
	hourSettle = 2 * time.Minute  // after an hour, until its counts are judged
	mostSettle = 5 * time.Minute  // that an alarm waits before it ends
	lostAfter  = 7 * 24 * time.Hour
)

// Deps are what a watch needs. All fields are required.
type Deps struct {
	Book   *Book
	Counts Counts
	Sample func(now time.Time) (Sample, error) // an error means that the sample lacks something
	Leads  func() bool                         // whether this server tells what is wrong with shared data
	Log    *slog.Logger

	// LeadsOf reports whether this server tells what only servers know that
	// hold the data of a project.
	LeadsOf func(project uint32) bool
}

// Watch looks at the server from time to time, and decides what rings. It is
// safe for concurrent use.
type Watch struct {
	Deps

	setup atomic.Pointer[Setup]

	mu     sync.Mutex // guards what follows; held during a look
	recent recent
	saved  time.Time
	failed bool // the last look has failed, and that was logged

	judged   []string   // the projects that were judged
	judgedOf query.Hour // the hour that they were judged for
}

// Setup is what a reload replaces.
type Setup struct {
	alarming.Alarms

	Projects []trackway.Project

	zone *time.Location // nil: unknown
}

// New returns a watch that does nothing until [Watch.Run].
func New(d Deps, s Setup) *Watch {
	w := &Watch{Deps: d}
	w.Reload(s)
	return w
}

// Reload makes the watch use other rules and receivers.
func (w *Watch) Reload(s Setup) {
	if s.Zone != "" {
		s.zone, _ = time.LoadLocation(s.Zone) // it has been checked
	}
	w.setup.Store(&s)
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	w.look(time.Now())
	for {
		select {
		case <-ticker.C:
			w.look(time.Now())
		case <-ctx.Done():
			w.Book.change(func(s *state) bool {
				s.Seen = time.Now()
				return true
			})
			return nil
		}
	}
}

// look judges everything once. Counts that cannot be read are judged the next
// time.
func (w *Watch) look(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	setup := w.setup.Load()
	// The meters count by the monotonic clock, which nobody can turn. The book
	// does without it, because it stops while the machine sleeps.
	sample, err := w.Sample(now)
	now = now.Round(0)
	gap := w.noteRunning(now, setup)
	w.recent.add(&sample)
	verdicts := judgeSample(setup.Rules, &w.recent)
	whole := err == nil
	silences, judged, hour, counted := w.judgeCounts(now, setup)
	w.logFailure(err, counted)
	returned := w.returned(now, setup)
	w.Book.change(func(s *state) bool {
		r := newRound(w, s, now, setup)
		r.apply(verdicts)
		if whole {
			r.endVanished(verdicts)
		}
		if silences != nil {
			r.apply(silences)
			r.forgetSilences(silences, judged)
		}
		if hour > s.Judged {
			s.Judged = hour
			r.changed = true
		}
		for _, v := range returned {
			r.end(v, "")
		}
		r.endUnwatched()
		if due := now.Sub(w.saved) >= savePause; r.changed || gap || due {
			w.saved = now
			return true
		}
		return false
	})
}

func (w *Watch) logFailure(errs ...error) {
	failed := false
	for _, err := range errs {
		if err != nil {
			failed = true
			if !w.failed {
				w.Log.Error("alarms cannot be judged in full", "err", err)
			}
		}
	}
	w.failed = failed
}

// noteRunning notes that the server runs now. If it did not before, it notes
// that too, and tells it.
func (w *Watch) noteRunning(now time.Time, setup *Setup) (gap bool) {
	w.Book.change(func(s *state) bool {
		before := s.Seen
		if s.Latest.After(before) && s.Latest.Before(now) {
			before = s.Latest // the clock was wrong, and has been put right
			if !s.Behind.IsZero() && now.Sub(s.Seen) >= gapLeast {
				s.putRight(s.Seen)
			}
		}
		s.Seen, s.Latest = now, later(s.Latest, now)
		if !s.Latest.After(now) {
			s.Behind = time.Time{} // or it was ahead, and has been right since then
		}
		if now.Before(before) {
			s.turnBack(now)
			w.saved = time.Time{}
		}
		if before.IsZero() { // nobody knows since when the server ran before
			s.Judged = hourBefore(now)
			s.noteGap(Gap{now.Truncate(time.Hour), now, true})
			gap = true
			return false // saved soon
		}
		if now.Sub(before) < gapLeast {
			return false
		}
		gap = true
		s.noteGap(Gap{From: before, To: now})
		rule := ruleFor(setup.Rules, alarming.WasDown, func(r *alarming.Rule) bool { return now.Sub(before) >= r.Age })
		if rule == nil {
			return false
		}
		a := Alarm{Kind: alarming.WasDown, Since: before, Rang: now, Ended: now, Text: downText(before, now, setup.zone)}
		s.bury(&a)
		w.Book.postLocked(notice(&a, Ended), setup.names())
		return false
	})
	return gap
}

func downText(from, to time.Time, zone *time.Location) string {
	if zone == nil {
		zone = time.UTC
	}
	const form = "2006-01-02 15:04 MST"
	return "The server did not run from " + from.In(zone).Format(form) + " to " + to.In(zone).Format(form) + ". Silence is not judged for these hours."
}

// judgeCounts judges the counts of the last whole hour, once for each project.
// Projects that cannot be read are judged the next time. Without a verdict,
// silences is nil. hour is the last one that was judged for all.
func (w *Watch) judgeCounts(now time.Time, setup *Setup) (silences []verdict, judged []string, hour query.Hour, err error) {
	last := hourBefore(now)
	var gaps []Gap
	due := false
	w.Book.read(func(s *state) {
		due, hour, gaps = s.Judged < last && now.Sub(last.Time()) >= time.Hour+hourSettle, s.Judged, slices.Clone(s.Gaps)
	})
	if !due {
		return nil, nil, hour, nil
	}
	if w.judgedOf != last {
		w.judgedOf, w.judged = last, nil
	}
	left := slices.DeleteFunc(slices.Clone(setup.Projects), func(p trackway.Project) bool { return slices.Contains(w.judged, p.Name) })
	silences, judged, err = judgeHour(setup.Rules, w.Counts, left, last, calendar{setup.zone, ran(gaps)})
	w.judged = append(w.judged, judged...)
	if err == nil {
		hour = last
	}
	return append([]verdict{}, silences...), judged, hour, err
}

// returned returns the alarms about silence that end because events come again,
// before the hour is over.
func (w *Watch) returned(now time.Time, setup *Setup) (keys []key) {
	var silences []Alarm
	w.Book.read(func(s *state) {
		for i := range s.Alarms {
			if a := &s.Alarms[i]; a.Silent != nil && a.Rings() {
				silences = append(silences, *a)
			}
		}
	})
	hour := query.HourOf(trackway.MicrosOf(now))
	for i := range setup.Projects {
		p := &setup.Projects[i]
		if !slices.ContainsFunc(silences, func(a Alarm) bool { return a.Silent.Project == p.Name }) {
			continue
		}
		h, err := read(w.Counts, p.Number, hour, hour+1)
		if err != nil {
			continue // the hour is judged when it is over, and then the error is logged
		}
		for j := range silences {
			a := &silences[j]
			s := h.whole
			if a.Silent.Type != "" {
				s = h.types[a.Silent.Type]
			}
			if a.Silent.Project == p.Name && s != nil && enough(uint64(s.at(hour)), a.Silent.Expected, a.Silent.Percent) {
				keys = append(keys, a.key())
			}
		}
	}
	return keys
}

// names returns the names of the receivers.
func (s *Setup) names() []string {
	names := make([]string, len(s.Receivers))
	for i := range s.Receivers {
		names[i] = s.Receivers[i].Name
	}
	return names
}

// notice returns what to tell of an alarm. Its id stays the same after a
// restart.
func notice(a *Alarm, is State) *Notice {
	sum := sha256.Sum256([]byte(a.Kind + "\x00" + a.Subject + "\x00" + a.Since.UTC().Format(time.RFC3339Nano) + "\x00" + string(is) + "\x00" + a.Silent.typ()))
	return &Notice{
		ID: hex.EncodeToString(sum[:12]), State: is, Kind: a.Kind, Subject: a.Subject, Text: a.Text,
		Since: a.Since.UTC().Truncate(time.Second), Ended: a.Ended.UTC().Truncate(time.Second),
	}
}

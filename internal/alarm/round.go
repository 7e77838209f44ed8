package alarm

import (
	"slices"
	"time"

	"trackway/internal/config/alarming"
)

// round is what one look changes in the book. It holds the book's lock.
type round struct {
	watch   *Watch
	state   *state
	now     time.Time
	setup   *Setup
	leads   bool
	changed bool

	// What state.Alarms has: there may be far more verdicts than alarms.
	known     map[key]bool // for some that have just ended, too
	strange   int          // that strangers can cause
	types     int          // about types
	ofProject map[string]int
}

func newRound(w *Watch, s *state, now time.Time, setup *Setup) *round {
	r := &round{watch: w, state: s, now: now, setup: setup, leads: w.Leads(), known: make(map[key]bool), ofProject: make(map[string]int)}
	for i := range s.Alarms {
		r.known[s.Alarms[i].key()] = true
		r.count(&s.Alarms[i], 1)
	}
	return r
}

// count counts an alarm that was added (1) or removed (-1).
func (r *round) count(a *Alarm, by int) {
	if alarming.Rank(a.Kind) > 0 {
		r.strange += by
	}
	if a.Silent.typ() != "" {
		r.types += by
		r.ofProject[a.Silent.Project] += by
	}
}

func (r *round) find(k key) int {
	if !r.known[k] {
		return -1
	}
	return slices.IndexFunc(r.state.Alarms, func(a Alarm) bool { return a.key() == k })
}

// apply lets alarms begin, ring and end as the verdicts say.
func (r *round) apply(verdicts []verdict) {
	for i := range verdicts {
		v := &verdicts[i]
		at := r.find(v.key())
		switch {
		case v.unknown:
			r.lose(at)
		case v.bad:
			r.worsen(at, v)
		case at >= 0:
			r.mend(at, v.rule)
		}
	}
}

// worsen notes that something is wrong. Once it has been wrong for the time of
// its rule, the alarm rings.
func (r *round) worsen(at int, v *verdict) {
	if at < 0 {
		if !r.room(v) {
			return
		}
		since := v.since
		if since.IsZero() {
			since = r.now
		}
		at = len(r.state.Alarms)
		r.state.Alarms = append(r.state.Alarms, Alarm{Kind: v.rule.Kind, Subject: v.subject, Since: since, Silent: v.silent})
		r.changed, r.known[v.key()] = true, true
		r.count(&r.state.Alarms[at], 1)
	}
	a := &r.state.Alarms[at]
	a.Fine, a.Unknown = time.Time{}, time.Time{}
	if !a.Rings() || a.Silent == nil { // what the first silent hour should have had is what ends the silence
		a.Text = v.text
	}
	if !a.Rings() && r.now.Sub(a.Since) >= v.rule.For {
		a.Rang = r.now
		r.tell(a, Rings)
	}
}

// room reports whether another alarm can begin.
func (r *round) room(v *verdict) bool {
	if v.rule.Type == alarming.Every && (r.types >= mostOfTypes || r.ofProject[v.silent.Project] >= mostOfProject) {
		return false
	}
	return len(r.state.Alarms) < mostAlarms && (r.strange < mostByStrangers || alarming.Rank(v.rule.Kind) == 0)
}

// mend notes that something is not wrong any more. An alarm that waited before
// it rang also waits before it ends, so that it does not ring and end by turns.
func (r *round) mend(at int, rule *alarming.Rule) {
	a := &r.state.Alarms[at]
	if !a.Rings() {
		r.remove(at)
		return
	}
	if a.Fine.IsZero() {
		a.Fine, a.Unknown, r.changed = r.now, time.Time{}, true
	}
	if r.now.Sub(a.Fine) >= min(rule.For, mostSettle) {
		r.endAt(at, "")
	}
}

// lose notes that nobody can say whether something is wrong. The alarm stays as
// it is, but not for ever: after some weeks, silence is the usual.
func (r *round) lose(at int) {
	if at < 0 {
		return
	}
	a := &r.state.Alarms[at]
	switch {
	case !a.Rings():
		r.remove(at)
	case a.Unknown.IsZero():
		a.Unknown, r.changed = r.now, true
	case r.now.Sub(a.Unknown) >= lostAfter:
		r.endAt(at, " For a week, the past has said too little to judge it.")
	}
}

// endVanished ends the alarms about things that do not exist any more.
func (r *round) endVanished(verdicts []verdict) {
	mentioned := keysOf(verdicts)
	for _, a := range slices.Clone(r.state.Alarms) {
		if a.Silent == nil && !mentioned[a.key()] {
			r.end(a.key(), notWatched)
		}
	}
}

// forgetSilences handles alarms about types without any event in the hours that
// were read, of the projects that were judged.
func (r *round) forgetSilences(verdicts []verdict, judged []string) {
	mentioned := keysOf(verdicts)
	for _, a := range slices.Clone(r.state.Alarms) {
		if a.Silent != nil && slices.Contains(judged, a.Silent.Project) && !mentioned[a.key()] {
			r.lose(r.find(a.key()))
		}
	}
}

func keysOf(verdicts []verdict) map[key]bool {
	keys := make(map[key]bool, len(verdicts))
	for i := range verdicts {
		keys[verdicts[i].key()] = true
	}
	return keys
}

// endUnwatched ends the alarms about silence that no rule covers any more.
func (r *round) endUnwatched() {
	for _, a := range slices.Clone(r.state.Alarms) {
		s := a.Silent
		if s == nil {
			continue
		}
		exists := slices.Contains(r.setup.projects(), s.Project)
		rule := ruleFor(r.setup.Rules, alarming.Silence, func(rule *alarming.Rule) bool {
			return covers(rule.Project, s.Project) && (rule.Type == s.Type || rule.Type == alarming.Every && s.Type != "")
		})
		if !exists || rule == nil {
			r.end(a.key(), notWatched)
		}
	}
}

const notWatched = " It is not watched any more."

func (s *Setup) projects() []string {
	names := make([]string, len(s.Projects))
	for i := range s.Projects {
		names[i] = s.Projects[i].Name
	}
	return names
}

func (r *round) end(k key, why string) {
	if at := r.find(k); at >= 0 {
		r.endAt(at, why)
	}
}

// endAt ends an alarm, and tells it if it has rung.
func (r *round) endAt(at int, why string) {
	a := r.state.Alarms[at]
	r.remove(at)
	if !a.Rings() {
		return
	}
	a.Ended, a.Fine, a.Unknown = r.now, time.Time{}, time.Time{}
	a.Text += why
	r.state.bury(&a)
	r.tell(&a, Ended)
}

func (r *round) remove(at int) {
	r.count(&r.state.Alarms[at], -1)
	r.state.Alarms = slices.Delete(r.state.Alarms, at, at+1)
	r.changed = true
}

// tells reports whether this server tells an alarm. Of the servers of a
// cluster, the leader alone tells what is wrong with the data that all of them
// have, or can read. It may not hold a project, and then it does not know its
// types. So it is the leader of the project's partition that tells about these.
func (r *round) tells(a *Alarm) bool {
	switch a.Kind {
	case alarming.NewType, alarming.ChangedType:
		for i := range r.setup.Projects {
			if p := &r.setup.Projects[i]; p.Name == a.Subject {
				return r.watch.LeadsOf(p.Number)
			}
		}
	}
	return r.leads || !shared(a.Kind)
}

// tell tells what became of an alarm. Other servers know it too, so a new
// leader does not tell it again.
func (r *round) tell(a *Alarm, is State) {
	r.changed = true
	log := r.watch.Log.Info
	if is == Rings {
		log = r.watch.Log.Warn
	}
	log("alarm", "state", string(is), "kind", a.Kind, "subject", a.Subject, "text", a.Text)
	if r.tells(a) {
		r.watch.Book.postLocked(notice(a, is), r.setup.names())
	}
}

package alarm

import (
	"context"
	"math"
	"slices"
	"time"

	"trackway"
	"trackway/internal/config/alarming"
	"trackway/internal/query"
)

// Simulation says when alarms about silence would have rung.
type Simulation struct {
	From      time.Time `json:"from"`
	Until     time.Time `json:"until"`
	Rang      []Rung    `json:"rang"`         // oldest first
	Subjects  int       `json:"subjects"`     // projects and types that were looked at
	Unjudged  int       `json:"unjudged"`     // of these, how many have too little past or too few events to ever ring
	Unknown   []string  `json:"not_recorded"` // kinds of rules in force that cannot be replayed
	GapsKnown bool      `json:"gaps_known"`   // the server knows when it did not run, for all of the time
}

// Rung is an alarm that would have rung. It rings when the hour is over.
type Rung struct {
	Subject string     `json:"subject"`
	Text    string     `json:"text"`
	Rang    time.Time  `json:"rang"`
	Ended   *time.Time `json:"ended"` // when an hour was over that was not silent; null: it would still ring
}

// Simulate replays the counts of past weeks. Only silence can be replayed: of
// the rest, the server does not keep what was.
func (w *Watch) Simulate(ctx context.Context, now time.Time, q Question) (*Simulation, error) {
	setup := w.setup.Load()
	rules := slices.Clone(setup.Rules)
	out := &Simulation{Rang: []Rung{}, Unknown: []string{}}
	for i := range rules {
		r := &rules[i]
		if r.Kind != alarming.Silence {
			if !slices.Contains(out.Unknown, r.Kind) {
				out.Unknown = append(out.Unknown, r.Kind)
			}
			continue
		}
		for _, x := range []struct{ to, by *uint32 }{{&r.Percent, &q.Percent}, {&r.Least, &q.Least}, {&r.Weeks, &q.Against}} {
			if *x.by > 0 {
				*x.to = *x.by
			}
		}
	}
	until := query.HourOf(trackway.MicrosOf(now)) // the running hour is not over
	from := until - query.Hour(q.Weeks*hoursAWeek)
	out.From, out.Until = from.Time(), until.Time()
	var gaps []Gap
	w.Book.read(func(s *state) { gaps = slices.Clone(s.Gaps) })
	out.GapsKnown = len(gaps) > 0 && gaps[0].From.Before(out.From)
	c := calendar{setup.zone, ran(gaps)}
	back := hoursBack(rules)
	if back == 0 {
		return out, nil
	}
	for i := range setup.Projects {
		p := &setup.Projects[i]
		h, err := read(w.Counts, p.Number, max(from, back)-back, until)
		if err != nil {
			return nil, err
		}
		if err := out.replay(ctx, subjects(rules, p.Name, h), from, until, c); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out.Rang, func(a, b Rung) int { return a.Rang.Compare(b.Rang) })
	return out, nil
}

// replay judges each hour of a project's subjects. If the project is silent as
// a whole, its types are not mentioned, as in judgeHour.
func (out *Simulation) replay(ctx context.Context, all []watched, from, until query.Hour, c calendar) error {
	whole := make(map[query.Hour]bool)
	for i := range all {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		out.Subjects++
		if !out.replayOne(&all[i], whole, from, until, c) {
			out.Unjudged++
		}
	}
	return nil
}

// replayOne judges each hour of one subject. It notes in whole when a project
// as a whole was silent. It reports whether any hour could be judged.
func (out *Simulation) replayOne(s *watched, whole map[query.Hour]bool, from, until query.Hour, c calendar) (known bool) {
	rings, lost := -1, query.Hour(math.MaxUint32)
	end := func(at time.Time) { out.Rang[rings].Ended, rings = &at, -1 }
	for h := from; h < until; h++ {
		j := judge(s.rule, s.series, h, c)
		known = known || !j.unknown
		if s.typ == "" && j.silent {
			whole[h] = true
		}
		over := h.Time().Add(time.Hour)
		switch {
		case j.unknown || s.typ != "" && j.silent && whole[h]:
			lost = min(lost, h)
			if rings >= 0 && over.Sub(lost.Time()) >= lostAfter {
				end(over)
			}
			continue
		case j.silent && rings < 0:
			rings = len(out.Rang)
			out.Rang = append(out.Rang, Rung{Subject: subjectOf(s.project, s.typ), Text: silenceText(s.project, s.typ, h, j, c.zone), Rang: over})
		case !j.silent && rings >= 0:
			end(over)
		}
		lost = math.MaxUint32
	}
	return known
}

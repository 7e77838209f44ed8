package dashboard

import (
	"slices"
	"time"

	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/watch"
	"trackway/internal/rates"
)

const (
	mostCallers = 20
	mostChanges = 50
)

// policyRow is a limit in force and its use.
type policyRow struct {
	history.Policy

	Candidate *uint32 `json:"candidate"` // replaces the field of history, which omits 0
	Since     seconds `json:"since"`
	limit.Counts
	Distribution limit.Distribution `json:"distribution"`
}

// refusalSeries is how many calls each policy refused in the last hour.
type refusalSeries struct {
	Start  seconds                 `json:"start"`
	Step   int64                   `json:"step"` // seconds
	Series map[string]rates.Counts `json:"series"`
}

// limits answers with the limits in force, their use, their callers, and their
// changes. The addresses of callers are personal data, also in overrides.
func (q *request) limits() error {
	callers, refused := []watch.Caller{}, []watch.Caller{}
	changes := q.History.Changes()
	if !q.seesPersonal(nil) {
		changes = slices.DeleteFunc(slices.Clone(changes), func(c history.Change) bool { return c.What != history.OfPolicy })
	} else {
		_, callers = q.Watch.Top(q.now, "", false, mostCallers)
		_, refused = q.Watch.Top(q.now, "", true, mostCallers)
	}
	body := limitsBody{secondsOf(q.now), q.policies(), q.refusals(), callers, refused, changes[:min(len(changes), mostChanges)]}
	steady := body
	steady.Now = 0
	return q.versioned(steady, body)
}

type limitsBody struct {
	Now      seconds          `json:"now"`
	Policies []policyRow      `json:"policies"`
	Refusals refusalSeries    `json:"refusals"`
	Callers  []watch.Caller   `json:"callers"`
	Refused  []watch.Caller   `json:"refused"`
	Changes  []history.Change `json:"changes"`
}

func (q *request) policies() []policyRow {
	usage := q.Limits.Usage(q.now).Policies
	rows := []policyRow{}
	for _, p := range q.Limits.Set().Policies() {
		row := policyRow{Policy: history.PolicyOf(&p), Since: secondsOf(q.History.Since(p.Name))}
		if p.Candidate > 0 {
			row.Candidate = &p.Candidate
		}
		for i := range usage {
			if u := &usage[i]; u.Name == p.Name {
				row.Counts, row.Distribution = u.Counts, u.Distribution
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func (q *request) refusals() refusalSeries {
	out := refusalSeries{Series: map[string]rates.Counts{}}
	for _, p := range q.Limits.Set().Policies() {
		s := q.Rates.Refusals(q.now, p.Name)
		out.Start, out.Step, out.Series[p.Name] = secondsOf(s.Start), int64(s.Step/time.Second), s.Counts
	}
	return out
}

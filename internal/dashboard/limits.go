package dashboard

import (
	"time"

	"trackway/internal/limit/history"
	"trackway/internal/limit/watch"
	"trackway/internal/rates"
)

const (
	mostCallers = 20
	mostChanges = 50
)

// policyRow is a limit in force, and how it is used.
type policyRow struct {
	Name string `json:"name"`
	history.Policy

	Candidate    *uint32      `json:"candidate"` // in place of history's, which leaves it out where there is none
	Since        seconds      `json:"since"`
	Calls        uint64       `json:"calls"`
	Refused      uint64       `json:"refused"`
	Would        uint64       `json:"would_refuse"`
	NotCandidate uint64       `json:"candidate_refused"`
	Callers      int          `json:"callers"`
	Distribution distribution `json:"distribution"`
}

// distribution is how many calls the callers of now have made.
type distribution struct {
	P50    uint32  `json:"p50"`
	P95    uint32  `json:"p95"`
	P99    uint32  `json:"p99"`
	Max    uint32  `json:"max"`
	Tenths [10]int `json:"tenths"`
	Over   int     `json:"over"`
}

// refusalSeries is how many calls each policy refused in the last hour.
type refusalSeries struct {
	Start  seconds                 `json:"start"`
	Step   int64                   `json:"step"` // seconds
	Series map[string]rates.Counts `json:"series"`
}

// limits answers which limits there are, how they are used and by whom, and what was changed about them.
func (q *request) limits() error {
	_, callers := q.Watch.Top(q.now, "", false, mostCallers)
	_, refused := q.Watch.Top(q.now, "", true, mostCallers)
	changes := q.History.Changes()
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
		row := policyRow{Name: p.Name, Policy: history.PolicyOf(&p), Since: secondsOf(q.History.Since(p.Name))}
		if p.Candidate > 0 {
			row.Candidate = &p.Candidate
		}
		for i := range usage {
			if u := &usage[i]; u.Policy == p.Name {
				row.Calls, row.Refused, row.Would, row.NotCandidate, row.Callers = u.Calls, u.Refused, u.WouldRefuse, u.CandidateNot, u.Live
				row.Distribution = distribution{u.P50, u.P95, u.P99, u.Max, u.Tenths, u.Over}
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

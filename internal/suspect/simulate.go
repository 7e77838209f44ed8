package suspect

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"net/url"
	"slices"
	"strconv"
	"time"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/sleep"
)

// Question is which rules to try, on how much of the past.
type Question struct {
	Days  int
	Rules trackway.Bots // Agent and OneHit cannot be tried
}

const (
	usualDays = 7
	mostDays  = 400
	mostRule  = 1_000_000
)

// ReadQuestion reads a question: ?days=, and ?pace=, ?repeats= and ?regular=,
// which replace the project's rules. Errors are *[trackway.Error].
func ReadQuestion(values url.Values, rules trackway.Bots) (Question, error) {
	q := Question{Days: usualDays, Rules: rules}
	for _, x := range []struct {
		name        string
		to          *int
		least, most int
	}{{"days", &q.Days, 1, mostDays}, {"pace", &q.Rules.Pace, 0, mostRule}, {"repeats", &q.Rules.Repeats, 0, mostRule}} {
		if !values.Has(x.name) {
			continue
		}
		n, err := strconv.Atoi(values.Get(x.name))
		if err != nil || n < x.least || n > x.most {
			return q, &trackway.Error{Code: trackway.Invalid, Field: x.name, Msg: fmt.Sprintf("must be a number from %d to %d", x.least, x.most)}
		}
		*x.to = n
	}
	if values.Has("regular") {
		d, err := time.ParseDuration(values.Get("regular"))
		if err != nil || d < 0 || d > mostDays*24*time.Hour {
			return q, &trackway.Error{Code: trackway.Invalid, Field: "regular", Msg: "must be a time, such as 6h"}
		}
		q.Rules.Regular = d
	}
	return q, nil
}

// Simulation is what rules would have labeled.
type Simulation struct {
	Project   string    `json:"project"`
	From      time.Time `json:"from"`
	Until     time.Time `json:"until"`
	Rules     RulesView `json:"rules"`
	Events    uint64    `json:"events"`
	Customers int       `json:"customers"` // that would be labeled
	Suspect   uint64    `json:"suspect"`   // events of those, from then on
	Reasons   []Labeled `json:"reasons"`
	Untried   []Reason  `json:"not_recorded"` // the server does not keep what these rules look at
}

// Labeled are the customers that a rule would have labeled.
type Labeled struct {
	Reason    Reason              `json:"reason"`
	Customers int                 `json:"customers"`
	Examples  []trackway.Customer `json:"examples"` // numbers, the first ones
}

const (
	mostExamples = 10
	askEach      = 1024                  // events between two looks at the clock and the context
	workTime     = 10 * time.Millisecond // between two pauses of the same length
)

// Simulate tries rules on the stored events of a project. The events of a
// customer count together, as those of an identifier would have. It leaves at
// least half of a processor's time to others. Cost: one step in the log for
// each event of the store.
func Simulate(ctx context.Context, s query.Snapshot, p *trackway.Project, q Question, now time.Time) (*Simulation, error) {
	from := now.AddDate(0, 0, -q.Days)
	b := &q.Rules
	out := &Simulation{
		Project: p.Name, From: from.UTC().Truncate(time.Second), Until: now.UTC().Truncate(time.Second), Untried: []Reason{Agent, OneHit},
		Rules: RulesView{Pace: b.Pace, Repeats: b.Repeats, Regular: int64(b.Regular / time.Second)},
	}
	for _, r := range Reasons() {
		if !slices.Contains(out.Untried, r) {
			out.Reasons = append(out.Reasons, Labeled{Reason: r, Examples: []trackway.Customer{}})
		}
	}
	m, labeled := NewMemory(), make(map[trackway.Customer]bool)
	seen, since, worked := 0, trackway.MicrosOf(from), time.Now()
	err := s.Log(query.LogRange{Project: p.Number}, func(e *trackway.Event) bool {
		if seen++; seen%askEach == 0 {
			if time.Since(worked) > workTime {
				_ = sleep.For(ctx, workTime) // the context is looked at below
				worked = time.Now()
			}
			if ctx.Err() != nil {
				return false
			}
		}
		if e.Project != p.Number || e.Received < since || e.Type == trackway.MergeType {
			return true
		}
		out.Events++
		why, _ := m.See(b, Visit{At: e.Received, Who: uint64(e.Customer), Content: m.stored(e)})
		if why != "" && !labeled[e.Customer] {
			labeled[e.Customer] = true
			out.label(e.Customer, why)
		}
		if labeled[e.Customer] {
			out.Suspect++
		}
		return true
	})
	if err == nil {
		err = ctx.Err()
	}
	return out, err
}

// label counts a customer who would have been labeled.
func (s *Simulation) label(c trackway.Customer, why Reason) {
	s.Customers++
	for i := range s.Reasons {
		r := &s.Reasons[i]
		if r.Reason != why {
			continue
		}
		if r.Customers++; len(r.Examples) < mostExamples {
			r.Examples = append(r.Examples, c)
		}
	}
}

// stored names what a stored event says, without the id of its message.
func (m *Memory) stored(e *trackway.Event) uint64 {
	const id = `"` + trackway.MessageID + `":"`
	before, after := e.Properties, []byte(nil)
	if i := bytes.Index(before, []byte(id)); i >= 0 {
		rest := before[i+len(id):]
		before = before[:i]
		if j := bytes.IndexByte(rest, '"'); j >= 0 {
			after = rest[j:]
		}
	}
	var h maphash.Hash
	h.SetSeed(m.seed)
	_, _ = h.WriteString(e.Type) // never fails
	_, _ = h.Write(before)
	_, _ = h.Write(after)
	return h.Sum64()
}

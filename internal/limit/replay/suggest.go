package replay

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/limit"
)

// Wish describes the limits to look for.
type Wish struct {
	Share  float64       // percentage of callers who must never be refused; more than 0, at most 100
	Policy string        // empty: all policies
	Window time.Duration // instead of the policy's window; 0: keep it
}

// Advice suggests a limit for each requested policy.
type Advice struct {
	Record      Record       `json:"record"`
	Share       float64      `json:"share"`
	Suggestions []Suggestion `json:"suggestions"`
	Warnings    []string     `json:"warnings"` // reasons why another record could lead to other limits
}

// Suggestion is a limit for one policy.
type Suggestion struct {
	Name string `json:"name"`
	// Callers counts those under the policy's own limit, without those who have
	// an override.
	Callers int     `json:"callers"`
	Calls   uint64  `json:"calls"` // of these callers
	Now     Effect  `json:"now"`   // of the configured limit
	Then    *Effect `json:"then"`  // of the suggested limit; nil if there is no suggestion
	// Needed is how much of a limit the busiest of the protected callers used.
	Needed uint32 `json:"needed"`
	// Note is the reason if the limit is not the one that the callers need.
	Note string `json:"note,omitempty"`
	YAML string `json:"yaml,omitempty"` // the line for the configuration
}

// Effect is the effect that a limit would have had on its callers.
type Effect struct {
	Limit   uint32 `json:"limit"`
	Window  int64  `json:"window"` // seconds
	Touched int    `json:"callers_refused"`
	Refused uint64 `json:"refused"`
}

// Suggest finds for each policy the smallest limit that would not have affected
// the requested share of its callers. It considers limits that a person would
// write. It tries each on the record, with the other policies off, and without
// the callers who have an override. It suggests no limit that the configuration
// would refuse.
func Suggest(from Source, l Limits, wish Wish) (*Advice, error) {
	set, err := limit.NewSet(l.Policies, l.Overrides, l.Floors...)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	s := &search{from: from, limits: l, policies: set.Policies(), share: wish.Share}
	for i, p := range s.policies {
		asked := wish.Policy == "" || wish.Policy == p.Name
		if !asked && !slices.ContainsFunc(s.policies, func(q trackway.Policy) bool { return q.Name == wish.Policy && q.NoLooserThan == p.Name }) {
			continue // the two depend on each other
		}
		now := p
		if wish.Window > 0 && asked {
			p.Window = wish.Window
			s.policies[i] = p
		}
		s.sought = append(s.sought, newSought(i, p, now))
	}
	if !slices.ContainsFunc(s.sought, func(q *sought) bool { return wish.Policy == "" || q.policy.Name == wish.Policy }) {
		return nil, noPolicy(wish.Policy, s.policies)
	}
	return s.advise()
}

func names(policies []trackway.Policy) []string {
	list := make([]string, len(policies))
	for i := range policies {
		list[i] = policies[i].Name
	}
	return list
}

func (s *search) advise() (*Advice, error) {
	record, err := s.measure()
	if err != nil {
		return nil, err
	}
	for more := true; more; {
		if more, err = s.climb(); err != nil {
			return nil, err
		}
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	a := &Advice{Record: *record, Share: s.share, Warnings: record.warnings()}
	var policies []trackway.Policy
	for _, q := range s.sought {
		a.Suggestions = append(a.Suggestions, q.suggestion(s.share))
		policies = append(policies, q.policy)
	}
	a.Warnings = append(a.Warnings, record.lacks(policies)...)
	slices.SortFunc(a.Suggestions, func(a, b Suggestion) int { return strings.Compare(a.Name, b.Name) })
	return a, nil
}

// suggestion sums up the result.
func (q *sought) suggestion(share float64) Suggestion {
	out := Suggestion{Name: q.policy.Name, Callers: len(q.peaks), Calls: q.calls, Now: q.now, Needed: q.needed, Note: q.note}
	if q.idle() {
		out.Note = "there were no calls that it counts"
		return out
	}
	if q.none {
		return out
	}
	if out.Note == "" && share < 100 && q.mayTouch == 0 {
		out.Note = fmt.Sprintf("%g percent of %s are all callers; a lower share leaves out the busiest", share, several(out.Callers, "caller"))
	}
	then, p := q.tried[q.found()], q.result()
	out.Then, out.YAML = &then, line(&p)
	return out
}

package replay

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/limit"
)

// Wish is what limits are wanted.
type Wish struct {
	Share  float64       // of a hundred callers, how many must never be refused; more than 0, at most 100
	Policy string        // the one; empty: all
	Window time.Duration // another window than the policy's; 0: its own
}

// Advice is a limit for each policy that was asked about.
type Advice struct {
	Record      Record       `json:"record"`
	Share       float64      `json:"share"`
	Suggestions []Suggestion `json:"suggestions"`
	Warnings    []string     `json:"warnings"` // why another record could have led to others
}

// Suggestion is a limit for one policy.
type Suggestion struct {
	Name    string  `json:"name"`
	Callers int     `json:"callers"`        // whom the policy's own limit is for; those with an override are not among them
	Calls   uint64  `json:"calls"`          // theirs
	Now     Effect  `json:"now"`            // of the limit that is configured
	Then    *Effect `json:"then"`           // of the one that is suggested; nil where there is none
	Needed  uint32  `json:"needed"`         // what the busiest caller used of a limit, of those who must not be refused
	Note    string  `json:"note,omitempty"` // why it is not the limit that the callers need
	YAML    string  `json:"yaml,omitempty"` // the line for the configuration
}

// Effect is what a limit would have done to those whom it is for.
type Effect struct {
	Limit   uint32 `json:"limit"`
	Window  int64  `json:"window"` // seconds
	Touched int    `json:"callers_refused"`
	Refused uint64 `json:"refused"`
}

// Suggest finds for each policy the smallest limit, of those that a person would write, that would not have touched the share of
// its callers that is wished for. Each is tried on the record, with the other policies off, and without the callers who have an
// override. A limit that the configuration would refuse is not suggested.
func Suggest(from Source, l Limits, wish Wish) (*Advice, error) {
	set, err := limit.NewSet(l.Policies, l.Overrides, l.Floors...)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	s := &search{from: from, limits: l, policies: set.Policies(), share: wish.Share}
	for i, p := range s.policies {
		asked := wish.Policy == "" || wish.Policy == p.Name
		if !asked && !slices.ContainsFunc(s.policies, func(q trackway.Policy) bool { return q.Name == wish.Policy && q.NoLooserThan == p.Name }) {
			continue // the two hang together
		}
		now := p
		if wish.Window > 0 && asked {
			p.Window = wish.Window
			s.policies[i] = p
		}
		s.sought = append(s.sought, newSought(i, p, now))
	}
	if !slices.ContainsFunc(s.sought, func(q *sought) bool { return wish.Policy == "" || q.policy.Name == wish.Policy }) {
		return nil, fmt.Errorf("there is no limit %q, only %s", wish.Policy, strings.Join(names(s.policies), ", "))
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

// suggestion sums up what was found.
func (q *sought) suggestion(share float64) Suggestion {
	out := Suggestion{Name: q.policy.Name, Callers: len(q.peaks), Calls: q.calls, Now: q.now, Needed: q.needed, Note: q.note}
	if q.idle() {
		out.Note = "nobody called what it counts"
		return out
	}
	if q.none {
		return out
	}
	if out.Note == "" && share < 100 && q.mayTouch == 0 {
		out.Note = fmt.Sprintf("%g in a hundred of %s are all; a lower share leaves out the busiest", share, several(out.Callers, "caller"))
	}
	then, p := q.tried[q.found()], q.result()
	out.Then, out.YAML = &then, line(&p)
	return out
}

package replay

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/limit"
)

// Trial is a limit to try in place of a policy's own.
type Trial struct {
	Policy string
	Limit  uint32
	Window time.Duration // 0: the policy's own
	Rows   int           // the largest number of callers in the result
	// From and To are the time of the record, which the result divides into
	// steps.
	From, To time.Time
}

// Tried is the effect that a limit would have had on the callers of its policy.
type Tried struct {
	Record  Record          `json:"record"`
	Policy  PolicyOutcome   `json:"policy"`
	Callers []CallerOutcome `json:"callers"` // those who would have been refused most first, then those with most calls
	Steps   Steps           `json:"steps"`
	YAML    string          `json:"yaml"` // the line for the configuration
	// Problem is why the configuration would refuse this line.
	Problem  string   `json:"problem,omitempty"`
	Warnings []string `json:"warnings"`
}

// Steps are the refusals of a policy in equal steps of time.
type Steps struct {
	Start   time.Time `json:"start"`
	Step    int64     `json:"step"`        // seconds
	Refused []uint64  `json:"refused"`     // calls that would have been refused
	Was     []uint64  `json:"was_refused"` // calls that the policy of this name refused in the record
}

// mostSteps bounds the steps, so that a chart can show them.
const mostSteps = 120

// stepSizes are the lengths of steps, in seconds.
var stepSizes = []int64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400}

func newSteps(from, to time.Time) *Steps {
	first, end := from.Unix(), max(to.Unix(), from.Unix()+1)
	step := stepSizes[len(stepSizes)-1]
	for _, size := range stepSizes {
		if end-first <= size*(mostSteps-1) { // one more, since it need not begin with a step
			step = size
			break
		}
	}
	for end-first > step*(mostSteps-1) { // a record of many months
		step *= 2
	}
	first -= first % step
	n := (end - first + step - 1) / step
	return &Steps{
		Start: time.Unix(first, 0).UTC(), Step: step,
		Refused: make([]uint64, n), Was: make([]uint64, n),
	}
}

// add counts calls. It ignores those outside of the time.
func (s *Steps) add(of []uint64, second int64, n uint64) {
	if at := second - s.Start.Unix(); at >= 0 && at/s.Step < int64(len(of)) {
		of[at/s.Step] += n
	}
}

// Try replays a record against limits of which one is replaced. All policies
// take part, but the result is about one: it is tried as if it were in force
// even if it is off. If the limit cannot exist, the error is a [limit.Problems]
// or says that there is no such policy. A limit that can exist is tried even if
// the configuration would refuse it, for the reason in Problem.
func Try(from Source, l Limits, t Trial) (*Tried, error) {
	p, problem, err := l.replace(&t)
	if err != nil {
		return nil, err
	}
	r, err := newRun(&l)
	if err != nil {
		return nil, err
	}
	of := r.byName[t.Policy]
	of.steps = newSteps(t.From, t.To)
	record, err := playAndSum(from, r)
	if err != nil {
		return nil, err
	}
	return &Tried{
		Record: *record, Policy: of.outcome(), Callers: of.ranked(t.Rows), Steps: *of.steps, YAML: line(p), Problem: problem,
		Warnings: append(record.warnings(), r.warnings(record)...),
	}, nil
}

// replace puts the limit to try into the policies, and returns the policy with
// it. problem is why a configuration may not hold it. The rules that are no
// part of counting are dropped.
func (l *Limits) replace(t *Trial) (p *trackway.Policy, problem string, err error) {
	set, err := limit.NewSet(l.Policies, l.Overrides)
	if err != nil {
		return nil, "", fmt.Errorf("limits: %w", err)
	}
	l.Policies = set.Policies()
	at := slices.IndexFunc(l.Policies, func(p trackway.Policy) bool { return p.Name == t.Policy })
	if at < 0 {
		return nil, "", noPolicy(t.Policy, l.Policies)
	}
	tried := withLimit(l.Policies[at], t.Limit)
	if t.Window > 0 {
		tried.Window = t.Window
	}
	if tried.Mode == trackway.Off {
		tried.Mode = trackway.Enforce
	}
	l.Policies[at] = tried
	if _, err := limit.NewSet(l.Policies, l.Overrides, l.Floors...); err != nil {
		problem = whyNot(err)
	}
	for i := range l.Policies {
		l.Policies[i].NoLooserThan = ""
	}
	return &tried, problem, nil
}

// whyNot returns the reasons for which limits are refused, without the places
// in a file.
func whyNot(err error) string {
	problems, ok := errors.AsType[limit.Problems](err)
	if !ok {
		return err.Error()
	}
	var reasons []string
	for _, p := range problems {
		reasons = append(reasons, p.Name+": "+p.Msg)
	}
	return strings.Join(reasons, "; ")
}

func noPolicy(name string, policies []trackway.Policy) error {
	return fmt.Errorf("there is no limit %q, only %s", name, strings.Join(names(policies), ", "))
}

// ranked returns the callers of a policy: those who would have been refused
// most first, then those who were, then those with most calls.
func (t *tally) ranked(most int) []CallerOutcome {
	list := make([]CallerOutcome, 0, len(t.callers))
	for w, c := range t.callers {
		list = append(list, t.outcomeOf(w, c))
	}
	slices.SortFunc(list, func(a, b CallerOutcome) int {
		return cmp.Or(cmp.Compare(b.Refused, a.Refused), cmp.Compare(b.Was, a.Was), cmp.Compare(b.Calls, a.Calls),
			strings.Compare(a.Caller, b.Caller), strings.Compare(a.Route, b.Route))
	})
	return slices.Clone(list[:min(max(most, 0), len(list))])
}

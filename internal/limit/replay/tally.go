package replay

import (
	"strings"
	"time"

	"trackway"
	"trackway/internal/clientip"
)

// tally holds the effect that a policy would have had on its callers, and the
// effect that the policy of this name did have.
type tally struct {
	policy  trackway.Policy
	gone    bool // not among the limits that are tried
	callers map[who]*caller
	steps   *Steps // nil: nobody asks when
}

// who is a caller in the sense of a policy.
type who struct {
	addr  clientip.Key
	name  string // of a project, or of a project and its key
	route string
}

// caller counts the outcomes for one caller.
type caller struct {
	calls        uint64
	refused, was times
}

// times counts an outcome and says when it occurred.
type times struct {
	n           uint64
	first, last time.Time
}

func (t *times) add(n uint64, first, last time.Time) {
	if t.n == 0 {
		t.first = first
	}
	t.n += n
	t.last = last
}

func newTally(p trackway.Policy) *tally { return &tally{policy: p, callers: make(map[who]*caller)} }

// whoOf returns the caller of a row under the policy.
func (t *tally) whoOf(s *shown) who {
	of := s.row.Kind
	switch {
	case t.policy.Per == trackway.PerKey && of.Key != "":
		return who{name: of.Project + "/" + of.Key}
	case t.policy.Per == trackway.PerProj && of.Project != "":
		return who{name: of.Project}
	}
	w := who{addr: clientip.KeyOf(s.row.Addr, int(t.policy.IPv6Prefix))}
	if t.policy.Per == trackway.PerIPPath {
		w.route = of.Route
	}
	return w
}

func (t *tally) callerOf(s *shown) *caller {
	w := t.whoOf(s)
	c := t.callers[w]
	if c == nil {
		c = new(caller)
		t.callers[w] = c
	}
	return c
}

// recorded notes a row that the policy of this name refused in the record.
func (t *tally) recorded(s *shown, second int64) {
	if t.steps != nil {
		t.steps.add(t.steps.Was, second, uint64(s.row.Calls))
	}
	t.callerOf(s).was.add(uint64(s.row.Calls), within(second, s.row.First), within(second, s.row.Last))
}

func within(second int64, ms uint16) time.Time {
	return time.Unix(second, int64(ms)*int64(time.Millisecond))
}

// String names a caller for the operator.
func (w who) String() string {
	if w.name != "" {
		return w.name
	}
	return w.addr.String()
}

// pathIn returns the path of a pattern for a project.
func pathIn(token, pattern string) string { return strings.Replace(pattern, "{token}", token, 1) }

package replay

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/limit/traffic"
)

// Record describes the replayed record.
type Record struct {
	traffic.Coverage

	Calls     uint64 `json:"calls"`
	Refused   uint64 `json:"refused"`   // by the limits that were in force
	Addresses int    `json:"addresses"` // counting each IPv6 /64 once
}

// Outcome is the effect that limits would have had.
type Outcome struct {
	Record   Record          `json:"record"`
	Policies []PolicyOutcome `json:"policies"` // in the order in which a call meets them
	// Callers holds those who would have been refused or were refused, sorted
	// by the refusals that they would have had, most first.
	Callers  []CallerOutcome `json:"callers"`
	Warnings []string        `json:"warnings"` // reasons why the true outcome may differ
}

// PolicyOutcome is the effect that one policy would have had.
type PolicyOutcome struct {
	Name   string        `json:"name"`
	Limit  uint32        `json:"limit"`
	Window int64         `json:"window"` // seconds
	Per    trackway.Per  `json:"per"`
	Mode   trackway.Mode `json:"mode"`
	// Gone means that the policy refused calls in the record, but is not among
	// the limits that were tried.
	Gone bool `json:"gone"`

	Calls uint64 `json:"calls"` // to the paths that it counts
	// Refused counts calls that it would have refused. In report mode, it
	// counts those that it would refuse if enforced.
	Refused uint64 `json:"refused"`
	Was     uint64 `json:"was_refused"` // calls that the policy of this name refused in the record

	Callers        int `json:"callers"`
	CallersRefused int `json:"callers_refused"`
	CallersWas     int `json:"callers_was_refused"`
}

// CallerOutcome compares what would have happened to one caller of a policy
// with what did happen.
type CallerOutcome struct {
	Caller  string `json:"caller"` // an address, an IPv6 prefix, "project" or "project/key"
	Policy  string `json:"policy"`
	Route   string `json:"route,omitempty"` // under ip+path
	Calls   uint64 `json:"calls"`
	Refused uint64 `json:"refused"`
	Was     uint64 `json:"was_refused"`
	// First is the time of the first call that would have been refused. If no
	// call would have been refused, it is that of the first refused one. It
	// is zero if nothing was refused.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// Simulate replays a record against limits.
func Simulate(from Source, l Limits) (*Outcome, error) {
	r, err := newRun(&l)
	if err != nil {
		return nil, err
	}
	record, err := playAndSum(from, r)
	if err != nil {
		return nil, err
	}
	o := &Outcome{Record: *record, Policies: []PolicyOutcome{}, Callers: []CallerOutcome{}}
	for _, t := range r.tallies {
		o.Policies = append(o.Policies, t.outcome())
		o.Callers = append(o.Callers, t.touched()...)
	}
	slices.SortFunc(o.Callers, func(a, b CallerOutcome) int {
		return cmp.Or(cmp.Compare(b.Refused, a.Refused), cmp.Compare(b.Was, a.Was),
			strings.Compare(a.Policy, b.Policy), strings.Compare(a.Caller, b.Caller), strings.Compare(a.Route, b.Route))
	})
	o.Warnings = append(record.warnings(), r.warnings(record)...)
	return o, nil
}

// playAndSum passes a record to runs and sums it up.
func playAndSum(from Source, runs ...*run) (*Record, error) {
	record, addresses := new(Record), make(map[netip.Addr]struct{})
	counted := func(yield func(int64, []traffic.Row) error) (traffic.Coverage, error) {
		return from(func(second int64, rows []traffic.Row) error {
			for i := range rows {
				record.Calls += uint64(rows[i].Calls)
				addresses[rows[i].Addr] = struct{}{}
				if rows[i].Kind.Refused != "" {
					record.Refused += uint64(rows[i].Calls)
				}
			}
			return yield(second, rows)
		})
	}
	var err error
	record.Coverage, err = play(counted, runs...)
	record.Addresses = len(addresses)
	return record, err
}

func (t *tally) outcome() PolicyOutcome {
	p := PolicyOutcome{
		Name: t.policy.Name, Limit: t.policy.Limit, Window: int64(t.policy.Window / time.Second), Per: t.policy.Per, Mode: t.policy.Mode,
		Gone: t.gone, Callers: len(t.callers),
	}
	for _, c := range t.callers {
		p.Calls += c.calls
		p.Refused += c.refused.n
		p.Was += c.was.n
		if c.refused.n > 0 {
			p.CallersRefused++
		}
		if c.was.n > 0 {
			p.CallersWas++
		}
	}
	return p
}

// touched returns the callers who would have been refused or were refused.
func (t *tally) touched() (list []CallerOutcome) {
	for w, c := range t.callers {
		if c.refused.n > 0 || c.was.n > 0 {
			list = append(list, t.outcomeOf(w, c))
		}
	}
	return list
}

func (t *tally) outcomeOf(w who, c *caller) CallerOutcome {
	o := CallerOutcome{Caller: w.String(), Policy: t.policy.Name, Route: w.route, Calls: c.calls, Refused: c.refused.n, Was: c.was.n}
	when := c.refused
	if when.n == 0 {
		when = c.was
	}
	if when.n > 0 {
		o.First, o.Last = when.first.UTC(), when.last.UTC()
	}
	return o
}

// Package replay shows how limits would have treated recorded calls. It does
// not know how limits count: it passes the calls, in their order and with their
// times, to the limiter that a server uses (internal/limit). It reads a record
// through a [Source] and changes nothing.
package replay

import (
	"fmt"
	"time"

	"trackway"
	"trackway/internal/limit"
	"trackway/internal/limit/traffic"
)

// Source yields a record, second by second, as [traffic.Walk] does. It can be
// read several times.
type Source func(yield func(second int64, rows []traffic.Row) error) (traffic.Coverage, error)

// Limits are the limits to try: policies and overrides as in a configuration.
type Limits struct {
	Policies  []trackway.Policy
	Overrides []trackway.Override
	Floors    []limit.Floor // the promises: no suggestion is below them
	// Tokens holds the tokens of the projects by name: a record has names,
	// while overrides and paths have tokens.
	Tokens  map[string]string
	Callers int // the size of the server's limiter
}

// run is one set of limits to which calls are passed.
type run struct {
	limits  *Limits
	set     *limit.Set
	limiter *limit.Limiter // nil before the first call
	// tallies holds those of the policies in the order of the set, then those
	// of policies that no longer exist.
	tallies []*tally
	byName  map[string]*tally
	kinds   map[*traffic.Kind]*kind
	playing []shown // the rows of the current second

	decided func(s *shown, d *limit.Decision) // called for every call, unless nil
}

// kind is the meaning of one kind of call under these limits.
type kind struct {
	call    limit.Call // without the address
	tallies []*tally   // of the policies that count it
	refused *tally     // of the policy that refused the recorded call; nil if it was admitted
}

// shown is a row while its second is played.
type shown struct {
	row  *traffic.Row
	kind *kind
	call limit.Call
	n    uint64 // calls of it so far

	by *tally // by belongs to the policy that the last call over a limit exceeded.
	of *caller
}

// over notes that a call of the row exceeds the limit of a policy.
func (s *shown) over(t *tally, at time.Time) {
	if s.by != t {
		s.by, s.of = t, t.callerOf(s)
	}
	s.of.refused.add(1, at, at)
	if t.steps != nil {
		t.steps.add(t.steps.Refused, at.Unix(), 1)
	}
}

func newRun(l *Limits) (*run, error) {
	set, err := limit.NewSet(l.Policies, l.Overrides)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	r := &run{limits: l, set: set, byName: make(map[string]*tally), kinds: make(map[*traffic.Kind]*kind)}
	for _, p := range set.Policies() {
		r.tallyOf(p)
	}
	return r, nil
}

func (r *run) tallyOf(p trackway.Policy) *tally {
	if known := r.byName[p.Name]; known != nil {
		return known
	}
	t := newTally(p)
	r.tallies = append(r.tallies, t)
	r.byName[p.Name] = t
	return t
}

// kindOf returns the meaning of a kind. If the policy that refused it no longer
// exists, the policy gets a tally of its own, by address.
func (r *run) kindOf(of *traffic.Kind) *kind {
	if known := r.kinds[of]; known != nil {
		return known
	}
	k := &kind{call: limit.Call{Method: of.Method, Path: of.Path, Route: of.Route, Key: of.Key}}
	if token := r.limits.Tokens[of.Project]; token != "" {
		k.call.Project, k.call.Path = token, pathIn(token, of.Path)
	} else {
		k.call.Project = of.Project // it was removed or renamed, but stays distinct from others
	}
	for _, name := range r.set.Counting(k.call.Method, k.call.Path) {
		k.tallies = append(k.tallies, r.byName[name])
	}
	if name := of.Refused; name != "" {
		if r.byName[name] == nil {
			r.tallyOf(trackway.Policy{Name: name, Per: trackway.PerIP, IPv6Prefix: 64}).gone = true
		}
		k.refused = r.byName[name]
	}
	r.kinds[of] = k
	return k
}

// begin prepares for the rows of a second.
func (r *run) begin(second int64, rows []traffic.Row) {
	if r.limiter == nil {
		r.limiter = limit.NewAt(time.Unix(second, 0), r.set, r.limits.Callers)
	}
	r.playing = r.playing[:0]
	for i := range rows {
		s := shown{row: &rows[i], kind: r.kindOf(rows[i].Kind)}
		s.call = s.kind.call
		s.call.Addr = rows[i].Addr
		for _, t := range s.kind.tallies {
			t.callerOf(&s).calls += uint64(rows[i].Calls)
		}
		if s.kind.refused != nil {
			s.kind.refused.recorded(&s, second)
		}
		r.playing = append(r.playing, s)
	}
}

// show passes the next call of a row to the limiter. It gives refunded calls
// back at once, and spreads them evenly over the row's calls.
func (r *run) show(at time.Time, i int32) {
	s := &r.playing[i]
	d := r.limiter.Allow(at, &s.call)
	if r.decided != nil {
		r.decided(s, &d)
	}
	s.n++
	calls, back := uint64(s.row.Calls), uint64(s.row.Back)
	for _, name := range d.Over() {
		s.over(r.byName[name], at)
	}
	switch {
	case !d.Allowed:
		s.over(r.byName[d.Policy], at)
	case s.n*back/calls != (s.n-1)*back/calls:
		r.limiter.Refund(at, &s.call, &d)
	}
}

// play passes a record to several runs at once.
func play(from Source, runs ...*run) (traffic.Coverage, error) {
	var order timeline
	return from(func(second int64, rows []traffic.Row) error {
		for _, r := range runs {
			r.begin(second, rows)
		}
		order.arrange(rows)
		for ms := range order {
			at := within(second, uint16(ms))
			for _, i := range order[ms] {
				for _, r := range runs {
					r.show(at, i)
				}
			}
		}
		return nil
	})
}

// timeline holds the calls of a second by millisecond: for each call the index
// of its row.
type timeline [1000][]int32

// arrange spreads the calls of each row evenly from the first to the last,
// whose times are known.
func (t *timeline) arrange(rows []traffic.Row) {
	for ms := range t {
		t[ms] = t[ms][:0]
	}
	for i := range rows {
		r := &rows[i]
		for n := range r.Calls {
			ms := uint64(r.First)
			if r.Calls > 1 {
				ms += uint64(n) * uint64(r.Last-r.First) / uint64(r.Calls-1)
			}
			t[ms] = append(t[ms], int32(i))
		}
	}
}

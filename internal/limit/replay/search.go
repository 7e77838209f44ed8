package replay

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"trackway"
	"trackway/internal/limit"
	"trackway/internal/limit/table"
)

// search looks for the limits of several policies at once, so that it reads the
// record seldom: about three times if there are few policies.
type search struct {
	from     Source
	limits   Limits
	policies []trackway.Policy // of the set, with the requested window
	share    float64
	sought   []*sought
}

// sought is a limit that the search looks for. It climbs a ladder of limits,
// starting from the calls that callers used.
type sought struct {
	index    int             // in the search's policies
	policy   trackway.Policy // with the requested window
	before   trackway.Policy // as it is configured
	now      Effect
	peaks    map[who]uint32 // the most that each caller used
	calls    uint64
	mayTouch int // callers that may be refused
	needed   uint32
	tried    map[uint32]Effect // by limit
	start    int               // the rung to start at
	rung     int               // the rung found; -1: none yet
	raised   bool              // nobody called, but the limit has to change
	none     bool              // no limit can be configured: it stays unchanged
	note     string
}

func newSought(index int, p, before trackway.Policy) *sought {
	return &sought{index: index, policy: p, before: before, peaks: make(map[who]uint32), tried: make(map[uint32]Effect), rung: -1}
}

// ladder holds the limits that a person would write.
var ladder = rungs()

func rungs() (all []uint32) {
	for tens := uint32(1); tens <= table.MaxLimit; tens *= 10 {
		for _, tenths := range []uint32{10, 12, 15, 20, 25, 30, 40, 50, 60, 80} {
			if limit := tens * tenths / 10; tens*tenths%10 == 0 && limit <= table.MaxLimit {
				all = append(all, limit)
			}
		}
	}
	return append(all, table.MaxLimit)
}

func (q *sought) found() uint32 { return ladder[q.rung] }

// with returns the policy with another limit. Its burst changes in the same
// proportion.
func (q *sought) with(limit uint32) trackway.Policy { return withLimit(q.policy, limit) }

func withLimit(p trackway.Policy, limit uint32) trackway.Policy {
	if p.Algorithm == trackway.GCRA {
		burst := (uint64(p.Burst)*uint64(limit) + uint64(p.Limit) - 1) / uint64(p.Limit)
		p.Burst = uint32(max(1, min(burst, uint64(limit)-1)))
	}
	p.Limit = limit
	return p
}

// alone returns limits under which only p is in force, and callers with an
// override of p are exempt. The other policies remain, but are off: the policy
// with the longest path applies even if it is off.
func (s *search) alone(p trackway.Policy) *Limits {
	l := Limits{Tokens: s.limits.Tokens, Callers: s.limits.Callers}
	p.Mode, p.NoLooserThan, p.Candidate = trackway.Enforce, "", 0
	for _, other := range s.policies {
		if other.Name == p.Name {
			other = p
		} else {
			other.Mode, other.NoLooserThan = trackway.Off, ""
			// The burst may not fit the requested window.
			other.Algorithm, other.Burst = trackway.Fixed, 0
		}
		l.Policies = append(l.Policies, other)
	}
	for _, o := range s.limits.Overrides {
		if o.Policy == p.Name {
			o.Limit, o.Unlimited = 0, true
			l.Overrides = append(l.Overrides, o)
		}
	}
	return &l
}

// together is how many runs play at once. Each has a server's whole table and
// all its callers in memory.
const together = 4

// measure finds how much each caller used, the effect of the configured limits,
// and where to begin.
func (s *search) measure() (record *Record, err error) {
	for some := range slices.Chunk(s.sought, together/2) {
		if record, err = s.measureSome(some); err != nil {
			return nil, err
		}
	}
	return record, nil
}

func (s *search) measureSome(some []*sought) (*Record, error) {
	var runs, asConfigured []*run
	for _, q := range some {
		free := withLimit(q.policy, table.MaxLimit)
		if free.IPv6Wide.Times = 0; free.Algorithm == trackway.GCRA {
			free.Algorithm, free.Burst = trackway.Fixed, 0 // a lower bound for every algorithm
		}
		r, err := newRun(s.alone(free))
		if err != nil {
			return nil, err
		}
		of := r.byName[free.Name]
		r.decided = func(s *shown, d *limit.Decision) { q.measure(of.whoOf(s), d) }
		now, err := newRun(s.alone(q.before))
		if err != nil {
			return nil, err
		}
		runs, asConfigured = append(runs, r), append(asConfigured, now)
	}
	record, err := playAndSum(s.from, append(runs, asConfigured...)...)
	if err != nil {
		return nil, err
	}
	for i, q := range some {
		q.now = asConfigured[i].effect(&q.before)
		q.begin(s.share)
	}
	return record, nil
}

// measure notes how much of an unbounded limit a call uses.
func (q *sought) measure(w who, d *limit.Decision) {
	if d.Limited {
		q.peaks[w] = max(q.peaks[w], d.Limit-d.Remaining)
		q.calls++
	}
}

// begin finds the first rung to try: the need of those callers that must not be
// affected.
func (q *sought) begin(share float64) {
	peaks := make([]uint32, 0, len(q.peaks))
	for _, peak := range q.peaks {
		peaks = append(peaks, peak)
	}
	slices.SortFunc(peaks, func(a, b uint32) int { return cmp.Compare(b, a) })
	const rounding = 1e-9 // 99.9 percent of 1000 are 999
	q.mayTouch = int(math.Floor(float64(len(peaks))*(100-share)/100 + rounding))
	q.needed = 1
	if q.mayTouch < len(peaks) {
		q.needed = peaks[q.mayTouch]
	}
	q.start = slices.IndexFunc(ladder, func(limit uint32) bool { return limit >= q.needed })
	if len(peaks) == 0 {
		q.rung = slices.IndexFunc(ladder, func(limit uint32) bool { return limit >= q.before.Limit })
	}
}

// idle reports whether the policy needs no change.
func (q *sought) idle() bool { return len(q.peaks) == 0 && !q.raised }

// result returns the policy with the limit that was found.
func (q *sought) result() trackway.Policy {
	if q.idle() || q.none {
		return q.before
	}
	return q.with(q.found())
}

// effect returns the effect of a run's limits under one policy.
func (r *run) effect(p *trackway.Policy) Effect {
	o := r.byName[p.Name].outcome()
	return Effect{Limit: p.Limit, Window: int64(p.Window / time.Second), Touched: o.CallersRefused, Refused: o.Refused}
}

// climb tries a few more limits of each unsettled policy. It returns whether
// any are left to try.
func (s *search) climb() (more bool, err error) {
	trials := make(map[*sought][]int)
	for _, q := range s.sought {
		if rungs := q.next(); len(rungs) > 0 {
			trials[q] = rungs
		}
	}
	return len(trials) > 0, s.try(trials)
}

// next returns the rungs to try next, or nothing if the lowest suitable one is
// known. No rung below the starting one is suitable: every algorithm refuses a
// caller who uses more than the limit within a window.
func (q *sought) next() []int {
	if q.rung >= 0 {
		return nil
	}
	const several = 4
	for i := q.start; i < len(ladder); i++ {
		e, ok := q.tried[ladder[i]]
		switch {
		case !ok && i == q.start:
			return between(i, i+1) // usually the suitable one
		case !ok:
			return between(i, i+several)
		case e.Touched <= q.mayTouch:
			q.rung = i
			return nil
		}
	}
	q.rung, q.note = len(ladder)-1, "no limit keeps the share"
	return nil
}

func between(from, to int) (rungs []int) {
	for i := max(from, 0); i < min(to, len(ladder)); i++ {
		rungs = append(rungs, i)
	}
	return rungs
}

// trial is one limit to try.
type trial struct {
	of     *sought
	policy trackway.Policy
	run    *run
}

// try replays the record under limits for policies, one at a time.
func (s *search) try(wanted map[*sought][]int) error {
	var trials []trial
	for q, rungs := range wanted {
		for _, i := range rungs {
			p := q.with(ladder[i])
			r, err := newRun(s.alone(p))
			if _, invalid := errors.AsType[limit.Problems](err); invalid {
				// No burst exists for so few calls.
				q.tried[p.Limit] = Effect{Limit: p.Limit, Touched: math.MaxInt}
				continue
			} else if err != nil {
				return err
			}
			trials = append(trials, trial{q, p, r})
		}
	}
	for some := range slices.Chunk(trials, together) {
		runs := make([]*run, len(some))
		for i := range some {
			runs[i] = some[i].run
		}
		if _, err := play(s.from, runs...); err != nil {
			return err
		}
		for i := range some {
			some[i].of.tried[some[i].policy.Limit] = some[i].run.effect(&some[i].policy)
		}
		clear(some) // frees their memory
	}
	return nil
}

// settle raises the limits that were found until a configuration may hold them:
// no limit is below a floor, and no limit is looser than the policy that bounds
// it. A higher limit refuses nobody more, so the requested share still holds.
func (s *search) settle() error {
	for _, q := range s.sought {
		if q.policy.NoLooserThan != "" {
			s.raise(q)
		}
	}
	for _, q := range s.sought {
		if q.policy.NoLooserThan == "" { // it may bound other policies, which come later
			s.raise(q)
			s.keepStricter(q)
		}
	}
	trials := make(map[*sought][]int)
	for _, q := range s.sought {
		if _, ok := q.tried[q.found()]; !ok && !q.none {
			trials[q] = []int{q.rung}
		}
	}
	return s.try(trials)
}

// keepStricter leaves the policies that must not be looser than q unchanged if
// q cannot be raised to them.
func (s *search) keepStricter(q *sought) {
	for _, strict := range s.sought {
		if strict.policy.NoLooserThan == q.policy.Name && q.none && !strict.idle() {
			strict.none, strict.note = true, q.note
		}
	}
}

// raise raises a limit until a configuration can hold it together with those
// found so far. A policy that nobody called stays unchanged if it can be
// configured. So does one whose window allows no such limit.
func (s *search) raise(q *sought) {
	for {
		_, err := limit.NewSet(s.settled(q), s.limits.Overrides, s.limits.Floors...)
		if err == nil {
			return
		}
		why := "callers are promised more"
		if problems, _ := errors.AsType[limit.Problems](err); len(problems) > 0 && problems[0].Name != q.policy.Name {
			why = problems[0].Name + " must not be the looser one"
		}
		q.note = fmt.Sprintf("%d would do, but %s", q.needed, why)
		switch {
		case q.idle():
			q.raised = true
		case q.rung == len(ladder)-1:
			q.none, q.note = true, "for this window there is no limit that can be configured, since "+why
			return
		default:
			q.rung++
		}
	}
}

// settled returns the policies with the limits found, ready to be checked. The
// check compares only q with its floor. It compares q with no other policy, but
// others with q.
func (s *search) settled(q *sought) []trackway.Policy {
	policies := slices.Clone(s.policies)
	for _, other := range s.sought {
		policies[other.index] = other.result()
	}
	for i := range policies {
		p := &policies[i]
		p.Mode, p.AllowBelowFloor = trackway.Enforce, i != q.index
		if p.NoLooserThan != q.policy.Name {
			p.NoLooserThan = ""
		}
	}
	return policies
}

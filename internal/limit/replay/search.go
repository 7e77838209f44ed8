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

// search looks for limits of several policies at once, so that the record is
// read seldom: some three times with few policies.
type search struct {
	from     Source
	limits   Limits
	policies []trackway.Policy // of the set, with the window that is wished for
	share    float64
	sought   []*sought
}

// sought is a limit that the search looks for, on a ladder of limits, upwards
// from what callers used.
type sought struct {
	index    int             // in the search's policies
	policy   trackway.Policy // with the window that is wished for
	before   trackway.Policy // as it is configured
	now      Effect
	peaks    map[who]uint32 // what each caller used at most
	calls    uint64
	mayTouch int // callers that may be refused
	needed   uint32
	tried    map[uint32]Effect // by limit
	start    int               // the rung to begin at
	rung     int               // found; -1: not yet
	raised   bool              // nobody called, and yet it has to be another
	none     bool              // no limit can be configured: it stays as it is
	note     string
}

func newSought(index int, p, before trackway.Policy) *sought {
	return &sought{index: index, policy: p, before: before, peaks: make(map[who]uint32), tried: make(map[uint32]Effect), rung: -1}
}

// ladder is the limits that a person would write.
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

// with returns the policy with another limit. A burst keeps its share of it.
func (q *sought) with(limit uint32) trackway.Policy { return withLimit(q.policy, limit) }

func withLimit(p trackway.Policy, limit uint32) trackway.Policy {
	if p.Algorithm == trackway.GCRA {
		burst := (uint64(p.Burst)*uint64(limit) + uint64(p.Limit) - 1) / uint64(p.Limit)
		p.Burst = uint32(max(1, min(burst, uint64(limit)-1)))
	}
	p.Limit = limit
	return p
}

// alone returns limits of which only p is in force, and from which the callers
// with an override of p are exempt. The other policies stay, but off: of several
// policies the one with the longest path holds, also if it is off.
func (s *search) alone(p trackway.Policy) *Limits {
	l := Limits{Tokens: s.limits.Tokens, Callers: s.limits.Callers}
	p.Mode, p.NoLooserThan, p.Candidate = trackway.Enforce, "", 0
	for _, other := range s.policies {
		if other.Name == p.Name {
			other = p
		} else {
			other.Mode, other.NoLooserThan = trackway.Off, ""
			other.Algorithm, other.Burst = trackway.Fixed, 0 // for the window that is wished for there may be no such burst
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

// measure finds what each caller used, what the configured limits would have
// done, and where to begin.
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
			free.Algorithm, free.Burst = trackway.Fixed, 0 // the least that it takes
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

// measure notes how much of a limit without end a call is.
func (q *sought) measure(w who, d *limit.Decision) {
	if d.Limited {
		q.peaks[w] = max(q.peaks[w], d.Limit-d.Remaining)
		q.calls++
	}
}

// begin finds the first rung to try: what the callers need that must not be
// touched.
func (q *sought) begin(share float64) {
	peaks := make([]uint32, 0, len(q.peaks))
	for _, peak := range q.peaks {
		peaks = append(peaks, peak)
	}
	slices.SortFunc(peaks, func(a, b uint32) int { return cmp.Compare(b, a) })
	const rounding = 1e-9 // 99.9 in a hundred of 1000 are 999
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

// idle tells whether there is nothing to change.
func (q *sought) idle() bool { return len(q.peaks) == 0 && !q.raised }

// result returns the policy as it was found to be right.
func (q *sought) result() trackway.Policy {
	if q.idle() || q.none {
		return q.before
	}
	return q.with(q.found())
}

// effect returns what the limits of a run would have done under one policy.
func (r *run) effect(p *trackway.Policy) Effect {
	o := r.byName[p.Name].outcome()
	return Effect{Limit: p.Limit, Window: int64(p.Window / time.Second), Touched: o.CallersRefused, Refused: o.Refused}
}

// climb tries a few more limits of each policy that is not settled. It returns
// whether there are any.
func (s *search) climb() (more bool, err error) {
	trials := make(map[*sought][]int)
	for _, q := range s.sought {
		if rungs := q.next(); len(rungs) > 0 {
			trials[q] = rungs
		}
	}
	return len(trials) > 0, s.try(trials)
}

// next returns the rungs to try next; none if the lowest that will do is found. Below the one to begin at none will: whoever used
// more than a limit within a window is refused under it by every algorithm.
func (q *sought) next() []int {
	if q.rung >= 0 {
		return nil
	}
	const several = 4
	for i := q.start; i < len(ladder); i++ {
		e, ok := q.tried[ladder[i]]
		switch {
		case !ok && i == q.start:
			return between(i, i+1) // which is usually it
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

// trial is a limit that is tried.
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
				q.tried[p.Limit] = Effect{Limit: p.Limit, Touched: math.MaxInt} // of so few calls there is no such burst
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
		clear(some) // of their memory
	}
	return nil
}

// settle raises what was found until a configuration may hold it: no limit is
// below a floor, and none is looser than the policy that it must not be looser
// than. A higher limit refuses nobody more, so the share is kept.
func (s *search) settle() error {
	for _, q := range s.sought {
		if q.policy.NoLooserThan != "" {
			s.raise(q)
		}
	}
	for _, q := range s.sought {
		if q.policy.NoLooserThan == "" { // others may be measured by it: it comes after them
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

// keepStricter leaves the policies that must not be looser than q as they are,
// if q cannot be raised to them.
func (s *search) keepStricter(q *sought) {
	for _, strict := range s.sought {
		if strict.policy.NoLooserThan == q.policy.Name && q.none && !strict.idle() {
			strict.none, strict.note = true, q.note
		}
	}
}

// raise raises a limit until it can be configured together with those that were
// found so far. A policy that nobody called stays as it is, if that can be
// configured. So does one for whose window there is no such limit.
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

// settled returns the policies with what was found. Only q is held to the
// floors, and only others are held to be no looser than q.
func (s *search) settled(q *sought) []trackway.Policy {
	policies := slices.Clone(s.policies)
	for _, other := range s.sought {
		policies[other.index] = other.result()
	}
	for i := range policies {
		p := &policies[i]
		p.Mode, p.AllowBelowFloor = trackway.Enforce, i != q.index // what holds when it is in force
		if p.NoLooserThan != q.policy.Name {
			p.NoLooserThan = ""
		}
	}
	return policies
}

// Package limit decides whether a caller may make a call now, and says so in
// the response. A policy is data: an immutable [Set] of policies is compiled
// from the configuration and can be replaced at any moment. The counts live in
// one table (internal/limit/table) that outlives every set. The package does
// not know who the caller is (internal/clientip finds the address,
// internal/auth the key). It keeps nothing on disk. The servers of a cluster
// can share limits (internal/limit/share); otherwise each counts for itself.
//
// DESIGN.md, beside this file, gives the reasons.
package limit

import (
	"fmt"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/clientip"
	"trackway/internal/limit/table"
)

// Call holds everything that a limit can depend on. Strings are only read, and
// only during the call.
//
// Project and Key hold verified credentials, never claimed ones. They can stay
// empty if [Set.ByKey] is false. A policy per key or per project counts a call
// without them by address. So all invented keys of a caller share one count,
// and cannot use up the count of a key whose secret the caller does not know.
//
// Preflights (OPTIONS with Access-Control-Request-Method) are not limited: do
// not call the limiter for them.
type Call struct {
	Method string
	// Path selects the policies: URL.Path as it will be routed, with a
	// project's token in lower case.
	Path string
	// Route is the route's pattern, such as "/api/projects/{token}/stats". "per
	// ip+path" counts by it. It is empty if no route matches.
	Route string
	// Addr comes from clientip. Without it, policies per address let the call
	// pass.
	Addr    netip.Addr
	Project string // the project's token, if the credentials are good
	Key     string // the key's name, if the credentials are good
}

// Decision is the answer to one call. Of the policies that apply, it describes
// the one with the fewest calls left.
type Decision struct {
	Allowed   bool
	Limited   bool          // a policy counted the call; if false, the rest is zero and no fields are sent
	Policy    string        // name
	Limit     uint32        // calls in a window
	Window    time.Duration // whole seconds
	Remaining uint32        // calls left now
	// Wait is the time until the next call is admitted if nothing remains.
	// Otherwise it is the time until the window ends or the whole burst is
	// back.
	Wait time.Duration
	// Reset is the end of Wait by the wall clock, in Unix seconds, rounded up.
	Reset int64

	fields *constants
	taken  receipt
}

// RetryAfter returns Wait in whole seconds, rounded up, at least 1.
func (d *Decision) RetryAfter() int64 { return max(1, ceilSeconds(d.Wait)) }

func ceilSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// Limiter counts calls under the set in force. It is safe for concurrent use.
type Limiter struct {
	table *table.Table
	base  time.Time // the zero of the table's time
	force atomic.Pointer[force]

	mu    sync.Mutex        // guards slots; held during a Reload
	slots map[string]*tally // by policy name: the state that outlives a set

	seen seen // the last look at the table

	others Others // nil: this server shares nothing
}

// force is a set together with the limiter's state for each of its policies.
type force struct {
	set      *Set
	policies []active // by the set's index
}

// active is a policy in force.
type active struct {
	*policy
	*tally
	counted, tried counters // under the limit and under the candidate
	identity       uint64   // of the policy among servers that share it, and of what it counts by
}

// counters identifies the counters of a limit in the table: one for each
// caller, and one for each wider IPv6 range. Their keys begin with the salts.
type counters struct {
	near, far           uint64
	nearClass, farClass uint8
}

// New returns a limiter with room for this many callers at once, at 27 bytes
// each. A caller has a counter for each policy that counts it (for each route
// if the policy counts per route), and one more for a candidate. IPv6 callers
// share the counters of their /48. If there are more callers, the limiter
// forgets those who have used the least.
func New(set *Set, callers int) *Limiter { return NewAt(time.Now(), set, callers) }

// NewAt is [New] for calls at times other than now. No call may come before
// base, or more than two years after it.
func NewAt(base time.Time, set *Set, callers int) *Limiter {
	l := &Limiter{table: table.New(callers), base: base, slots: make(map[string]*tally)}
	l.Reload(set)
	return l
}

// Set returns the set in force.
func (l *Limiter) Set() *Set { return l.force.Load().set }

// Reload puts another set in force. A policy keeps its counts as long as it
// keeps its name. A changed limit applies to the running windows, a changed
// window to the next ones. A policy starts at zero if its Algorithm, Per or
// IPv6Prefix has changed.
func (l *Limiter) Reload(set *Set) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &force{set: set, policies: make([]active, len(set.policies))}
	keep := make(map[string]*tally, len(set.policies))
	for _, p := range set.policies {
		if t := l.slots[p.Name]; t != nil {
			keep[p.Name] = t
		}
	}
	for i, p := range set.policies {
		if keep[p.Name] == nil {
			keep[p.Name] = &tally{class: freeClass(l.slots, keep)}
		}
		f.policies[i] = l.activate(p, keep[p.Name])
	}
	l.slots = keep
	l.force.Store(f)
}

// activate prepares the table for p. Every setting that changes the meaning of
// existing counts is part of their keys.
func (l *Limiter) activate(p *policy, t *tally) active {
	l.table.Prepare(t.class, &p.own.limit.near)
	l.table.Prepare(t.class+1, &p.own.limit.near)
	name := p.Name + " " + string(p.Per) + " " + string(p.Algorithm) + " "
	return active{
		policy: p, tally: t,
		counted:  counters{l.table.Word(name + "narrow"), l.table.Word(name + "wide"), t.class, t.class + 1},
		tried:    counters{l.table.Word(name + "candidate"), l.table.Word(name + "candidate wide"), t.class + 1, t.class + 1},
		identity: nameWord(fmt.Sprint(name, p.IPv6Prefix, " ", p.IPv6Wide)),
	}
}

// freeClass returns the first of two free classes of the table: one for a
// policy's callers and one for its other counters. It prefers classes that no
// policy has used yet.
func freeClass(old, now map[string]*tally) uint8 {
	var taken, recent uint64
	for _, t := range now {
		taken |= 1 << (t.class / 2)
	}
	for _, t := range old {
		recent |= 1 << (t.class / 2)
	}
	if ^(taken | recent) != 0 {
		taken |= recent
	}
	return uint8(2 * bits.TrailingZeros64(^taken))
}

// Allow counts c, unless a policy refuses it: a refused call costs nothing
// under any policy. Only the monotonic part of now counts, so a step of the
// clock neither refills nor freezes a counter. The wall clock serves only to
// compute Reset and to tell whether an override has ended. Allow does not
// allocate.
func (l *Limiter) Allow(now time.Time, c *Call) (d Decision) {
	f := l.force.Load()
	m := l.moment(now)
	d.taken = receipt{force: f, moment: m}
	best := verdict{allowed: true}
	for rest := f.set.match(c.Method, c.Path); rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		var v verdict
		l.decide(&v, &f.policies[i], m, c)
		if !v.allowed {
			l.refund(m, c, &d.taken)
			d.taken = receipt{}
			for rest &= rest - 1; rest != 0; rest &= rest - 1 {
				l.await(&v, &f.policies[bits.TrailingZeros64(rest)], m, c)
			}
			d.describe(&v, now)
			return d
		}
		d.taken.add(i, &v)
		if v.policy != nil && (best.policy == nil || v.res.Remaining < best.res.Remaining) {
			best = v
		}
	}
	d.describe(&best, now)
	return d
}

// await replaces the refusal v by that of p if p refuses c for longer. So a
// caller who waits as long as the answer says is admitted.
func (l *Limiter) await(v *verdict, p *active, m moment, c *Call) {
	q := p.quota(c, m.unix)
	var who caller
	if q.unlimited || p.Mode == trackway.Report || (!q.blocked && !p.caller(&who, l.table, c)) {
		return
	}
	w := verdict{policy: p.policy, fields: q.fields}
	if q.blocked {
		w.res.Wait = p.blockedFor()
	} else {
		w.res = l.peek(p, near, who.key(l.table, p.counted.near), q, m)
		l.awaitRange(&w, p, q, m, &who)
	}
	if !w.res.Allowed && w.res.Wait > v.res.Wait {
		*v = w
	}
}

// awaitRange replaces v, the verdict of p on a caller, by the verdict on their
// wider range if the range is refused for longer.
func (l *Limiter) awaitRange(v *verdict, p *active, q *quota, m moment, who *caller) {
	if !who.wide {
		return
	}
	if res := l.peek(p, far, who.farKey(l.table, p.counted.far, q), q, m); !res.Allowed && (v.res.Allowed || res.Wait > v.res.Wait) {
		v.res, v.fields = res, q.wideFields
	}
}

// Refund gives back the call that d admitted. Calls that are answered with 304
// are published to cost nothing. c is the call as Allow saw it. Refund does
// nothing for a call whose window is over.
//
// REQUIRES: no decision is given back twice.
func (l *Limiter) Refund(now time.Time, c *Call, d *Decision) {
	if d.taken.force != nil {
		l.refund(l.moment(now), c, &d.taken)
	}
}

func (l *Limiter) refund(now moment, c *Call, r *receipt) {
	for rest := r.calls | r.candidates; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		l.restore(&r.force.policies[i], now, c, r.moment, r.calls>>i&1 != 0, r.candidates>>i&1 != 0)
	}
}

// receipt records what a call took, so that exactly this can be given back,
// even after a reload.
type receipt struct {
	force             *force
	calls, candidates uint64 // policies, as bits by index
	over              uint64 // policies that let the call pass although it was over their limit
	moment            moment
}

func (r *receipt) add(i int, v *verdict) {
	if v.took {
		r.calls |= 1 << i
	}
	if v.tookCandidate {
		r.candidates |= 1 << i
	}
	if v.policy != nil && !v.took {
		r.over |= 1 << i
	}
}

// Over returns the names of the policies in report mode whose limits the
// admitted call exceeded.
func (d *Decision) Over() (names []string) {
	for rest := d.taken.over; rest != 0; rest &= rest - 1 {
		names = append(names, d.taken.force.policies[bits.TrailingZeros64(rest)].Name)
	}
	return names
}

// moment is one instant on both clocks.
type moment struct {
	at   int64 // nanoseconds since the limiter's base, monotonic
	unix int64 // seconds of the wall clock
}

func (l *Limiter) moment(now time.Time) moment {
	return moment{at: int64(now.Sub(l.base)), unix: now.Unix()}
}

// verdict is the decision of one policy.
type verdict struct {
	allowed bool
	policy  *policy // nil: it did not count the call
	res     table.Result
	fields  *constants

	took, tookCandidate bool
}

func (d *Decision) describe(v *verdict, now time.Time) {
	d.Allowed = v.allowed
	if v.policy == nil {
		return
	}
	d.Limited = true
	d.Policy, d.Limit, d.Window = v.policy.Name, v.fields.quota, v.policy.Window
	d.Remaining, d.Wait = v.res.Remaining, time.Duration(v.res.Wait)*time.Millisecond
	d.Reset = now.Unix() + ceilSeconds(time.Duration(now.Nanosecond())+d.Wait)
	d.fields = v.fields
}

// decide counts c under p. v must be zero.
func (l *Limiter) decide(v *verdict, p *active, m moment, c *Call) {
	q := p.quota(c, m.unix)
	if q.unlimited {
		v.allowed = true
		return
	}
	if q.blocked {
		p.block(v, q)
		return
	}
	var who caller
	if !p.caller(&who, l.table, c) {
		v.allowed = true
		return
	}
	var res table.Result
	var far bool
	var key table.Key
	if l.shares(p) {
		res, far, key = l.takeShared(p, q, m, &who)
	} else {
		res, far, key = l.take(&p.counted, &q.limit, q, m, &who)
	}
	v.policy, v.res, v.fields, v.took = p.policy, res, q.fields, res.Allowed
	if far {
		v.fields = q.wideFields
	}
	if !v.took {
		l.awaitRange(v, p, q, m, &who)
	}
	p.count(uint64(key), v.took, p.Mode)
	if q.hasCandidate {
		res, _, key := l.take(&p.tried, &q.candidate, q, m, &who)
		v.tookCandidate = res.Allowed
		p.noteCandidate(uint64(key), res.Allowed)
	}
	v.allowed = v.took || p.Mode == trackway.Report
}

// take counts a call for the caller and, if the address is IPv6, for its wider
// range: for both or for neither. far reports that the answer is the range's.
// key is the caller's.
func (l *Limiter) take(c *counters, r *rules, q *quota, m moment, who *caller) (res table.Result, far bool, key table.Key) {
	key = who.key(l.table, c.near)
	res = l.table.Take(m.at, key, c.nearClass, &r.near)
	if !who.wide || !res.Allowed {
		return res, false, key
	}
	wider := l.table.Take(m.at, who.farKey(l.table, c.far, q), c.farClass, &r.far)
	if !wider.Allowed {
		l.table.Refund(m.at, m.at, key, c.nearClass, &r.near)
	}
	if !wider.Allowed || wider.Remaining < res.Remaining {
		return wider, true, key
	}
	return res, false, key
}

// block refuses a caller whose limit is 0, for one window at a time.
func (p *active) block(v *verdict, q *quota) {
	p.count(0, false, p.Mode)
	v.allowed, v.policy, v.fields = p.Mode == trackway.Report, p.policy, q.fields
	v.res.Wait = p.blockedFor()
}

func (p *active) blockedFor() uint32 { return uint32(p.Window.Milliseconds()) }

// restore gives back what decide took under p.
func (l *Limiter) restore(p *active, now moment, c *Call, then moment, call, candidate bool) {
	q := p.quota(c, then.unix)
	var who caller
	if !p.caller(&who, l.table, c) {
		return
	}
	if call {
		l.giveBack(&p.counted, &q.limit, q, now, then, &who)
	}
	if candidate {
		l.giveBack(&p.tried, &q.candidate, q, now, then, &who)
	}
}

// giveBack undoes a take.
func (l *Limiter) giveBack(c *counters, r *rules, q *quota, now, then moment, who *caller) {
	l.table.Refund(now.at, then.at, who.key(l.table, c.near), c.nearClass, &r.near)
	if who.wide {
		l.table.Refund(now.at, then.at, who.farKey(l.table, c.far, q), c.farClass, &r.far)
	}
}

// caller identifies the counter of a call under one policy.
type caller struct {
	near clientip.Key
	far  clientip.Key // the wider IPv6 range
	wide bool
	sub  uint64 // the route, the key
}

func (w *caller) key(t *table.Table, salt uint64) table.Key {
	return t.Key(salt, w.near.Hi, w.near.Lo, w.sub)
}

// farKey is the key of the wider range, within which the same limit holds.
func (w *caller) farKey(t *table.Table, salt uint64, q *quota) table.Key {
	return t.Key(salt, w.far.Hi, w.far.Lo, w.sub^q.apart)
}

// caller finds the counter for c. It returns false if nothing identifies the
// caller.
func (p *policy) caller(w *caller, t *table.Table, c *Call) bool {
	switch {
	case p.Per == trackway.PerKey && c.Key != "":
		w.near, w.sub = clientip.Key{Hi: p.word(t, c.Project), Lo: p.word(t, c.Key)}, byName
		return true
	case p.Per == trackway.PerProj && c.Project != "":
		w.near, w.sub = clientip.Key{Hi: p.word(t, c.Project)}, byName
		return true
	case !c.Addr.IsValid():
		return false
	case p.Per == trackway.PerIPPath:
		w.sub = p.word(t, c.Route)
	}
	w.near = clientip.KeyOf(c.Addr, int(p.IPv6Prefix))
	if p.IPv6Wide.Times > 0 && c.Addr.Is6() && !c.Addr.Is4In6() {
		w.wide, w.far = true, clientip.KeyOf(c.Addr, int(p.IPv6Wide.Prefix))
	}
	return true
}

// byName separates the counter of a key or a project from that of an address
// under the same policy.
const byName = 0x6279206e616d65

package limit

import (
	"time"

	"trackway/internal/limit/share"
	"trackway/internal/limit/table"
)

// Others are the servers that share limits with this one, which
// internal/limit/share knows.
type Others interface {
	// Part returns this server's part of limits with a window.
	Part(window time.Duration) share.Part
	// Borrow asks the others to lend calls to a counter of this limiter, and
	// calls [Limiter.Borrowed] for what they lend. It may wait for that. It
	// returns a number that is larger than since, which is 0 at first, if
	// something was lent.
	Borrow(c share.Counter, a *share.Ask, wait bool, since uint64) uint64
}

// ShareWith makes the limiter share limits, those of policies that say so, with
// other servers. Without it, they are counted like all others. Call it before
// the first call is counted.
func (l *Limiter) ShareWith(others Others) { l.others = others }

// shares reports whether the counts of p are shared.
func (l *Limiter) shares(p *active) bool { return p.Shared && l.others != nil }

// nearOrFar says which counter of a caller is meant.
type nearOrFar bool

const (
	near nearOrFar = false
	far  nearOrFar = true
)

// portion returns this server's part of a limit.
func (l *Limiter) portion(p *active, r *table.Rule) table.Rule {
	part := l.others.Part(p.Window)
	return r.Portion(table.Share(r.Limit(), part.Rank, part.Of))
}

// takeShared is [Limiter.take] for a shared policy.
func (l *Limiter) takeShared(p *active, q *quota, m moment, who *caller) (res table.Result, wide bool, key table.Key) {
	key = who.key(l.table, p.counted.near)
	res = l.countShared(p, near, key, q, m, who)
	if !who.wide || !res.Allowed {
		return res, false, key
	}
	wider := l.countShared(p, far, who.farKey(l.table, p.counted.far, q), q, m, who)
	if !wider.Allowed {
		l.table.Refund(m.at, m.at, key, p.counted.nearClass, &q.limit.near)
	}
	if !wider.Allowed || wider.Remaining < res.Remaining {
		return wider, true, key
	}
	return res, false, key
}

// counter returns the class and the rule of one of a caller's counters.
func (p *active) counter(which nearOrFar, q *quota) (class uint8, r *table.Rule) {
	if which == far {
		return p.counted.farClass, &q.limit.far
	}
	return p.counted.nearClass, &q.limit.near
}

// countShared counts a call in one counter, and borrows what it lacks.
func (l *Limiter) countShared(p *active, which nearOrFar, key table.Key, q *quota, m moment, who *caller) table.Result {
	class, r := p.counter(which, q)
	own := l.portion(p, r)
	res := l.table.Take(m.at, key, class, &own)
	if res.Borrow == table.NoNeed {
		return res
	}
	ask := share.Ask{Policy: p.identity, Hi: who.near.Hi, Lo: who.near.Lo, Sub: who.sub, Limit: r.Limit()}
	if which == far {
		ask.Range, ask.Hi, ask.Lo, ask.Sub = true, who.far.Hi, who.far.Lo, who.sub^q.apart
	}
	return l.borrow(res, &ask, key, class, &own, m)
}

// borrowings bounds how often a call tries again, because others have used up
// what was lent.
const borrowings = 32

// borrow borrows calls, and counts the call again if it was not admitted. If
// the call took the last one, it waits, so that the answer can say whether
// others have more.
func (l *Limiter) borrow(res table.Result, ask *share.Ask, key table.Key, class uint8, own *table.Rule, m moment) table.Result {
	since := uint64(0)
	for range borrowings {
		wait := res.Borrow == table.Now
		ask.Left = res.Wait
		last := l.others.Borrow(share.Counter{Key: uint64(key), Class: class, End: uint64(table.EndOf(m.at, res.Wait))}, ask, wait, since)
		switch {
		case !wait:
			return res
		case res.Allowed:
			res.Remaining = l.table.Remaining(m.at, key, class, own)
			if res.Remaining > 0 || last == since {
				return res
			}
			since = last // others have used it up; wait for more
			continue
		}
		res = l.table.Take(m.at, key, class, own)
		if res.Borrow != table.Now || last == since {
			break
		}
		since = last
	}
	return res
}

// peek returns what taking a call from a counter would answer if it refuses it.
func (l *Limiter) peek(p *active, which nearOrFar, key table.Key, q *quota, m moment) table.Result {
	class, r := p.counter(which, q)
	if l.shares(p) {
		own := l.portion(p, r)
		return l.table.Peek(m.at, key, class, &own)
	}
	return l.table.Peek(m.at, key, class, r)
}

// Lend implements [share.Ledger]. Calls of a policy that is unknown here, or
// counts by something else, are not lent.
func (l *Limiter) Lend(now time.Time, a *share.Ask) uint32 {
	f := l.force.Load()
	for i := range f.policies {
		p := &f.policies[i]
		if !l.shares(p) || p.identity != a.Policy || a.Limit == 0 {
			continue
		}
		salt, class := p.counted.near, p.counted.nearClass
		if a.Range {
			salt, class = p.counted.far, p.counted.farClass
		}
		whole := table.Fixed(min(a.Limit, table.MaxPortion), p.Window.Milliseconds())
		own := l.portion(p, &whole)
		return l.table.Lend(l.moment(now).at, l.table.Key(salt, a.Hi, a.Lo, a.Sub), class, &own, a.Left, a.Most)
	}
	return 0
}

// Borrowed implements [share.Ledger].
func (l *Limiter) Borrowed(now time.Time, c share.Counter, n uint32) bool {
	return l.table.Borrowed(l.moment(now).at, table.Key(c.Key), c.Class, table.End(c.End), n)
}

// Dry implements [share.Ledger].
func (l *Limiter) Dry(now time.Time, c share.Counter) {
	l.table.Dry(l.moment(now).at, table.Key(c.Key), c.Class, table.End(c.End))
}

// nameWord returns a number that stands for a name on all servers (FNV-1a).
// Callers cannot choose names.
func nameWord(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// word returns a number that stands for a name: on this server, or on all if
// the policy is shared.
func (p *policy) word(t *table.Table, name string) uint64 {
	if p.Shared {
		return nameWord(name)
	}
	return t.Word(name)
}

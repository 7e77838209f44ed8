package table

import "math/bits"

// Rule says how to count calls: an algorithm with its numbers. It is immutable.
type Rule struct {
	kind     kind
	limit    uint64
	window   uint64 // ms
	interval uint64 // gcra: 2⁻²² ms between two calls
	reach    uint64 // gcra: how far ahead the theoretical arrival time may lie after a call
}

type kind uint8

const (
	fixed kind = iota
	sliding
	gcra
	portion
)

// Fixed returns the rule that allows a caller at most limit calls in a window
// that starts with their first call. Refused calls do not move the window.
func Fixed(limit uint32, windowMillis int64) Rule { return newRule(fixed, limit, windowMillis) }

// Sliding returns the two-window counter. It counts the calls of the running
// window, plus those of the previous window that lie less than a window back,
// as if they had come evenly.
func Sliding(limit uint32, windowMillis int64) Rule { return newRule(sliding, limit, windowMillis) }

// GCRA returns the generic cell rate algorithm (ITU-T I.371). It allows burst
// calls at once and then limit−burst calls per window, evenly, so that no
// window holds more than limit. A limit of 1 allows one call per window.
//
// REQUIRES: burst < limit, or both are 1; burst·window/(limit−burst) ≤
// [MaxWindowMillis].
func GCRA(limit, burst uint32, windowMillis int64) Rule {
	r := newRule(gcra, limit, windowMillis)
	even := uint64(max(limit-burst, 1))
	r.interval = (r.window<<lowBits + even - 1) / even // rounded up: never one call too many
	r.reach = uint64(burst) * r.interval
	if burst == 0 || (burst >= limit && limit > 1) || r.reach>>lowBits > MaxWindowMillis {
		panic("bug: burst out of range")
	}
	return r
}

func newRule(k kind, limit uint32, windowMillis int64) Rule {
	if limit == 0 || limit > MaxLimit || windowMillis <= 0 || windowMillis > MaxWindowMillis {
		panic("bug: limit or window out of range")
	}
	return Rule{kind: k, limit: uint64(limit), window: uint64(windowMillis)}
}

// Limit returns the limit.
func (r *Rule) Limit() uint32 { return uint32(r.limit) }

// grace returns how long a window matters after its end, in ms.
func (r *Rule) grace() uint64 {
	switch r.kind {
	case sliding:
		return r.window
	case gcra: // the time of its calls may end within a millisecond
		return 1
	case fixed, portion:
	}
	return 0
}

// Result is the answer to one call.
type Result struct {
	Allowed   bool
	Borrow    Need   // portion: whether to borrow calls now
	Remaining uint32 // calls that would be admitted immediately after this one
	// Wait is in milliseconds, at least 1. If nothing remains, it is the time
	// until the next call is admitted. Otherwise it is the time until the
	// window ends (fixed, sliding) or the whole burst is back (gcra).
	Wait uint32
}

// step counts one call. A refused call only marks the state.
func (r *Rule) step(c *Counter, now int64) Result {
	if r.kind >= gcra {
		if r.kind == portion {
			return r.stepPortion(c, now)
		}
		return r.stepGCRA(c, now)
	}
	left := c.left(now)
	switch over := left-1 >= maxAhead; {
	case r.kind == sliding && over:
		return r.stepOver(c, now)
	case r.kind == sliding:
		return r.stepSliding(c, left)
	case over:
		return r.first(c, now)
	}
	used := c.state & low
	if used >= r.limit {
		c.state |= levelMask
		return Result{Wait: uint32(left)}
	}
	used++
	c.state = c.state&^(levelMask|low) | level(used, r.limit) | used
	return admitted(r.limit-used, left)
}

// left returns the time until the window ends, in ms. It is more than maxAhead
// if the window is over.
func (c *Counter) left(now int64) uint64 { return (c.state>>lowBits - millis(now)) & timeMask }

// before returns the number of calls in the previous window (sliding).
func (c *Counter) before() uint64 { return c.key & low }

// first counts the first call of a caller.
func (r *Rule) first(c *Counter, now int64) Result {
	if r.kind == portion {
		c.key &^= low
		c.state = valid((millis(now) + r.window) & timeMask << lowBits)
		return r.stepPortion(c, now)
	}
	if r.kind == gcra {
		c.state = fine(now)
		return r.stepGCRA(c, now)
	}
	end := (millis(now) + r.window) & timeMask
	c.state = valid(level(1, r.limit) | end<<lowBits | 1)
	res := admitted(r.limit-1, r.window)
	if r.kind == sliding && r.limit == 1 {
		res.Wait += uint32(r.window)
	}
	return res
}

// stepSliding counts a call in a running window. All terms are calls times
// milliseconds, so nothing is rounded.
func (r *Rule) stepSliding(c *Counter, left uint64) Result {
	used, all := c.state&low, r.limit*r.window
	before := c.before() * min(left, r.window)
	if before+(used+1)*r.window > all {
		c.state |= levelMask
		return Result{Wait: r.slidingWait(used, c.before(), left)}
	}
	used++
	sum := before + used*r.window
	c.state = c.state&^(levelMask|low) | level(sum, all) | used
	res := admitted((all-sum)/r.window, left)
	if res.Remaining == 0 {
		res.Wait = r.slidingWait(used, c.before(), left)
	}
	return res
}

// stepOver counts a call after the end of a sliding window. The window moves
// only if the call is admitted in its new window: a refused call must not
// choose where windows begin.
func (r *Rule) stepOver(c *Counter, now int64) Result {
	moved := *c
	r.slide(&moved, now)
	res := r.stepSliding(&moved, moved.left(now))
	if res.Allowed {
		*c = moved
	} else {
		c.state |= levelMask
	}
	return res
}

// slidingWait returns the time until the next call is admitted if no other call
// comes first. By then enough of the previous window has slid out or, if the
// current window is full by itself, enough of the current one.
func (r *Rule) slidingWait(used, prev, left uint64) uint32 {
	if used >= r.limit {
		left, prev, used = left+r.window, used, 0
	}
	// The time that may still remain until the end of the window.
	weighs := min(r.window, (r.limit-used-1)*r.window/max(prev, 1))
	return uint32(max(left, weighs+1) - weighs)
}

// slide moves a sliding window that is over: to the next window if now lies in
// it, otherwise to one that starts now.
func (r *Rule) slide(c *Counter, now int64) {
	ms, end, used := millis(now), c.state>>lowBits&timeMask, c.state&low
	c.key &^= low
	if (ms-end)&timeMask >= r.window {
		c.state = valid((ms + r.window) & timeMask << lowBits)
		return
	}
	c.key |= used
	c.state = valid(level(used, r.limit) | (end+r.window)&timeMask<<lowBits)
}

// stepGCRA counts a call on the theoretical arrival time in c.
func (r *Rule) stepGCRA(c *Counter, now int64) Result {
	at := fine(now)
	ahead := (c.state - at) & tatMask
	if ahead > maxAhead<<lowBits {
		ahead = 0 // it lies in the past
	}
	then := ahead + r.interval
	if then > r.reach {
		c.state |= levelMask
		return Result{Wait: ceilMillis(then - r.reach)}
	}
	c.state = valid(level(then, r.reach) | (at+then)&tatMask)
	res := Result{Allowed: true, Remaining: uint32((r.reach - then) / r.interval), Wait: ceilMillis(then)}
	if res.Remaining == 0 {
		res.Wait = ceilMillis(then + r.interval - r.reach)
	}
	return res
}

// refund returns the state after giving back the call that was admitted at the
// time at. It returns word if there is nothing to give back because the window
// is over or the call has already drained. A fixed window whose calls were all
// given back is over.
func (r *Rule) refund(word uint64, at, now int64) uint64 {
	if r.kind == gcra {
		if (fine(now)-fine(at))&tatMask >= r.interval {
			return word
		}
		return valid(word&^tatMask | (word-r.interval)&tatMask)
	}
	left := (word>>lowBits - millis(at)) & timeMask
	switch {
	case left-1 >= r.window || word&low == 0:
		return word
	case r.kind != sliding && word&low == 1:
		// No call remains that the window could have begun with, so it is over.
		// Its end lies far back, for callers with an earlier now, too.
		return valid((word-1)&^(timeMask<<lowBits) | (millis(now)-maxAhead)&timeMask<<lowBits)
	}
	return valid(word - 1)
}

func admitted(remaining, wait uint64) Result {
	return Result{Allowed: true, Remaining: uint32(remaining), Wait: uint32(wait)}
}

// level returns how much of its limit a caller has used, in powers of two (14:
// half or more), shifted to its place. 15 marks a refused caller. Powers of
// two, and not fifteenths, tell the single call of a sprayed address from
// twenty calls.
func level(used, limit uint64) uint64 {
	return uint64(max(0, 14+bits.Len64(used)-bits.Len64(limit))) << levelAt
}

// valid keeps a state from looking like a free one, which it could do for one
// millisecond in two years.
func valid(word uint64) uint64 { return max(word, free+1) }

func millis(now int64) uint64 { return uint64(max(now, 0)) / 1e6 }

// fine returns now in units of 2⁻²² ms.
func fine(now int64) uint64 {
	n := uint64(max(now, 0))
	return (n/1e6<<lowBits | n%1e6<<lowBits/1e6) & tatMask
}

func ceilMillis(fine uint64) uint32 {
	return uint32((max(fine, 1) + low) >> lowBits)
}

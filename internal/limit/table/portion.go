package table

import "math/bits"

// A portion is a server's part of a fixed limit that several servers share. It
// is a fixed window whose calls can be lent to other servers, and borrowed from
// them. A lent call is counted as if it had been made here. The counter keeps
// the borrowed calls in the part of its key word that sliding windows use:
//
//	 1 bit  dry: no server has any left to borrow
//	21 bits borrowed calls

// MaxPortion is the largest limit that can be shared.
const MaxPortion = dry - 1

const dry = 1 << (lowBits - 1)

// slack is how long after the lender's window the borrower's may end, in ms.
// Without it, windows would chase each other by the time that messages take.
const slack = 100

// Need says whether to borrow.
type Need uint8

// The needs.
const (
	NoNeed Need = iota
	Soon        // few calls are left
	Now         // no call is left
)

// Portion returns the rule that allows a caller share calls in a window of this
// fixed rule, and what was borrowed. The share may be 0.
func (r *Rule) Portion(share uint32) Rule {
	return Rule{kind: portion, limit: uint64(min(share, MaxPortion)), window: r.window}
}

func (c *Counter) borrowed() uint64 { return c.key & (dry - 1) }

// stepPortion counts a call.
func (r *Rule) stepPortion(c *Counter, now int64) Result {
	left := c.left(now)
	if left-1 >= maxAhead {
		return r.first(c, now)
	}
	used, all, isDry := c.state&low, r.limit+c.borrowed(), c.key&dry != 0
	if used >= all {
		res := Result{Wait: uint32(left)}
		if isDry {
			c.state |= levelMask
		} else {
			res.Borrow = Now
		}
		return res
	}
	used++
	c.state = c.state&^(levelMask|low) | level(used, all) | used
	res := admitted(all-used, left)
	if !isDry {
		res.Borrow = needOf(all-used, all)
	}
	return res
}

// needOf asks at a quarter of all and below it at powers of two, so that a
// window has few rounds of borrowing, however slowly the rest is used up.
func needOf(remaining, all uint64) Need {
	switch {
	case remaining == 0:
		return Now
	case remaining <= all/4 && remaining&(remaining-1) == 0, remaining == all/4:
		return Soon
	}
	return NoNeed
}

// End identifies a window: the time at which it ends.
type End uint64

// EndOf returns the window that ends after wait, as of [Result.Wait].
func EndOf(now int64, wait uint32) End { return End((millis(now) + uint64(wait)) & timeMask) }

// Lend counts up to most calls for another server, where the caller's window
// ends in left ms, and returns how many. r is this server's portion. It lends
// half of what is left here. A window here that would end earlier is extended,
// so that a lent call is made within it, or at most 100 ms later; but not if it
// has borrowed calls itself, whose window cannot be extended. A new window ends
// with the borrower's, unless another one has ended here since that began: it
// then has the full length, or the share could be used again and again in short
// windows.
func (t *Table) Lend(now int64, k Key, class uint8, r *Rule, left, most uint32) uint32 {
	end := (millis(now) + min(uint64(left), r.window)) & timeMask
	s, home, other, name := t.place(k, class)
	s.Lock()
	defer s.Unlock()
	c := find(home, other, name)
	switch {
	case left == 0 || most == 0 || c == nil && r.limit == 0:
		return 0
	case c == nil:
		if c = t.victim(home, other, millis(now)); c == nil {
			return 0 // all who could make room are refused callers
		}
		c.key, c.state = name, valid(end<<lowBits)
	case c.left(now)-1 >= maxAhead:
		if ago := (millis(now) - c.state>>lowBits) & timeMask; ago+min(uint64(left), r.window)+slack < r.window {
			end = (millis(now) + r.window) & timeMask
		}
		c.key, c.state = name, valid(end<<lowBits)
	}
	used, all, wait := c.state&low, r.limit+c.borrowed(), (end-millis(now))&timeMask
	if used >= all {
		return 0
	}
	extended := wait > c.left(now)+slack
	if extended && c.borrowed() > 0 {
		return 0
	}
	n := min((all-used+1)/2, uint64(most))
	used += n
	c.state = c.state&^(levelMask|low) | level(used, all) | used
	if extended {
		c.state = c.state&^(timeMask<<lowBits) | end<<lowBits
	}
	c.state = valid(c.state)
	return uint32(n)
}

// Borrowed adds calls that other servers have lent to the window that ends at
// end. It reports whether that window still runs: otherwise the calls are lost.
func (t *Table) Borrowed(now int64, k Key, class uint8, end End, n uint32) bool {
	return t.change(now, k, class, end, func(c *Counter) {
		c.key = c.key&^(dry-1) | min(c.borrowed()+uint64(n), dry-1)
	})
}

// Dry notes that no server has calls to lend for the window that ends at end.
func (t *Table) Dry(now int64, k Key, class uint8, end End) {
	t.change(now, k, class, end, func(c *Counter) { c.key |= dry })
}

func (t *Table) change(now int64, k Key, class uint8, end End, change func(*Counter)) bool {
	s, home, other, name := t.place(k, class)
	s.Lock()
	defer s.Unlock()
	c := find(home, other, name)
	if c == nil || End(c.state>>lowBits&timeMask) != end || c.left(now)-1 >= maxAhead {
		return false
	}
	change(c)
	return true
}

// Remaining returns how many calls a portion has left.
func (t *Table) Remaining(now int64, k Key, class uint8, r *Rule) uint32 {
	s, home, other, name := t.place(k, class)
	s.Lock()
	defer s.Unlock()
	c := find(home, other, name)
	if c == nil || c.left(now)-1 >= maxAhead {
		return uint32(r.limit)
	}
	all := r.limit + c.borrowed()
	return uint32(all - min(all, c.state&low))
}

// Share returns the part of a limit for the server at a rank among several. The
// parts of all add up to the limit.
func Share(limit uint32, rank, of int) uint32 {
	high, rest := bits.Div32(0, limit, uint32(max(of, 1)))
	if uint32(rank) < rest {
		high++
	}
	return high
}

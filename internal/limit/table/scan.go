package table

// Scan calls visit for each counter that runs, with its class: for each caller
// and each other thing that is counted. It reads the whole table, which takes
// milliseconds for each hundred megabytes, and holds one stripe at a time for
// the duration of its visits. The counter is valid until visit returns; visit
// must not call the table.
func (t *Table) Scan(now int64, visit func(class uint8, c *Counter)) {
	for i := range t.stripes {
		t.scan(&t.stripes[i], millis(now), visit)
	}
}

func (t *Table) scan(s *stripe, ms uint64, visit func(class uint8, c *Counter)) {
	s.Lock()
	defer s.Unlock()
	for i := range s.sets {
		for j := range s.sets[i] {
			if c := &s.sets[i][j]; t.runs(c, ms) {
				visit(c.class(), c)
			}
		}
	}
}

// Use is how near a caller has come to its limit.
type Use struct {
	Calls uint32 // that count now; for gcra those of the burst that have not come back
	Tenth int    // of the limit: 0 is less than a tenth of it, 9 is nine tenths or more
	Over  bool   // its last call was over the limit, and one now would be, too
}

// Use reads a counter of this rule. The counter may be of another limit, an
// override's. Calls is right then too, except for gcra. Tenth may be off by a
// factor of two, since a counter knows no more than its own limit, and a
// sliding window of a lower limit is not known to be over it.
func (r *Rule) Use(now int64, c *Counter) Use {
	marked := c.state&levelMask == levelMask
	switch r.kind {
	case gcra:
		ahead := (c.state - fine(now)) & tatMask
		if ahead > maxAhead<<lowBits {
			ahead = 0
		}
		calls := (ahead + r.interval - 1) / r.interval
		return Use{narrow(calls), tenth(ahead, r.reach), marked && ahead+r.interval > r.reach} // reach is that of any limit
	case sliding:
		return r.useSliding(now, *c, marked)
	default:
		used := c.state & low
		exact := c.state&levelMask == level(used, r.limit)
		return Use{narrow(used), tenthOf(c.state, used, r.limit, exact), marked}
	}
}

func (r *Rule) useSliding(now int64, c Counter, marked bool) Use {
	word, all := c.state, r.limit*r.window
	const step = 1 << levelAt // a level reckoned in calls may differ by one from one reckoned in their milliseconds
	exact := word&levelMask+step >= level(word&low*r.window, all) && word&levelMask <= level((word&low+c.before())*r.window, all)+step
	if c.left(now)-1 >= maxAhead { // it has ended, and counts as the window before
		r.slide(&c, now)
	}
	sum := c.before()*min(c.left(now), r.window) + c.state&low*r.window
	calls := (sum + r.window - 1) / r.window
	return Use{narrow(calls), tenthOf(word, sum, all, exact), marked && sum+r.window > all}
}

// tenthOf returns the tenth of the limit that was used. If the limit is not the
// one that was used, the level in word decides.
func tenthOf(word, used, limit uint64, exact bool) int {
	const half, most = 14, 7 // the level of a half or more, and the middle of that
	l := int(word & levelMask >> levelAt)
	if exact || l > half {
		return tenth(used, limit)
	}
	return min(most, 10>>(half-l))
}

func tenth(used, limit uint64) int {
	return int(min(9, used*10/limit))
}

func narrow(calls uint64) uint32 { return uint32(min(calls, MaxLimit)) }

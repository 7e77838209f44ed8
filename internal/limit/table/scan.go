package table

// Scan calls visit for each running counter, with its class. A caller may have
// several counters. Scan reads the whole table, which takes milliseconds per
// hundred megabytes, and locks one stripe at a time during its visits. The
// counter is valid until visit returns; visit must not call the table.
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

// Use says how near a caller is to its limit.
type Use struct {
	Calls uint32 // that count now; gcra: the part of the burst that is not back
	Tenth int    // of the limit: 0 is less than a tenth, 9 is nine tenths or more
	Over  bool   // the last call was over the limit, and a call now would be, too
}

// Use reads a counter of this rule. The counter may have another limit, that of
// an override. Calls is then still right, except for gcra. Tenth may be off by
// a factor of two, since a counter knows only its own limit, and Use cannot
// tell that a sliding window with a lower limit is over that limit.
func (r *Rule) Use(now int64, c *Counter) Use {
	marked := c.state&levelMask == levelMask
	switch r.kind {
	case gcra:
		ahead := (c.state - fine(now)) & tatMask
		if ahead > maxAhead<<lowBits {
			ahead = 0
		}
		calls := (ahead + r.interval - 1) / r.interval
		// The reach is the same for any limit.
		return Use{narrow(calls), tenth(ahead, r.reach), marked && ahead+r.interval > r.reach}
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
	// A level computed in calls may differ by one from one computed in
	// milliseconds.
	const step = 1 << levelAt
	exact := word&levelMask+step >= level(word&low*r.window, all) && word&levelMask <= level((word&low+c.before())*r.window, all)+step
	if c.left(now)-1 >= maxAhead { // it has ended and counts as the previous window
		r.slide(&c, now)
	}
	sum := c.before()*min(c.left(now), r.window) + c.state&low*r.window
	calls := (sum + r.window - 1) / r.window
	return Use{narrow(calls), tenthOf(word, sum, all, exact), marked && sum+r.window > all}
}

// tenthOf returns the used tenth of the limit. If the counter has another
// limit, the level in word decides.
func tenthOf(word, used, limit uint64, exact bool) int {
	const half, most = 14, 7 // the level of a half or more, and its middle
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

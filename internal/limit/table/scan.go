package table

// State is what a counter held at one moment. Its [Rule] can tell what that means.
type State struct {
	word, prev uint64
}

// Scan calls visit for each counter that runs, and so for each caller and each other thing that is counted, with its class. It
// reads the whole table, milliseconds for each hundred megabytes, and holds nobody up: a caller who comes or goes meanwhile may
// be seen or not.
func (t *Table) Scan(now int64, visit func(class uint8, s State)) {
	ms := millis(now)
	for i := range t.sets {
		s := &t.sets[i]
		for j := range ways {
			word, key := s.state[j].Load(), s.key[j].Load()
			if word <= busy {
				continue
			}
			again := s.state[j].Load()
			if again <= busy || (again^word)&genMask != 0 {
				continue // it changed hands: the key may be the next one's
			}
			class := uint8(key >> classAt)
			if t.runs(word, class, ms) {
				visit(class, State{word, key & low})
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

// Use reads the state of a counter of this rule. The state may be of another limit, an override's: Calls is right then too, but
// for gcra, Tenth may be off by a factor of two, since a counter holds no more than that of its own limit, and a sliding window
// of a lower limit is not known to be over it.
func (r *Rule) Use(now int64, s State) Use {
	marked := s.word&levelMask == levelMask
	switch r.kind {
	case gcra:
		ahead := (s.word - fine(now)) & tatMask
		if ahead > maxAhead<<lowBits {
			ahead = 0
		}
		calls := (ahead + r.interval - 1) / r.interval
		return Use{narrow(calls), tenth(ahead, r.reach), marked && ahead+r.interval > r.reach} // reach is that of any limit
	case sliding:
		return r.useSliding(now, s, marked)
	default:
		used := s.word & low
		exact := s.word&levelMask == level(used, r.limit)
		return Use{narrow(used), tenthOf(s.word, used, r.limit, exact), marked}
	}
}

func (r *Rule) useSliding(now int64, s State, marked bool) Use {
	word, prev, all := s.word, s.prev, r.limit*r.window
	left := (word>>lowBits - millis(now)) & timeMask
	const step = 1 << levelAt // by which a level may differ that was reckoned in calls and not in their milliseconds
	exact := word&levelMask+step >= level(word&low*r.window, all) && word&levelMask <= level((word&low+prev)*r.window, all)+step
	if left-1 >= maxAhead { // it has ended, and counts as the one before
		word, prev = r.slide(word, now)
		left = (word>>lowBits - millis(now)) & timeMask
	}
	sum := prev*min(left, r.window) + word&low*r.window
	calls := (sum + r.window - 1) / r.window
	return Use{narrow(calls), tenthOf(s.word, sum, all, exact), marked && sum+r.window > all}
}

// tenthOf returns the tenth of the limit that was used; by the level in word if the limit is not the one that it was used of.
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

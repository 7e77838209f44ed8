package table

import (
	"testing"

	"pgregory.net/rapid"
)

func TestShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit, of := rapid.Uint32Range(0, MaxPortion).Draw(t, "limit"), rapid.IntRange(1, 9).Draw(t, "of")
		sum, least, most := uint32(0), Share(limit, of-1, of), Share(limit, 0, of)
		for rank := range of {
			sum += Share(limit, rank, of)
		}
		if sum != limit || most-least > 1 {
			t.Fatalf("the parts of %d servers add up to %d, from %d to %d; want %d, as equal as possible", of, sum, least, most, limit)
		}
	})
}

// Calls can be lent: what one server admits more, another admits less.
func TestLending(t *testing.T) {
	t.Parallel()
	whole := Fixed(30, 30e3)
	here, there, rule := New(10), New(10), whole.Portion(10)
	mine, theirs := here.Key(1, 2, 3, 4), there.Key(1, 2, 3, 4)
	take := func(at int64, want Result) {
		t.Helper()
		if got := here.Take(at*ms, mine, 1, &rule); got != want {
			t.Errorf("at %d ms: got %+v, want %+v", at, got, want)
		}
	}
	for i := range uint32(7) {
		take(0, Result{Allowed: true, Remaining: 9 - i, Wait: 30e3})
	}
	take(0, Result{Allowed: true, Remaining: 2, Wait: 30e3, Borrow: Soon})
	take(0, Result{Allowed: true, Remaining: 1, Wait: 30e3, Borrow: Soon})
	take(0, Result{Allowed: true, Remaining: 0, Wait: 30e3, Borrow: Now})
	take(1e3, Result{Wait: 29e3, Borrow: Now})
	lent := there.Lend(5e3*ms, theirs, 1, &rule, 29e3, 100) // it has other clocks
	if lent != 5 {
		t.Fatalf("got %d calls, want half of 10", lent)
	}
	end := EndOf(1e3*ms, 29e3)
	if here.Borrowed(2e3*ms, mine, 1, end+1, lent) || !here.Borrowed(2e3*ms, mine, 1, end, lent) {
		t.Error("calls can be borrowed for another window, or not for this one")
	}
	for i := range uint32(3) {
		take(2e3, Result{Allowed: true, Remaining: 4 - i, Wait: 28e3, Borrow: [3]Need{NoNeed, Soon, Soon}[i]})
	}
	take(2e3, Result{Allowed: true, Remaining: 1, Wait: 28e3, Borrow: Soon})
	take(2e3, Result{Allowed: true, Remaining: 0, Wait: 28e3, Borrow: Now})
	here.Dry(2e3*ms, mine, 1, end)
	take(2e3, Result{Wait: 28e3})
	// The lender's window ends with the borrower's, and has half left.
	for i := range uint32(5) {
		if got := there.Take(33e3*ms, theirs, 1, &rule); !got.Allowed || got.Remaining != 4-i || got.Wait != 1e3 {
			t.Errorf("the lender admits %+v", got)
		}
	}
	if got := there.Take(33e3*ms, theirs, 1, &rule); got.Allowed {
		t.Error("the lender admits what it has lent")
	}
	take(30e3, Result{Allowed: true, Remaining: 9, Wait: 30e3}) // another window: nothing is borrowed, nobody is dry
}

// A window with borrowed calls is not extended for another borrower.
func TestLendingExtends(t *testing.T) {
	t.Parallel()
	whole := Fixed(30, 30e3)
	rule := whole.Portion(10)
	table := New(10)
	key := table.Key(1, 2, 3, 4)
	table.Take(0, key, 1, &rule)
	if n := table.Lend(10e3*ms, key, 1, &rule, 30e3, 100); n != 5 {
		t.Errorf("got %d calls, want 5", n)
	}
	if got := table.Take(35e3*ms, key, 1, &rule); got.Wait != 5e3 {
		t.Errorf("the window ends in %d ms, want 5000: that of the borrower", got.Wait)
	}
	table.Borrowed(35e3*ms, key, 1, EndOf(35e3*ms, 5e3), 9)
	if n := table.Lend(35e3*ms, key, 1, &rule, 20e3, 100); n != 0 {
		t.Errorf("%d calls were lent beyond the window in which they were borrowed", n)
	}
	if n := table.Lend(35e3*ms, key, 1, &rule, 5e3+slack, 4); n != 4 {
		t.Errorf("got %d calls, want the 4 that were asked for", n)
	}
	if n := table.Lend(35e3*ms, key, 1, &rule, 0, 100) + table.Lend(35e3*ms, key, 1, &rule, 5e3, 0); n != 0 {
		t.Errorf("%d calls were lent for nothing", n)
	}
	none := whole.Portion(0)
	if n := New(10).Lend(0, key, 1, &none, 5e3, 10); n != 0 {
		t.Errorf("a server without a share lends %d calls", n)
	}
}

// A caller whose windows end one after the other, a moment apart, cannot have
// each server's share lent several times in the moments between.
func TestLendingInShortWindows(t *testing.T) {
	t.Parallel()
	const window, apart, servers, share, rounds = 10_000, 150, 3, 10, 6
	whole := Fixed(servers*share, window)
	rule := whole.Portion(share)
	var tables [servers]*Table
	var keys [servers]Key
	for i := range servers {
		tables[i] = New(10)
		keys[i] = tables[i].Key(1, 2, 3, 4)
	}
	admitted := 0
	take := func(at int64, i int) (res Result) {
		for {
			if res = tables[i].Take(at*ms, keys[i], 1, &rule); !res.Allowed {
				return res
			}
			admitted++
		}
	}
	begin := int64(1)
	for range rounds {
		for i := range servers { // each window begins a moment after the one before
			take(begin+apart*int64(i), i)
		}
		// Just before it ends, the next server borrows from those whose windows
		// have ended.
		for i := 1; i < servers; i++ {
			at := begin + window + apart*int64(i) - 1
			res := take(at, i)
			for j := range i {
				for range 10 {
					n := tables[j].Lend(at*ms, keys[j], 1, &rule, res.Wait, share)
					tables[i].Borrowed(at*ms, keys[i], 1, EndOf(at*ms, res.Wait), n)
				}
			}
			take(at, i)
		}
		begin += window + servers*apart
	}
	if most := servers * share * (rounds + 1); admitted > most {
		t.Errorf("%d calls were admitted in %d windows of %d, want at most %d", admitted, rounds, servers*share, most)
	}
}

// message is an ask or an answer on its way.
type message struct {
	from, to, calls int // of the ask: from the borrower to the lender
	end             End // of the borrower's window
	left            uint32
	answer          bool
}

// Whatever becomes of messages, the servers together never admit more than the
// limit in windows that begin together, and over longer times not more than one
// server would. A server that starts again may admit its share again.
func TestLendingNeverExceedsTheLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const window = 1000
		limit, n := rapid.Uint32Range(1, 40).Draw(t, "limit"), rapid.IntRange(2, 4).Draw(t, "servers")
		whole := Fixed(limit, window)
		tables, keys, rules := make([]*Table, n), make([]Key, n), make([]Rule, n)
		restart := func(i int) { tables[i] = New(10); keys[i] = tables[i].Key(1, 2, 3, 4) }
		for i := range n {
			restart(i)
			rules[i] = whole.Portion(Share(limit, i, n))
		}
		var flying []message
		var admitted []int64
		now, again := int64(1), uint32(0)
		for range rapid.IntRange(1, 250).Draw(t, "steps") {
			switch i := rapid.IntRange(0, n-1).Draw(t, "server"); rapid.IntRange(0, 12).Draw(t, "what") {
			case 0:
				now += rapid.OneOf(rapid.Int64Range(0, 20), rapid.Int64Range(0, 2*window)).Draw(t, "passes")
			case 1: // a message is lost
				if len(flying) > 0 {
					flying = flying[1:]
				}
			case 2, 3, 4, 5: // one arrives, in any order
				if len(flying) == 0 {
					continue
				}
				at := rapid.IntRange(0, len(flying)-1).Draw(t, "which")
				m := flying[at]
				flying = append(flying[:at:at], flying[at+1:]...)
				if m.answer {
					tables[m.from].Borrowed(now*ms, keys[m.from], 1, m.end, uint32(m.calls))
					continue
				}
				m.calls = int(tables[m.to].Lend(now*ms, keys[m.to], 1, &rules[m.to], m.left, uint32(m.calls)))
				m.answer = true
				flying = append(flying, m)
			case 6:
				if rapid.IntRange(0, 9).Draw(t, "restarts") == 0 {
					restart(i)
					again += Share(limit, i, n)
				}
			default:
				res := tables[i].Take(now*ms, keys[i], 1, &rules[i])
				if res.Allowed {
					admitted = append(admitted, now)
				}
				if res.Borrow != NoNeed || rapid.IntRange(0, 5).Draw(t, "asks anyway") == 0 {
					to := (i + rapid.IntRange(1, n-1).Draw(t, "of")) % n
					flying = append(flying, message{from: i, to: to, calls: rapid.IntRange(1, 50).Draw(t, "calls"), end: EndOf(now*ms, res.Wait), left: res.Wait})
				}
			}
		}
		check(t, admitted, int(limit), window, int64(slack*n), int(again))
	})
}

// check checks the times of admitted calls against what one fixed window
// allows: the limit for each window that lies in a span of time, and for the
// one at its beginning. Windows that begin with the test have none before.
func check(t *rapid.T, admitted []int64, limit int, window, slack int64, again int) {
	for i := range admitted {
		for j := i; j < len(admitted); j++ {
			span, windows := admitted[j]-admitted[i]+slack, 2
			if i == 0 {
				span, windows = admitted[j], 1
			}
			if most := limit*(int(span/window)+windows) + again; j-i+1 > most {
				t.Fatalf("%d calls were admitted from %d to %d ms, want at most %d", j-i+1, admitted[i], admitted[j], most)
			}
		}
	}
}

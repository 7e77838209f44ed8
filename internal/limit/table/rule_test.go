package table

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// script returns random times of one caller's calls, in milliseconds, in order.
func script(t *rapid.T) []int64 {
	gaps := rapid.SliceOfN(rapid.OneOf(rapid.Just[int64](0), rapid.Int64Range(0, 50), rapid.Int64Range(0, 3000)), 1, 200).Draw(t, "gaps")
	at := int64(0)
	for i, gap := range gaps {
		at += gap
		gaps[i] = at
	}
	return gaps
}

// The fixed window agrees with the simplest model.
func TestFixedIsTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit, window := rapid.Uint32Range(1, 20).Draw(t, "limit"), rapid.Int64Range(1, 2000).Draw(t, "window")
		table, rule := New(10), Fixed(limit, window)
		key := table.Key(1, 2, 3, 4)
		start, used := int64(-1), uint32(0)
		for i, at := range script(t) {
			if start < 0 || at >= start+window {
				start, used = at, 0
			}
			want := Result{Wait: uint32(start + window - at)}
			if used < limit {
				used++
				want.Allowed, want.Remaining = true, limit-used
			}
			if got := table.Take(at*ms, key, 1, &rule); got != want {
				t.Fatalf("call %d at %d ms: got %+v, want %+v", i, at, got, want)
			}
		}
	})
}

// The sliding window agrees with its definition in whole numbers.
func TestSlidingIsTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit, window := rapid.Int64Range(1, 20).Draw(t, "limit"), rapid.Int64Range(1, 2000).Draw(t, "window")
		table, rule := New(10), Sliding(uint32(limit), window)
		table.Prepare(1, &rule)
		key := table.Key(1, 2, 3, 4)
		start, used, before := int64(0), int64(0), int64(0) // after the last admitted call
		for i, at := range script(t) {
			s, u, b := start, used, before
			switch {
			case i == 0 || at >= s+2*window:
				s, u, b = at, 0, 0
			case at >= s+window:
				s, u, b = s+window, 0, u
			}
			left := s + window - at
			allowed := b*left+(u+1)*window <= limit*window
			if allowed {
				start, used, before = s, u+1, b
			}
			got := table.Take(at*ms, key, 1, &rule)
			if got.Allowed != allowed {
				t.Fatalf("call %d at %d ms: got %+v, want allowed %v (before %d, used %d)", i, at, got, allowed, b, u)
			}
			if got.Remaining > 0 && int64(got.Wait) != left {
				t.Fatalf("call %d at %d ms: got %+v, but the window ends in %d ms", i, at, got, left)
			}
		}
	})
}

// drawRule returns a rule, its limit and its window in ms. The sliding rule
// does not guarantee its limit in every window.
func drawRule(t *rapid.T) (Rule, uint32, int64) {
	limit, window := rapid.Uint32Range(1, 40).Draw(t, "limit"), rapid.Int64Range(1, 5000).Draw(t, "window")
	switch rapid.SampledFrom([]kind{fixed, sliding, gcra}).Draw(t, "kind") {
	case sliding:
		return Sliding(limit, window), limit, window
	case gcra:
		burst := rapid.Uint32Range(1, max(1, limit-1)).Draw(t, "burst")
		return GCRA(limit, burst, window), limit, window
	default:
		return Fixed(limit, window), limit, window
	}
}

// Answers come true: exactly Remaining more calls are admitted now. If nothing
// remains, the next one is admitted after Wait and not a millisecond sooner.
func TestAnswersComeTrue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rule, _, _ := drawRule(t)
		table := New(10)
		table.Prepare(1, &rule)
		key := table.Key(1, 2, 3, 4)
		var res Result
		at := int64(0)
		for _, at = range script(t) {
			res = table.Take(at*ms, key, 1, &rule)
		}
		for range res.Remaining {
			if res = table.Take(at*ms, key, 1, &rule); !res.Allowed {
				t.Fatalf("a call that remained was refused: %+v", res)
			}
		}
		if res.Remaining != 0 || res.Wait == 0 {
			t.Fatalf("got %+v, want none remaining and a time to wait", res)
		}
		if early := table.Take((at+int64(res.Wait)-1)*ms, key, 1, &rule); early.Allowed {
			t.Fatalf("admitted a millisecond before the wait of %d ms was over", res.Wait)
		}
		if late := table.Take((at+int64(res.Wait))*ms, key, 1, &rule); !late.Allowed {
			t.Fatalf("refused after a wait of %d ms: %+v", res.Wait, late)
		}
	})
}

// A caller who makes refused calls gets the same answers as one who does not.
func TestRefusedCallsChangeNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rule, _, _ := drawRule(t)
		table := New(10)
		table.Prepare(1, &rule)
		stubborn, patient := table.Key(1, 0, 1, 0), table.Key(1, 0, 2, 0)
		for i, at := range script(t) {
			got := table.Take(at*ms, stubborn, 1, &rule)
			if !got.Allowed {
				continue
			}
			if want := table.Take(at*ms, patient, 1, &rule); got != want {
				t.Fatalf("call %d at %d ms: got %+v, want %+v", i, at, got, want)
			}
		}
	})
}

// No window of gcra ever exceeds the limit, wherever it begins. No fixed window
// does, counted from its first call.
func TestNeverMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rule, limit, window := drawRule(t)
		table := New(10)
		table.Prepare(1, &rule)
		key := table.Key(1, 2, 3, 4)
		var admitted []int64
		for _, at := range script(t) {
			if table.Take(at*ms, key, 1, &rule).Allowed {
				admitted = append(admitted, at)
			}
		}
		for i := 0; i < len(admitted); {
			end, _ := slices.BinarySearch(admitted, admitted[i]+window)
			if n := end - i; n > int(limit) && rule.kind != sliding {
				t.Fatalf("%d calls in the window from %d ms, the limit is %d", n, admitted[i], limit)
			}
			if i++; rule.kind == fixed {
				i = end
			}
		}
	})
}

// A well-behaved caller is never refused: under the fixed rule one who makes at
// most limit calls in any window, under gcra one who keeps the interval.
func TestNeverLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rule, limit, window := drawRule(t)
		table := New(10)
		key := table.Key(1, 2, 3, 4)
		var made []int64 // in nanoseconds
		for i, at := range script(t) {
			at *= ms
			switch rule.kind {
			case sliding:
				return
			case gcra:
				at = int64(i) * (int64(rule.interval)*ms>>lowBits + 1)
			case fixed:
				if n := len(made); n >= int(limit) && at-made[n-int(limit)] < window*ms {
					continue // one call too many for a well-behaved caller
				}
			}
			made = append(made, at)
			if res := table.Take(at, key, 1, &rule); !res.Allowed {
				t.Fatalf("call %d at %d ns was refused: %+v", i, at, res)
			}
		}
	})
}

// A changed limit applies to the running window: the remaining calls change by
// the difference. A changed window applies to the next one.
func TestChangedRule(t *testing.T) {
	t.Parallel()
	table := New(10)
	key := table.Key(1, 2, 3, 4)
	take := func(at int64, r Rule, want Result) {
		t.Helper()
		if got := table.Take(at*ms, key, 1, &r); got != want {
			t.Errorf("at %d ms: got %+v, want %+v", at, got, want)
		}
	}
	take(0, Fixed(30, 30e3), Result{Allowed: true, Remaining: 29, Wait: 30e3})
	take(1, Fixed(30, 30e3), Result{Allowed: true, Remaining: 28, Wait: 29_999})
	take(2, Fixed(2, 30e3), Result{Allowed: false, Remaining: 0, Wait: 29_998})
	take(3, Fixed(50, 30e3), Result{Allowed: true, Remaining: 47, Wait: 29_997})
	take(4, Fixed(50, 10e3), Result{Allowed: true, Remaining: 46, Wait: 29_996}) // shorter: this window continues
	take(30e3, Fixed(50, 10e3), Result{Allowed: true, Remaining: 49, Wait: 10e3})
	take(31e3, Fixed(50, 90e3), Result{Allowed: true, Remaining: 48, Wait: 9e3}) // longer: this one ends
	take(40e3, Fixed(50, 90e3), Result{Allowed: true, Remaining: 49, Wait: 90e3})
}

// A plain token bucket with a burst of its whole limit admits nearly twice the
// limit in its first window. Ours does not.
func TestGCRASmooth(t *testing.T) {
	t.Parallel()
	table, rule := New(10), GCRA(30, 3, 30e3)
	key, admitted := table.Key(1, 2, 3, 4), 0
	for at := range int64(30e3) {
		if table.Take(at*ms, key, 1, &rule).Allowed {
			admitted++
		}
	}
	if admitted != 29 && admitted != 30 {
		t.Errorf("%d calls in the first window, want 29 or 30", admitted)
	}
}

// The error stays below a thousandth even for limits beyond a call per
// microsecond.
func TestGCRAFine(t *testing.T) {
	t.Parallel()
	table, rule := New(10), GCRA(4_000_000, 400_000, 1e3)
	key, admitted := table.Key(1, 2, 3, 4), 0
	for at := range int64(8_000_000) {
		if table.Take(at*125, key, 1, &rule).Allowed {
			admitted++
		}
	}
	if admitted < 3_996_000 || admitted > 4_000_000 {
		t.Errorf("%d calls in the first window, want 4000000 or a thousandth less", admitted)
	}
}

// TestGCRAWithinAMillisecond: calls that take less than a millisecond each are
// counted, too, although other callers need a counter in the same set.
func TestGCRAWithinAMillisecond(t *testing.T) {
	t.Parallel()
	const burst = 200
	rule, table := GCRA(3000, burst, 1000), New(1)
	table.Prepare(1, &rule)
	for n := range uint64(100) {
		now, admitted := int64(n+1)*10_000*ms, [2]int{}
		for range burst + 50 {
			for i := range admitted {
				if table.Take(now, table.Key(1, 0, n, uint64(i)), 1, &rule).Allowed {
					admitted[i]++
				}
			}
		}
		if admitted != [2]int{burst, burst} {
			t.Errorf("pair %d: got %v, want %d of each", n, admitted, burst)
		}
	}
}

func TestRulesOutOfRange(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"limit 0":        func() { Fixed(0, 1) },
		"limit":          func() { Fixed(MaxLimit+1, 1) },
		"window 0":       func() { Sliding(1, 0) },
		"window":         func() { Sliding(1, MaxWindowMillis+1) },
		"burst 0":        func() { GCRA(10, 0, 1000) },
		"burst":          func() { GCRA(10, 10, 1000) },
		"burst for days": func() { GCRA(1000, 999, 3600e3) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			f()
		}()
	}
}

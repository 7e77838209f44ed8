package table

import (
	"testing"

	"pgregory.net/rapid"
)

func scan(t *Table, now int64, class uint8) (counters []*Counter) {
	t.Scan(now, func(of uint8, c *Counter) {
		if of == class {
			copied := *c
			counters = append(counters, &copied)
		}
	})
	return counters
}

// A scan agrees with the answer to the caller's last call.
func TestUseIsWhatTheCallerWasTold(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]Rule{
		"fixed": Fixed(7, 1000), "sliding": Sliding(7, 1000), "gcra": GCRA(9, 7, 1000), "one": Fixed(1, 1000), "sliding one": Sliding(1, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			atOnce := rule.limit
			if rule.kind == gcra {
				atOnce = 7
			}
			rapid.Check(t, func(t *rapid.T) {
				table := New(10)
				table.Prepare(3, &rule)
				key := table.Key(1, 2, 3, 4)
				for i, at := range script(t) {
					res := table.Take(at*ms, key, 3, &rule)
					counters := scan(table, at*ms, 3)
					if len(counters) != 1 {
						t.Fatalf("call %d: found %d counters, want 1", i, len(counters))
					}
					want := Use{Calls: uint32(atOnce) - res.Remaining, Over: !res.Allowed}
					got := rule.Use(at*ms, counters[0])
					if got.Calls != want.Calls || got.Over != want.Over {
						t.Fatalf("call %d at %d ms, answered %+v: got %+v, want %+v", i, at, res, got, want)
					}
					// A tenth uses the exact share, but calls are rounded up.
					share := 10 * float64(got.Calls) / float64(atOnce)
					if most := min(9, int(share)); got.Tenth > most || float64(got.Tenth) < share-10/float64(atOnce)-1 && got.Tenth < 9 {
						t.Fatalf("call %d: %d of %d calls are tenth %d", i, got.Calls, atOnce, got.Tenth)
					}
					later := at + rapid.Int64Range(1, 3000).Draw(t, "later")
					if counters := scan(table, later*ms, 3); len(counters) == 1 && rule.Use(later*ms, counters[0]).Over {
						if table.Take(later*ms, key, 3, &rule).Allowed { // else it changed nothing
							t.Fatalf("call %d: still over the limit after %d ms, when a call is admitted", i, later-at)
						}
					}
				}
			})
		})
	}
}

// A scan places a caller with another limit within a factor of two, though it
// knows only the policy's limit.
func TestUseOfAnotherLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Uint32Range(10, 100_000).Draw(t, "limit")
		calls := rapid.Uint32Range(1, min(limit, 2000)).Draw(t, "calls")
		own := Fixed(limit, 1000)
		table := New(10)
		key := table.Key(1, 2, 3, 4)
		for range calls {
			table.Take(0, key, 3, &own)
		}
		policy := Fixed(rapid.SampledFrom([]uint32{1, 30, 6000, MaxLimit}).Draw(t, "policy's"), 1000)
		got := policy.Use(0, scan(table, 0, 3)[0])
		share := 10 * float64(calls) / float64(limit)
		if got.Calls != calls || got.Over || float64(got.Tenth) > 2*share || float64(got.Tenth) < share/2-1 {
			t.Fatalf("%d calls of %d: got %+v, which is not near tenth %.1f", calls, limit, got, share)
		}
	})
}

func TestScanSeesWhatRuns(t *testing.T) {
	t.Parallel()
	table, rule := New(1000), Fixed(5, 1000)
	for id := range uint64(600) {
		// A window ends every millisecond from 1000 on.
		table.Take(int64(id)*ms, table.Key(1, 0, id, 0), uint8(id%2), &rule)
	}
	for _, c := range []struct{ at, want int64 }{{0, 300}, {999, 300}, {1299, 150}, {1599, 0}} {
		if got := scan(table, c.at*ms, 1); int64(len(got)) != c.want {
			t.Errorf("at %d ms: got %d counters of the class, want %d", c.at, len(got), c.want)
		}
	}
}

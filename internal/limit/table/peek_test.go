package table

import (
	"testing"

	"pgregory.net/rapid"
)

// Peek agrees with Take about calls that Take refuses, and changes nothing.
func TestPeek(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]Rule{"fixed": Fixed(5, 60e3), "sliding": Sliding(5, 60e3), "gcra": GCRA(8, 5, 60e3)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				peeked, plain := New(100), New(100)
				peeked.Prepare(1, &rule)
				plain.Prepare(1, &rule)
				now := int64(0)
				for range 80 {
					now += rapid.Int64Range(0, 20_000).Draw(t, "ms") * ms
					lo := rapid.Uint64Range(1, 2).Draw(t, "caller")
					peek := peeked.Peek(now, peeked.Key(1, 0, lo, 0), 1, &rule)
					got, want := peeked.Take(now, peeked.Key(1, 0, lo, 0), 1, &rule), plain.Take(now, plain.Key(1, 0, lo, 0), 1, &rule)
					if got != want || peek.Allowed != want.Allowed || (!want.Allowed && peek != want) {
						t.Fatalf("at %d ms: peeked %+v, then took %+v, want %+v", now/ms, peek, got, want)
					}
				}
			})
		})
	}
}

package table

import (
	"hash/maphash"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
)

// BenchmarkTake measures one call at a given time: of a caller far from the
// limit, of a refused caller, and of callers drawn from many, evenly or by
// Zipf's law (exponent 1.1). The loop hashes the key of each call, as the
// server does.
func BenchmarkTake(b *testing.B) {
	ids := func(n int, draw func() uint64) []uint32 {
		list := make([]uint32, n)
		for i := range list {
			list[i] = uint32(draw())
		}
		return list
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	const drawn = 1 << 22
	even := func(n uint64) []uint32 { return ids(drawn, func() uint64 { return rnd.Uint64N(n) }) }
	zipf := rand.NewZipf(rnd, 1.1, 1, 1e6-1)
	for _, c := range []struct {
		name    string
		callers int
		rule    Rule
		ids     func() []uint32
	}{
		{"hot", 1e6, Fixed(MaxLimit, 60e3), func() []uint32 { return []uint32{7} }},
		{"refused", 1e6, Fixed(1, MaxWindowMillis), func() []uint32 { return []uint32{7} }},
		{"hot-sliding", 1e6, Sliding(MaxLimit, 60e3), func() []uint32 { return []uint32{7} }},
		{"hot-gcra", 1e6, GCRA(MaxLimit, MaxLimit/10, 60e3), func() []uint32 { return []uint32{7} }},
		{"1M-uniform", 1e6, Fixed(6000, 60e3), func() []uint32 { return even(1e6) }},
		{"1M-zipf", 1e6, Fixed(6000, 60e3), func() []uint32 { return ids(drawn, zipf.Uint64) }},
		{"10M-uniform", 1e7, Fixed(6000, 60e3), func() []uint32 { return even(1e7) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			if testing.Short() && c.callers > 1e6 {
				b.Skip("267 MB")
			}
			t, list := New(c.callers), c.ids()
			// All callers call once, so that no lap measures the first touch of
			// memory.
			if len(list) > 1 {
				for id := range uint64(c.callers) {
					t.Take(1, t.Key(1, 0, id, 0), 1, &c.rule)
				}
			}
			mask := uint64(len(list) - 1)
			b.Run("map", func(b *testing.B) { benchMap(b, c.callers, list, &c.rule) })
			b.Run("serial", func(b *testing.B) {
				b.ReportAllocs()
				for i := range uint64(b.N) {
					t.Take(int64(i), t.Key(1, 0, uint64(list[i&mask]), 0), 1, &c.rule)
				}
			})
			b.Run("parallel", func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for i := rand.Uint64(); pb.Next(); i++ {
						t.Take(int64(i%1e9), t.Key(1, 0, uint64(list[i&mask]), 0), 1, &c.rule)
					}
				})
			})
		})
	}
}

// shardedMap is the usual limiter at its best: 256 maps, each behind a mutex,
// values without pointers, the time passed in. It is the baseline in the same
// run, because absolute figures drift.
type shardedMap [256]struct {
	sync.Mutex
	m map[uint64]window
	_ [48]byte
}

type window struct {
	end  int64
	used uint32
}

func (s *shardedMap) take(now int64, key uint64, r *Rule) bool {
	shard := &s[key%256]
	shard.Lock()
	defer shard.Unlock()
	w := shard.m[key]
	if now >= w.end {
		w = window{end: now + int64(r.window)*ms}
	}
	if uint64(w.used) >= r.limit {
		return false
	}
	w.used++
	shard.m[key] = w
	return true
}

func benchMap(b *testing.B, callers int, list []uint32, r *Rule) {
	b.Helper()
	if r.kind != fixed {
		b.Skip("it counts in fixed windows only")
	}
	var s shardedMap
	for i := range s {
		s[i].m = make(map[uint64]window)
	}
	seed := maphash.MakeSeed()
	key := func(id uint64) uint64 { return maphash.Comparable(seed, id) }
	if len(list) > 1 {
		for id := range uint64(callers) {
			s.take(1, key(id), r)
		}
	}
	mask := uint64(len(list) - 1)
	b.ResetTimer()
	for i := range uint64(b.N) {
		s.take(int64(i), key(uint64(list[i&mask])), r)
	}
}

// BenchmarkInsert measures the first call of callers that never return: a spray
// of addresses.
func BenchmarkInsert(b *testing.B) {
	for _, callers := range []int{1e4, 1e6} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			t, r := New(callers), Fixed(30, 30e3)
			b.ReportAllocs()
			for i := range uint64(b.N) {
				t.Take(1, t.Key(1, 0, i, 0), 1, &r)
			}
		})
	}
}

package cache

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"trackway"
	"trackway/internal/allocs"
)

type timelineKey struct {
	at   trackway.Micros
	tail uint64
}

// TestRecentIsExact: an entry that the cache takes for new is on none of the
// customer's timelines, no matter in which order the entries came and what was
// merged or forgotten, and how many filters became full since the customer's
// last entry.
func TestRecentIsExact(t *testing.T) {
	t.Parallel()
	swept := 0 // how often a full filter was emptied
	for range 300 {
		seed := rand.Uint64()
		w := world{Rand: rand.New(rand.NewPCG(seed, 0)), c: New(0), timelines: make(map[trackway.Customer]map[timelineKey]bool)}
		w.unit = 1 << w.IntN(2*momentBits)
		w.crowd = 20
		if w.IntN(2) == 0 { // the table has several segments, which grow
			w.crowd = 200
			w.c.recents = newRecents(0, 0)
			w.c.recents.segments, w.c.recents.most = make([][]bucket[customerKey, recent], 3), 3
		}
		first := uint16(-w.IntN(8)) // it passes 0 soon
		w.c.recents.turn = first
		if w.IntN(2) == 0 {
			w.first = trackway.MaxTime - 80*w.unit
		}
		for range 1000 {
			of := w.customer()
			if k, wrong := w.step(of); wrong {
				t.Fatalf("seed %d: customer %d has %v, which is said to be new", seed, of, k)
			}
		}
		for of, keys := range w.timelines {
			for k := range keys {
				if w.c.Misses(of, k.at, k.tail) {
					t.Fatalf("seed %d: at the end customer %d has %v, which is said to be new", seed, of, k)
				}
			}
		}
		swept += int(w.c.recents.turn - first)
	}
	if swept < 500 {
		t.Errorf("a full filter was emptied %d times", swept)
	}
}

// world is a store of a few customers, more than its cache has room for.
type world struct {
	*rand.Rand

	c           Cache
	timelines   map[trackway.Customer]map[timelineKey]bool
	first, unit trackway.Micros
	crowd       int // number of customers
	steps       int
}

// customer returns a customer: some come often, some seldom.
func (w *world) customer() trackway.Customer { return trackway.Customer(w.IntN(1 + w.IntN(w.crowd))) }

// time returns a time that was not used yet, or was, or one beside it.
func (w *world) time() trackway.Micros {
	at := w.first + trackway.Micros(w.steps/12+w.IntN(7))*w.unit + trackway.Micros(w.IntN(3)-1)
	return min(max(at, trackway.MinTime), trackway.MaxTime)
}

// step changes something. It returns an event that was taken for new and is
// not, if there is one.
func (w *world) step(of trackway.Customer) (k timelineKey, wrong bool) {
	w.steps++
	k = timelineKey{w.time(), w.Uint64N(3)}
	if w.IntN(4) == 0 {
		for k = range w.timelines[of] { // sent again
			break
		}
	}
	switch n := w.IntN(200); {
	case n == 0:
		w.c.Empty()
	case n < 8:
		if other := w.customer(); other != of && w.timelines[of] != nil && w.timelines[other] != nil {
			w.c.Join(other, of)
			maps.Copy(w.timelines[other], w.timelines[of])
			delete(w.timelines, of)
		}
	case n < 12:
		delete(w.timelines[of], k)
	default:
		if w.timelines[of] == nil {
			w.timelines[of] = make(map[timelineKey]bool)
			w.c.PutLast(of, -1)
		}
		wrong = addEvent(&w.c, of, k, w.timelines[of])
	}
	return k, wrong
}

// addEvent does what the store does with an event that may be on a timeline. It
// reports whether the event was taken for new although it is there.
func addEvent(c *Cache, of trackway.Customer, k timelineKey, timeline map[timelineKey]bool) (wrong bool) {
	isNew, known, met := c.Recent(of, k.at, k.tail)
	if !isNew && !known && met {
		last := trackway.Micros(-1)
		for k := range timeline {
			last = max(last, k.at)
		}
		c.PutLast(of, last)
		isNew = k.at > last
	}
	if isNew || !timeline[k] {
		wrong = timeline[k]
		timeline[k] = true
		c.SawEntry(of, k.at, k.tail)
	}
	return wrong
}

// TestRecentOfFarTimes: the cache knows the end of a timeline in each accepted
// year. If it is later, because a clock was wrong, no event is known to be new.
func TestRecentOfFarTimes(t *testing.T) {
	t.Parallel()
	c := New(Usual)
	const unit = 1 << momentBits
	for _, last := range []trackway.Micros{-1, 0, unit - 1, unit, 1<<(32+momentBits) - 1, 1 << (32 + momentBits), trackway.MaxTime, 1<<53 - 1, 1 << 53, math.MaxInt64} {
		c.PutLast(1, last)
		for _, at := range []trackway.Micros{0, last / 2, last - unit, last} {
			if isNew, _, _ := c.Recent(1, min(max(0, at), trackway.MaxTime), 7); isNew && last >= 0 {
				t.Errorf("the last is at %d: the one at %d is known to be new", last, at)
			}
		}
		isNew, known, _ := c.Recent(1, min(last, trackway.MaxTime-unit)+unit, 7)
		if want := last <= trackway.MaxTime; known != want {
			t.Errorf("the last is at %d: that is known: %v", last, known)
		}
		if want := last < trackway.MaxTime; isNew != want {
			t.Errorf("the last is at %d: a later one is known to be new: %v", last, isNew)
		}
		if isNew, _, _ := c.Recent(1, math.MaxInt64, 7); isNew {
			t.Errorf("the last is at %d: one in the far future is known to be new", last)
		}
	}
}

// TestRecentIsUseful: the cache recognizes new events in any order, as long as
// the filters hold the events since the customer was first seen.
func TestRecentIsUseful(t *testing.T) {
	t.Parallel()
	c := New(Usual)
	const last = 1<<momentBits - 1
	c.PutLast(1, last)
	surprised := 0
	for i := range 20_000 {
		at := last + 1 + trackway.Micros(i*7919%20_000)
		isNew, known, met := c.Recent(1, at, 7)
		if !known || !met {
			t.Fatalf("at %d: got %v, %v, %v", at, isNew, known, met)
		}
		if !isNew {
			surprised++
		}
		c.SawEntry(1, at, 7)
		if isNew, _, _ := c.Recent(1, at, 7); isNew {
			t.Fatalf("the event at %d is not known", at)
		}
	}
	if surprised > 100 {
		t.Errorf("%d of 20 000 new events are not known to be new", surprised)
	}
	if isNew, _, _ := c.Recent(1, last, 7); isNew {
		t.Error("an event before all that are known is known to be new")
	}
	if isNew, known, met := c.Recent(2, 1, 7); isNew || known || met {
		t.Error("something is known of somebody else")
	}
	if isNew, known, met := c.Recent(2, 1, 7); isNew || known || !met {
		t.Error("it is not known that somebody else was met")
	}
}

// TestRecentIsUsefulAgain: after a full filter was emptied, the cache knows new
// events in any order again, from the end of the timeline on.
func TestRecentIsUsefulAgain(t *testing.T) {
	t.Parallel()
	c := New(0)
	c.PutLast(1, -1)
	const pairs, unit = 1000, 1 << momentBits
	surprised := 0
	for i := range trackway.Micros(pairs) {
		for _, at := range []trackway.Micros{2*i + 1, 2 * i} {
			if isNew, known, met := c.Recent(1, at*unit, 7); !known || !met {
				t.Fatalf("at %d: got %v, %v", at, known, met)
			} else if !isNew {
				surprised++
			}
			c.SawEntry(1, at*unit, 7)
		}
	}
	if surprised > pairs/20 {
		t.Errorf("%d of %d new events are not known to be new", surprised, 2*pairs)
	}
	if n := c.recents.turn; n < 10 || n > pairs/10 {
		t.Errorf("the filter was emptied %d times", n)
	}
}

// TestFarEventsHideNoOthers: an event so late that the cache cannot note its
// time changes nothing about the events before it.
func TestFarEventsHideNoOthers(t *testing.T) {
	t.Parallel()
	for _, far := range []trackway.Micros{(1<<40 - 2) << momentBits, (1<<40 - 1) << momentBits, 1 << (40 + momentBits), math.MaxInt64} {
		c := New(0)
		c.PutLast(1, -1)
		c.PutLast(2, -1)
		c.SawEntry(1, 5, 7)
		c.SawEntry(1, far, 7)
		for at := trackway.Micros(0); c.recents.turn == 0; at++ {
			c.SawEntry(2, at, 7)
		}
		for _, at := range []trackway.Micros{5, far} {
			if c.Misses(1, at, 7) {
				t.Errorf("after one at %d, the event at %d is said to be new", far, at)
			}
		}
	}
}

// TestRoom: the usual cache knows nearly all of a million customers with one
// identifier each.
func TestRoom(t *testing.T) {
	t.Parallel()
	c := New(Usual)
	const customers = 1_000_000
	key := make([]byte, 8)
	keyOf := func(of trackway.Customer) []byte {
		binary.BigEndian.PutUint64(key, uint64(of))
		return key
	}
	for of := range trackway.Customer(customers) {
		c.PutLast(of, 1)
		c.PutID(keyOf(of), of)
	}
	forgotten, unknown := 0, 0
	for of := range trackway.Customer(customers) {
		if !c.Misses(of, 1<<40, 7) {
			forgotten++
		}
		if got, _, known := c.Customer(keyOf(of)); !known {
			unknown++
		} else if got != of {
			t.Fatalf("the identifier of customer %d leads to %d", of, got)
		}
	}
	if most := customers * 2 / 100; forgotten > most || unknown > most {
		t.Errorf("the ends of %d timelines and %d identifiers are forgotten, want %d at most", forgotten, unknown, most)
	}
}

// TestLargeNumbers: the cache knows nothing of customers whose numbers it has
// no room for, and takes none of them for another one.
func TestLargeNumbers(t *testing.T) {
	t.Parallel()
	c := New(Usual)
	for _, small := range []trackway.Customer{1, mostCustomers/2 - 1, mostCustomers - 1} {
		for _, large := range []trackway.Customer{small | mostCustomers, small | 1<<63, math.MaxUint64} {
			c.PutLast(small, -1)
			c.PutLast(large, -1)
			c.SawEntry(large, 1, 7)
			if isNew, known, met := c.Recent(large, 2, 7); isNew || known || met {
				t.Errorf("customer %d is known: %v, %v, %v", large, isNew, known, met)
			}
			c.Join(small, large)
			if isNew, _, _ := c.Recent(small, 2, 7); isNew {
				t.Errorf("after it got the timelines of %d, an event of customer %d is known to be new", large, small)
			}
			c.PutLast(small, 1<<20)
			c.PutLast(large, -1)
			if c.Misses(small, 1, 7) {
				t.Errorf("what is noted of customer %d is taken for %d", large, small)
			}
			key := []byte("key")
			c.PutID(key, 1)
			c.PutID(key, large)
			if got, _, known := c.Customer(key); known {
				t.Errorf("the identifier of customer %d leads to %d", large, got)
			}
		}
	}
	c.PutID([]byte("key"), mostCustomers/2)
	if got, _, known := c.Customer([]byte("key")); known {
		t.Errorf("the identifier of customer %d leads to %d", mostCustomers/2, got)
	}
	for _, customer := range []trackway.Customer{1, mostCustomers/2 - 1} {
		c.PutID([]byte("key"), customer)
		if got, plain, known := c.Customer([]byte("key")); got != customer || plain || !known {
			t.Errorf("the identifier of customer %d leads to %d (%v, %v)", customer, got, plain, known)
		}
	}
}

// TestFilter: a full filter recognizes its keys, and has few false positives.
func TestFilter(t *testing.T) {
	t.Parallel()
	for _, bytes := range []int64{0, 1 << 16} {
		f, n := newFilter(bytes), 0
		if f.has(1) {
			t.Error("an empty filter has a key")
		}
		key := func(i int) uint64 { return hashOf(trackway.Customer(i%100), trackway.Micros(i), 7) }
		for ; !f.full(); n++ {
			f.add(key(n))
		}
		wrong := 0
		for i := range n {
			if !f.has(key(i)) {
				t.Fatalf("key %d of %d is not there", i, n)
			}
			if f.has(key(n + i)) {
				wrong++
			}
		}
		if wrong > n/20 {
			t.Errorf("%d of %d keys are there that were never added", wrong, n)
		}
		if got := len(f.blocks) * 64; int64(got) > max(bytes, 64) {
			t.Errorf("it takes %d bytes, want %d at most", got, bytes)
		}
		if f.empty(); f.has(key(0)) || f.full() {
			t.Error("it is not empty")
		}
	}
}

// TestTable compares a table with a map: every value is right, the table keeps
// all entries while they fit, and it never exceeds its bytes.
func TestTable(t *testing.T) {
	t.Parallel()
	const entry = 24 // bytes, with some margin
	for _, bytes := range []int64{0, 1 << 10, 1 << 16, 1 << 22} {
		table, all := newTable[fingerprint, int](bytes), make(map[fingerprint]int)
		ids := newIDs(0)
		key := func(i int) fingerprint { return ids.of([]byte{byte(i), byte(i >> 8), byte(i >> 16)}) }
		n := int(bytes/entry) + 2*ways
		for i := range 2 * n {
			k := key(i % n)
			all[k] = i
			*table.put(k) = i
			if gone := key(i / 2); i%7 == 0 && gone != k {
				delete(all, gone)
				table.remove(gone)
			}
			if v := table.find(k); v == nil || *v != i {
				t.Fatalf("%d bytes: the last key is not there", bytes)
			}
		}
		kept := 0
		for k, want := range all {
			if got := table.find(k); got != nil && *got != want {
				t.Fatalf("%d bytes: got %d, want %d", bytes, *got, want)
			} else if got != nil {
				kept++
			}
		}
		if got := table.len(); got != kept {
			t.Errorf("%d bytes: %d keys are there, %d of them should be", bytes, got, kept)
		}
		buckets := 0
		for _, s := range table.segments {
			buckets += len(s)
		}
		if most := max(1, bytes/(entry*ways)); int64(buckets) > most {
			t.Errorf("%d bytes: %d buckets, want %d at most", bytes, buckets, most)
		}
		if full := buckets * ways * 8 / 10; bytes > 1<<12 && kept < full {
			t.Errorf("%d bytes: %d keys are kept in %d buckets", bytes, kept, buckets)
		}
	}
}

// TestTableRenews: each call of next renews every value once, also those of
// segments that grow, and none is taken for renewed after all turns have come
// once.
func TestTableRenews(t *testing.T) {
	t.Parallel()
	table, ids := newTable[fingerprint, int](1<<14), newIDs(0) // one segment, with room for all
	table.renew = func(n *int) { *n = 0 }
	key := func(n int) fingerprint { return ids.of([]byte{byte(n)}) }
	old := key(1)
	*table.put(old) = 1
	for range 1 << 16 {
		table.next()
	}
	if n := table.find(old); n != nil && *n != 0 {
		t.Error("a value of 65 536 turns ago is there")
	}
	for n := range ways {
		*table.put(key(n)) = 1
	}
	table.next()
	for n := ways; n < 5*ways; n++ { // it grows
		*table.put(key(n)) = 2
	}
	for n := range 5 * ways {
		want := 2
		if n < ways {
			want = 0
		}
		if v := table.find(key(n)); v == nil {
			t.Errorf("value %d is forgotten", n)
		} else if *v != want {
			t.Errorf("value %d is %d, want %d", n, *v, want)
		}
	}
}

// TestTableTakesTurns: of keys that nobody uses, the bucket forgets the oldest,
// wherever it is. Of others, it forgets none before it has passed all of them.
func TestTableTakesTurns(t *testing.T) {
	t.Parallel()
	table := newTable[fingerprint, int](0)
	for i := 1; i < 100*ways; i++ {
		*table.put(fingerprint{uint64(i)}) = i
		for old := max(1, i-ways+1); old <= i; old++ {
			if table.segments[0][0].index(fingerprint{uint64(old)}) < 0 {
				t.Fatalf("%d is forgotten for %d", old, i)
			}
		}
	}
	table = newTable[fingerprint, int](0)
	for i := range ways {
		*table.put(fingerprint{uint64(i + 1)}) = i
	}
	for unused := range ways {
		for i := range ways {
			if i != unused {
				table.find(fingerprint{uint64(i + 1)})
			}
		}
		table.put(fingerprint{1000})
		b := &table.segments[0][0]
		if b.index(fingerprint{uint64(unused + 1)}) >= 0 || table.len() != ways {
			t.Fatalf("another key than the unused one was forgotten, of place %d", unused)
		}
		table.remove(fingerprint{1000})
		*table.put(fingerprint{uint64(unused + 1)}) = unused
	}
}

// TestTableForgetsTheUnused: entries in constant use stay.
func TestTableForgetsTheUnused(t *testing.T) {
	t.Parallel()
	table := newTable[fingerprint, int](0)
	*table.put(fingerprint{1}) = 1
	for i := 2; i < 1000; i++ {
		*table.put(fingerprint{uint64(i)}) = i
		if v := table.find(fingerprint{1}); v == nil || *v != 1 {
			t.Fatalf("forgotten for customer %d", i)
		}
	}
	if n := table.len(); n != ways {
		t.Errorf("%d keys, want %d", n, ways)
	}
	if table.empty(); table.find(fingerprint{1}) != nil || table.len() != 0 {
		t.Error("it is not empty")
	}
}

// TestFingerprints: each key has its own fingerprint, no matter which keys came
// before, and nobody outside the process can predict it.
func TestFingerprints(t *testing.T) { // not parallel: it counts allocations
	a, b := newIDs(0), newIDs(0)
	keys := [][]byte{nil, {0}, {0, 0}, {1}, bytes.Repeat([]byte{7}, 500), append(bytes.Repeat([]byte{7}, 500), 8)}
	of := make(map[fingerprint]int)
	for round := range 3 {
		for i, key := range keys {
			key = bytes.Clone(key)
			f := a.of(key)
			if before, ok := of[f]; ok != (round > 0) || before != i && ok {
				t.Fatalf("round %d: key %d has the fingerprint of key %d", round, i, before)
			}
			of[f] = i
			clear(key) // it belongs to the caller
			if b.of(keys[i]) == f {
				t.Errorf("key %d has the same fingerprint in another process", i)
			}
		}
	}
	if n := allocs.PerRun(100, func() { a.of(keys[1]); a.of(keys[4]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFingerprint(b *testing.B) {
	t, key := newIDs(0), []byte("i0000cookie\x00a8f3e1c2-4782-47ae-ba14-df6e29eefb36")
	b.ReportAllocs()
	for i := range b.N {
		key[4] = byte(i)
		t.of(key)
	}
}

package cache

import (
	"math/bits"
	"unsafe"
)

const (
	// ways is how many entries a bucket has. What finds its bucket full takes
	// the place of one that has not been used for long.
	ways = 8

	// mostSegments is how many segments a table has, if it is large. A segment
	// grows by itself, so that nobody waits for all of a large table to grow.
	mostSegments = 256

	// usualBuckets is how many buckets a segment has at least before a table
	// has more of them.
	usualBuckets = 64
)

// hashed is a key of a table. All bits of its hash count.
type hashed interface {
	comparable
	hash() uint64
}

// table is a map of bounded size. What does not fit any more is forgotten: of
// the eight entries of a bucket, the next that was not used since this was last
// asked. It holds no pointers if K and V have none, and then costs the
// collector nothing. It begins small and grows to its bound with what is put
// in.
type table[K hashed, V any] struct {
	segments [][]bucket[K, V]
	most     int // buckets of a segment
}

type bucket[K hashed, V any] struct {
	keys   [ways]K
	values [ways]V
	taken  uint8 // which places are
	used   uint8 // which of them were found or put again since the hand came by
	hand   uint8 // the place that is looked at next for something to forget
}

// newTable returns a table that takes up to so many bytes; it has one bucket at
// least.
func newTable[K hashed, V any](bytes int64) table[K, V] {
	buckets := max(1, int(bytes/int64(unsafe.Sizeof(bucket[K, V]{}))))
	n := min(max(1, buckets/usualBuckets), mostSegments)
	return table[K, V]{segments: make([][]bucket[K, V], n), most: buckets / n}
}

// part returns a number below n that h decides. REQUIRES: h is below 1<<32.
func part(h uint64, n int) int { return int(h * uint64(n) >> 32) }

// bucketOf returns the bucket in which a hash belongs, nil if its segment is
// empty, and the segment.
func (t *table[K, V]) bucketOf(hash uint64) (*bucket[K, V], *[]bucket[K, V]) {
	s := &t.segments[part(hash>>32, len(t.segments))]
	if len(*s) == 0 {
		return nil, s
	}
	return &(*s)[part(hash&(1<<32-1), len(*s))], s
}

// find returns the value of a key, nil if the table has none. It is valid until
// the next call of put or empty.
func (t *table[K, V]) find(key K) *V {
	b, _ := t.bucketOf(key.hash())
	if b == nil {
		return nil
	}
	i := b.index(key)
	if i < 0 {
		return nil
	}
	b.used |= 1 << i
	return &b.values[i]
}

func (b *bucket[K, V]) index(key K) int {
	for i := range b.keys {
		if b.keys[i] == key && b.taken&(1<<i) != 0 {
			return i
		}
	}
	return -1
}

// put returns the value of a key, which is zero if the key is new, and valid
// until the next call of put or empty.
func (t *table[K, V]) put(key K) *V {
	hash := key.hash()
	for {
		b, s := t.bucketOf(hash)
		if b != nil {
			if i := b.index(key); i >= 0 {
				b.used |= 1 << i
				return &b.values[i]
			}
			if i := b.place(len(*s) < t.most); i >= 0 {
				b.keys[i], b.values[i] = key, *new(V)
				b.taken |= 1 << i
				return &b.values[i]
			}
		}
		t.grow(s)
	}
}

// place returns a place for a key that is new: a free one or, unless the
// segment can grow, one whose entry is to be forgotten.
func (b *bucket[K, V]) place(grows bool) int {
	if free := bits.TrailingZeros8(^b.taken); free < ways {
		return free
	} else if grows {
		return -1
	}
	for { // it ends: a second round finds no entry used
		i := int(b.hand % ways)
		b.hand++
		if b.used&(1<<i) == 0 {
			return i
		}
		b.used &^= 1 << i
	}
}

// grow doubles a segment, up to its bound.
func (t *table[K, V]) grow(s *[]bucket[K, V]) {
	old := *s
	*s = make([]bucket[K, V], min(max(1, 2*len(old)), t.most))
	for i := range old {
		for b, j := &old[i], 0; j < ways; j++ {
			if b.taken&(1<<j) == 0 {
				continue
			}
			to := &(*s)[part(b.keys[j].hash()&(1<<32-1), len(*s))]
			at := to.place(false)
			to.keys[at], to.values[at] = b.keys[j], b.values[j]
			to.taken |= 1 << at
		}
	}
}

// remove forgets a key.
func (t *table[K, V]) remove(key K) {
	if b, _ := t.bucketOf(key.hash()); b != nil {
		if i := b.index(key); i >= 0 {
			b.taken &^= 1 << i
		}
	}
}

// empty forgets all, and gives the memory back.
func (t *table[K, V]) empty() { clear(t.segments) }

// len returns how many keys there are. It looks at all of them.
func (t *table[K, V]) len() (n int) {
	for _, s := range t.segments {
		for i := range s {
			n += bits.OnesCount8(s[i].taken)
		}
	}
	return n
}

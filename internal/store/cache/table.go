package cache

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

const (
	// ways is the number of entries in a bucket. A new entry in a full bucket
	// replaces one that has not been used for long.
	ways = 24

	// mostSegments is the number of segments of a large table. Each segment
	// grows by itself, so no caller waits until a whole large table has grown.
	mostSegments = 256

	// usualBuckets is the size that segments may reach before a table gets more
	// segments.
	usualBuckets = 64
)

// hashed is a key of a table. Every bit of its hash matters.
type hashed interface {
	comparable
	hash() uint64
}

// table is a map of bounded size. If a bucket is full, it forgets the next of
// its entries that was not used since the bucket last looked at it. A
// table holds no pointers if K and V hold none, and then costs the garbage
// collector nothing. It starts small and grows to its bound.
type table[K hashed, V any] struct {
	segments [][]bucket[K, V]
	most     int      // most buckets in a segment
	turn     uint16   // counts the calls of next
	renew    func(*V) // what a call of next does to each value; a second time, it does nothing
}

type bucket[K hashed, V any] struct {
	keys   [ways]K
	values [ways]V
	taken  uint32 // bit set of the places that are taken
	used   uint32 // bit set of the places found or put again since the hand passed them
	turn   uint16 // the table's turn that the values are up to
	hand   uint8  // the next place to consider for removal
}

// small is a number below 1<<40 that takes five bytes.
type small [5]byte

func pack(n uint64) (s small) {
	binary.LittleEndian.PutUint32(s[:], uint32(n))
	s[4] = byte(n >> 32)
	return s
}

func (s small) number() uint64 { return uint64(binary.LittleEndian.Uint32(s[:])) | uint64(s[4])<<32 }

// newTable returns a table of at most the given size in bytes, but at least one
// bucket.
func newTable[K hashed, V any](bytes int64) table[K, V] {
	buckets := max(1, int(bytes/int64(unsafe.Sizeof(bucket[K, V]{}))))
	n := min(max(1, buckets/usualBuckets), mostSegments)
	return table[K, V]{segments: make([][]bucket[K, V], n), most: buckets / n}
}

// part maps h to a number below n. REQUIRES: h is below 1<<32.
func part(h uint64, n int) int { return int(h * uint64(n) >> 32) }

// next has all values renewed. Each bucket is renewed when somebody asks for
// one of its keys, so no caller waits for a large table.
func (t *table[K, V]) next() {
	if t.turn++; t.turn == 0 {
		t.empty() // or values of 65 536 turns ago would look as if they were renewed
	}
}

// update renews the values of a bucket unless it was done in this turn.
func (t *table[K, V]) update(b *bucket[K, V]) {
	if b.turn == t.turn {
		return
	}
	for i := range b.values {
		t.renew(&b.values[i])
	}
	b.turn = t.turn
}

// bucketOf returns the bucket for a hash and its segment. The bucket is nil if
// the segment is empty.
func (t *table[K, V]) bucketOf(hash uint64) (*bucket[K, V], *[]bucket[K, V]) {
	s := &t.segments[part(hash>>32, len(t.segments))]
	if len(*s) == 0 {
		return nil, s
	}
	b := &(*s)[part(hash&(1<<32-1), len(*s))]
	t.update(b)
	return b, s
}

// find returns the value of a key, or nil if the table does not have the key.
// The pointer is valid until the next call of put or empty.
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

// put returns the value of a key. It is zero if the key is new. The pointer is
// valid until the next call of put or empty.
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

// place returns a place for a new key: a free one, or one whose entry must make
// way. It returns a negative number if there is no free place and the segment
// can grow.
func (b *bucket[K, V]) place(grows bool) int {
	if free := bits.TrailingZeros32(^b.taken); free < ways {
		return free
	} else if grows {
		return -1
	}
	for { // it ends: a second round finds no entry used
		i := int(b.hand)
		b.hand = (b.hand + 1) % ways
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
	for i := range *s {
		(*s)[i].turn = t.turn
	}
	for i := range old {
		t.update(&old[i])
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

// remove removes a key.
func (t *table[K, V]) remove(key K) {
	if b, _ := t.bucketOf(key.hash()); b != nil {
		if i := b.index(key); i >= 0 {
			b.taken &^= 1 << i
		}
	}
}

// empty removes all keys and releases the memory.
func (t *table[K, V]) empty() { clear(t.segments) }

// len returns the number of keys. It scans all buckets.
func (t *table[K, V]) len() (n int) {
	for _, s := range t.segments {
		for i := range s {
			n += bits.OnesCount32(s[i].taken)
		}
	}
	return n
}

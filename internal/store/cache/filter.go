package cache

import "trackway"

// A key takes keyBits bits of a filter and sets probes of them in one block,
// which is a cache line of the processor. If the filter is full, one in 800
// keys that were never added looks as if it was: with 12 bits and 5 probes, one
// in 190. Each of these costs a look-up in every layer of the database, which
// is as much as several events.
const (
	keyBits   = 16
	probes    = 6
	blockBits = 512
)

// filter is a set of keys that may report keys it does not hold: a blocked
// Bloom filter (Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient
// Bloom Filters", 2007).
type filter struct {
	blocks []block
	keys   int
	size   int // in blocks; they are allocated with the first key
}

type block [blockBits / 64]uint64

// newFilter returns an empty filter of the given size, but at least one block.
func newFilter(bytes int64) filter { return filter{size: max(1, int(bytes*8/blockBits))} }

// hashOf spreads the key of a timeline entry over 64 bits. The tail is already
// a hash.
func hashOf(customer trackway.Customer, at trackway.Micros, tail uint64) uint64 {
	h := (tail ^ uint64(customer)*0x9e3779b97f4a7c15 ^ uint64(at)) * 0xd6e8feb86659fd93
	return (h ^ h>>32) * 0xd6e8feb86659fd93
}

func (f *filter) block(h uint64) *block { return &f.blocks[part(h>>32, len(f.blocks))] }

// placesOf returns the positions of a key's bits in its block, nine bits each.
func placesOf(h uint64) uint64 { return h * 0x9e3779b97f4a7c15 >> (64 - 9*probes) }

func (f *filter) add(h uint64) {
	if f.blocks == nil {
		f.blocks = make([]block, f.size)
	}
	f.keys++
	b, at := f.block(h), placesOf(h)
	for range probes {
		b[at%blockBits/64] |= 1 << (at % 64)
		at /= blockBits
	}
}

// has reports whether a key may have been added.
func (f *filter) has(h uint64) bool {
	if f.blocks == nil {
		return false
	}
	b, at := f.block(h), placesOf(h)
	for range probes {
		if b[at%blockBits/64]&(1<<(at%64)) == 0 {
			return false
		}
		at /= blockBits
	}
	return true
}

// full reports whether the filter has no room for another key.
func (f *filter) full() bool { return f.keys >= f.size*blockBits/keyBits }

func (f *filter) empty() {
	clear(f.blocks)
	f.keys = 0
}

// Package table counts calls of very many callers in a fixed amount of memory. Its one idea is that a counter is two machine
// words in a set of one cache line, changed by compare-and-swap: no pointers for the collector, no lock and no allocation for
// a call, and a table that is full forgets those first who have used the least. It does not know what an address, a path or
// a policy is (internal/limit does), and it has no clock: the time is an argument.
package table

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
)

// A counter is a key word and a state word.
//
//	key    34 bits of the key's hash | 8 bits class | 22 bits calls in the window before (sliding only)
//	state  2 bits generation | 4 bits level | 36 bits end of the window, milliseconds | 22 bits calls
//	       for gcra the last two are one number: the theoretical arrival time in units of 2⁻²² ms
//
// INVARIANT: the key word changes only while the state is busy. Whoever makes a state busy (by compare-and-swap) owns the
// counter until it stores another state, of the next generation. So a compare-and-swap of the state that succeeds proves
// that the key word read after that state was read still belonged to it. (Four owners within the few nanoseconds between
// would bring the same generation back; their state would have to be equal in all other bits too.)
const (
	lowBits  = 22
	timeBits = 36
	classAt  = lowBits
	classes  = 1 << 8

	low       = 1<<lowBits - 1
	timeMask  = 1<<timeBits - 1
	tatMask   = 1<<(timeBits+lowBits) - 1
	levelAt   = timeBits + lowBits
	levelMask = 0xf << levelAt
	genOne    = 1 << (levelAt + 4)
	genMask   = 3 << (levelAt + 4)

	free uint64 = 0
	busy uint64 = 1
)

// The limits of what a counter can hold.
const (
	MaxLimit        = low         // calls in a window
	MaxWindowMillis = 24 * 3600e3 // length of a window; for gcra, how long a spent burst may take to come back
)

const (
	ways      = 4   // counters in a set
	minSets   = 16  // so that the two sets of a key differ
	stripes   = 256 // locks for inserting
	perSlot   = 60  // per cent of the slots that are filled by the callers that a table is made for
	cacheLine = 64  // bytes
	// maxAhead is how far ahead the end of a window can lie. The end wraps around after two years; a counter that nobody
	// has touched for just that long, less a day, is the only one that can be taken for a running one.
	maxAhead = MaxWindowMillis + 3600e3
)

// set is one cache line.
type set struct {
	key   [ways]atomic.Uint64
	state [ways]atomic.Uint64
}

type stripe struct {
	sync.Mutex
	_ [cacheLine - 8]byte
}

// Table is a set of counters. Safe for concurrent use.
type Table struct {
	sets []set
	seed maphash.Seed
	// stripes order the inserting of keys: two goroutines that meet the same new caller must make one counter of it. Nothing
	// is called under a stripe, and nobody holds two.
	stripes   [stripes]stripe
	untracked atomic.Uint64
	// grace is, for each class, how long after its window's end a counter still matters (sliding: one window), in ms.
	grace [classes]atomic.Uint32
}

// New returns a table for about this many callers at once: it has room for a third more before it forgets live ones in any
// number. It takes 27 bytes a caller, once and for all; the operating system hands the memory over as it is first used.
func New(callers int) *Table {
	slots := max(callers, 1) * 100 / perSlot
	return &Table{sets: make([]set, max((slots+ways-1)/ways, minSets)), seed: maphash.MakeSeed()}
}

// Bytes returns the size of the table.
func (t *Table) Bytes() int { return len(t.sets) * cacheLine }

// Slots returns how many counters the table holds at most.
func (t *Table) Slots() int { return len(t.sets) * ways }

// Untracked returns how many calls were admitted without being counted, because every counter that could have made room was
// of a caller who is being refused.
func (t *Table) Untracked() uint64 { return t.untracked.Load() }

// Key names a counter: a hash under the table's secret, so that nobody outside can choose who shares a set.
type Key uint64

// Key returns the key of these numbers. salt and sub must be [Table.Word]s or constants that no caller chooses; hi and lo
// may be anybody's choice. One or two hashes of a word cost less than one of four words, and hide as much: whatever the
// caller chooses meets the hash of a secret before it meets the next word.
func (t *Table) Key(salt, hi, lo, sub uint64) Key {
	if hi != 0 { // not IPv4
		salt = maphash.Comparable(t.seed, hi^salt)
	}
	return Key(maphash.Comparable(t.seed, lo^salt^sub))
}

// Word returns a number that stands for s in [Table.Key].
func (t *Table) Word(s string) uint64 { return maphash.String(t.seed, s) }

// place returns the two sets in which the counter of k may be, and its key word without the window before. The sets come
// from the upper half of the hash and from a product of all of it, the name from the lower half.
func (t *Table) place(k Key, class uint8) (home, other *set, name uint64) {
	n := uint64(len(t.sets))
	first, _ := bits.Mul64(uint64(k), n)
	second, _ := bits.Mul64(uint64(k)*0x9e3779b97f4a7c15, n) // 2⁶⁴/φ, odd: a permutation
	if second == first {
		second = (first + 1) % n
	}
	return &t.sets[first], &t.sets[second], (uint64(k)<<8 | uint64(class)) << classAt
}

// slot returns which counter of s has this name, or -1. Written out, it is inlined into its callers.
func (s *set) slot(name uint64) int {
	switch name {
	case s.key[0].Load() &^ low:
		return 0
	case s.key[1].Load() &^ low:
		return 1
	case s.key[2].Load() &^ low:
		return 2
	case s.key[3].Load() &^ low:
		return 3
	}
	return -1
}

// counter is one slot.
type counter struct{ key, state *atomic.Uint64 }

// find returns the slot of this name, or nil.
func find(home, other *set, name uint64) counter {
	if i := home.slot(name); i >= 0 {
		return counter{&home.key[i], &home.state[i]}
	}
	if i := other.slot(name); i >= 0 {
		return counter{&other.key[i], &other.state[i]}
	}
	return counter{}
}

// read returns the state of a slot and the calls of the window before, as they were at one moment if a compare-and-swap of
// word succeeds; false if the slot is busy, or has no longer this name.
func (c counter) read(name uint64) (word, prev uint64, ok bool) {
	word = c.state.Load() // before the key: see the invariant
	key := c.key.Load()
	return word, key & low, word > busy && key&^low == name
}

// Live counts the running counters by class, at the cost of a [Table.Scan].
func (t *Table) Live(now int64) (live [classes]int) {
	t.Scan(now, func(class uint8, _ State) { live[class]++ })
	return live
}

// runs tells whether a counter still matters.
func (t *Table) runs(word uint64, class uint8, ms uint64) bool {
	grace := uint64(t.grace[class].Load())
	return (word>>lowBits+grace-ms-1)&timeMask < maxAhead+grace
}

// Prepare tells the table how long counters of a class matter. It is called before the first Take of a rule, and again when
// the rule changes.
func (t *Table) Prepare(class uint8, r *Rule) {
	t.grace[class].Store(uint32(r.grace()))
}

// Package table counts the calls of very many callers in a fixed amount of
// memory. A counter is two machine words, and four counters share a cache line.
// A mutex guards each stripe of the table, so counting is exact. A full table
// forgets the callers who have used the least. The package does not know what
// an address, a path or a policy is (internal/limit does). It has no clock: the
// time is an argument.
package table

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Counter is one caller's count: a key word and a state word. Its [Rule] can
// interpret it.
//
//	key    34 bits of the key's hash
//	        8 bits class
//	       22 bits calls in the previous window (sliding only)
//	state   4 bits level
//	       36 bits end of the window, milliseconds
//	       22 bits calls
//
// For gcra, the last two parts of the state are one number: the theoretical
// arrival time in units of 2⁻²² ms.
type Counter struct{ key, state uint64 }

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

	free uint64 = 0 // the state of an unused counter
)

// The limits of what a counter can hold.
const (
	MaxLimit = low // calls in a window
	// MaxWindowMillis is the maximum length of a window. For gcra, it is the
	// maximum time for a spent burst to come back.
	MaxWindowMillis = 24 * 3600e3
)

const (
	ways       = 4   // counters in a set
	minSets    = 16  // of a stripe, so that the two sets of a key differ
	maxStripes = 256 // mutexes
	usualSets  = 256 // of a stripe; a small table has fewer stripes, so that they fill evenly
	perSlot    = 60  // per cent of the slots that the intended number of callers fills
	cacheLine  = 64  // bytes
	// maxAhead is how far ahead the end of a window can lie. The end wraps
	// around after two years. Only a counter that nobody has touched for that
	// long, less a day, can be mistaken for a running one.
	maxAhead = MaxWindowMillis + 3600e3
)

// set is one cache line.
type set [ways]Counter

// stripe is a part of the table. Only the visits of a [Table.Scan] run under
// its mutex, and nobody holds two of them.
type stripe struct {
	sync.Mutex

	sets []set // guarded by the mutex
	_    [cacheLine - 8 - 24]byte
}

// Table is a set of counters. It is safe for concurrent use.
type Table struct {
	stripes   []stripe
	perStripe uint64 // sets
	seed      maphash.Seed
	untracked atomic.Uint64
	// grace is, for each class, how long a counter matters after its window
	// ends, in ms. A sliding window matters for one window more.
	grace [classes]atomic.Uint32
}

// New returns a table for about this many callers at once. It has room for a
// third more before it forgets many live ones. It takes 27 bytes a caller and
// never grows. The operating system provides the memory on first use.
func New(callers int) *Table {
	slots := max(callers, 1) * 100 / perSlot
	sets := max((slots+ways-1)/ways, minSets)
	stripes := min(max(sets/usualSets, 1), maxStripes)
	per := (sets + stripes - 1) / stripes
	t := &Table{stripes: make([]stripe, stripes), perStripe: uint64(per), seed: maphash.MakeSeed()}
	// One by one: a large allocation that touches memory that was used before
	// is cleared as a whole, and then has all its pages.
	for i := range t.stripes {
		t.stripes[i].sets = make([]set, per)
	}
	return t
}

// Bytes returns the size of the table.
func (t *Table) Bytes() int { return t.Slots() / ways * cacheLine }

// Slots returns how many counters the table holds at most.
func (t *Table) Slots() int { return len(t.stripes) * int(t.perStripe) * ways }

// Untracked returns how many calls were admitted without being counted, because
// every counter that could have made room belonged to a refused caller.
func (t *Table) Untracked() uint64 { return t.untracked.Load() }

// Key names a counter. It is a hash under the table's secret, so outsiders
// cannot choose who shares a set.
type Key uint64

// Key returns the key of these numbers. salt and sub must be [Table.Word]s or
// constants that no caller chooses. Callers may choose hi and lo. One or two
// hashes of a word cost less than one of four words and hide as much: the
// caller's choice meets the hash of a secret before it meets the next word.
func (t *Table) Key(salt, hi, lo, sub uint64) Key {
	if hi != 0 { // not IPv4
		salt = maphash.Comparable(t.seed, hi^salt)
	}
	return Key(maphash.Comparable(t.seed, lo^salt^sub))
}

// Word returns a number that stands for s in [Table.Key].
func (t *Table) Word(s string) uint64 { return maphash.String(t.seed, s) }

// place returns the stripe of k, the two sets in it that may hold the counter,
// and its name: the key word of the counter without the previous window. The
// stripe and the first set come from the upper half of the hash, the second set
// comes from a product of the whole hash, and the name comes from the lower
// half.
func (t *Table) place(k Key, class uint8) (s *stripe, home, other *set, name uint64) {
	i, rest := bits.Mul64(uint64(k), uint64(len(t.stripes)))
	first, _ := bits.Mul64(rest, t.perStripe)
	second, _ := bits.Mul64(uint64(k)*0x9e3779b97f4a7c15, t.perStripe) // 2⁶⁴/φ, odd: a permutation
	if second == first {
		second = (first + 1) % t.perStripe
	}
	s = &t.stripes[i]
	return s, &s.sets[first], &s.sets[second], (uint64(k)<<8 | uint64(class)) << classAt
}

// slot returns the counter of s that has this name, or nil. The loop is
// unrolled so that the compiler inlines it.
func (s *set) slot(name uint64) *Counter {
	switch name {
	case s[0].key &^ low:
		return &s[0]
	case s[1].key &^ low:
		return &s[1]
	case s[2].key &^ low:
		return &s[2]
	case s[3].key &^ low:
		return &s[3]
	}
	return nil
}

// find returns the counter of this name, or nil.
func find(home, other *set, name uint64) *Counter {
	if c := home.slot(name); c != nil {
		return c
	}
	return other.slot(name)
}

// runs reports whether a counter still matters.
func (t *Table) runs(c *Counter, ms uint64) bool {
	grace := uint64(t.grace[c.class()].Load())
	return c.state != free && (c.state>>lowBits+grace-ms-1)&timeMask < maxAhead+grace
}

func (c *Counter) class() uint8 { return uint8(c.key >> classAt) }

// Prepare sets how long the counters of a class matter. Call it before the
// first Take of a rule, and again when the rule changes.
func (t *Table) Prepare(class uint8, r *Rule) {
	t.grace[class].Store(uint32(r.grace()))
}

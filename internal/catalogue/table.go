package catalogue

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"trackway"
)

// The most that a project has, if there is memory for all of it.
const (
	mostTypes      = 200 // of a project
	mostProperties = 60  // of a type
	mostWaiting    = 32  // types or properties that have no place yet
)

const (
	day        = trackway.Micros(24 * 3600 * 1e6)
	mostDays   = 14       // that count for the rank
	idle       = 60 * day // after which a place is free for any other
	lookAgain  = day / 24 // after which the weakest entry is looked for again
	namedDigit = 7        // digits in a name that is somebody's number
)

// span says when something was seen, and how often. Times are those of receipt.
type span struct {
	First  trackway.Micros `json:"first"`
	Last   trackway.Micros `json:"last"`
	Days   int             `json:"days"`   // on which it was seen
	Seen   uint64          `json:"seen"`   // events that were looked at
	Events float64         `json:"events"` // events, with the skipped ones for which these stand
}

func (s *span) seen() *span { return s }

func (s *span) note(at trackway.Micros, weight float64) {
	if s.Seen == 0 || at/day > s.Last/day {
		s.Days++
	}
	if s.Seen == 0 || at < s.First {
		s.First = at
	}
	if s.Last = max(s.Last, at); s.Last-at > day { // a clock was wrong, and is right again
		s.Last = at
	}
	s.Seen++
	s.Events += weight
}

// rank says what has to make room first: what was seen on fewer days, and of
// those what was seen less. So a flood of new names does not displace what has
// been seen for two weeks, however many there are, and how often each comes.
type rank struct {
	days int
	seen uint64
}

func (s *span) rank(now trackway.Micros) rank {
	if now-s.Last > idle {
		return rank{}
	}
	return rank{min(s.Days, mostDays), s.Seen}
}

func (r rank) compare(other rank) int {
	return cmp.Or(cmp.Compare(r.days, other.days), cmp.Compare(r.seen, other.seen))
}

// above reports whether a rank takes the place of another one. A name that was
// seen for two weeks keeps its place.
func (r rank) above(other rank) bool { return other.days < mostDays && r.compare(other) > 0 }

// entry is something that a table knows by name.
type entry interface{ seen() *span }

// table has a bounded number of entries. Once it is full, a new name waits. It
// gets the place of the lowest rank as soon as its own rank is higher. A name
// with the highest number of days loses its place only if it has not been seen
// for two months.
type table[E entry] struct {
	known   map[string]E
	waiting []newcomer

	floor   rank // no entry had a lower rank when they were compared last
	floorAt trackway.Micros
}

// newcomer is a name that waits. Only its hash is kept. Those that wait are the
// most frequent ones: a name that finds no room takes a credit from each.
type newcomer struct {
	span

	hash   uint64
	base   uint64
	credit int
}

// find returns the entry of a name. If it is unknown and gets a place, start
// makes the entry, from what was seen before and the base of its first
// appearance. Otherwise the result is false.
func (t *table[E]) find(hash uint64, name string, at trackway.Micros, weight float64, base uint64, most int, start func(span, uint64) E) (e E, ok bool) {
	if e, ok = t.known[name]; ok {
		return e, true
	}
	switch {
	case !nameable(name):
		return e, false
	case len(t.known) < most:
		e = start(t.waited(hash, base))
		t.unwait(hash)
	default:
		n := t.wait(hash, base)
		if n == nil {
			return e, false
		}
		old, first := n.span, n.base
		n.note(at, weight)
		if len(t.known) == 0 || !t.outranks(n.rank(at), at) {
			return e, false
		}
		weakest, _ := t.weakest(at)
		delete(t.known, weakest)
		t.unwait(hash)
		e = start(old, first)
	}
	if t.known == nil {
		t.known = map[string]E{}
	}
	t.known[strings.Clone(name)] = e
	return e, true
}

// wait returns the newcomer of a hash, or nil if there is no room for it.
func (t *table[E]) wait(hash, base uint64) *newcomer {
	for i := range t.waiting {
		if n := &t.waiting[i]; n.hash == hash {
			n.credit++
			return n
		}
	}
	if len(t.waiting) == mostWaiting {
		for i := range t.waiting {
			t.waiting[i].credit--
		}
		t.waiting = slices.DeleteFunc(t.waiting, func(n newcomer) bool { return n.credit == 0 })
		return nil
	}
	t.waiting = append(t.waiting, newcomer{hash: hash, base: base, credit: 1})
	return &t.waiting[len(t.waiting)-1]
}

// waited returns what is known of a name from when it waited, if it did, and
// the base of its first appearance.
func (t *table[E]) waited(hash, base uint64) (span, uint64) {
	for i := range t.waiting {
		if n := &t.waiting[i]; n.hash == hash {
			return n.span, n.base
		}
	}
	return span{}, base
}

func (t *table[E]) unwait(hash uint64) {
	t.waiting = slices.DeleteFunc(t.waiting, func(n newcomer) bool { return n.hash == hash })
}

// outranks reports whether a rank is higher than that of the weakest entry. It
// compares the entries only if the answer may have changed, because a flood of
// new names asks each time.
func (t *table[E]) outranks(r rank, now trackway.Micros) bool {
	if !r.above(t.floor) && now-t.floorAt < lookAgain {
		return false
	}
	_, t.floor = t.weakest(now)
	t.floorAt = now
	return r.above(t.floor)
}

// weakest returns the name with the lowest rank. REQUIRES: there is one.
func (t *table[E]) weakest(now trackway.Micros) (name string, lowest rank) {
	first := true
	for other, e := range t.known {
		r := e.seen().rank(now)
		if c := r.compare(lowest); first || c < 0 || c == 0 && other < name {
			name, lowest, first = other, r, false
		}
	}
	return name, lowest
}

func (t *table[E]) names() []string { return slices.Sorted(maps.Keys(t.known)) }

// nameable reports whether a name may be shown. Clients that use addresses or
// numbers of people as names would show them to every reader.
func nameable(name string) bool {
	return name != "" && !strings.Contains(name, "@") && digits(name) < namedDigit
}

func digits[T string | []byte](text T) (n int) {
	for i := range len(text) {
		if text[i] >= '0' && text[i] <= '9' {
			n++
		}
	}
	return n
}

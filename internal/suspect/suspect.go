// Package suspect notices customers that behave like programs: by the name of
// their user agent, by how many events they send, by events that are all equal
// or come at equal intervals, and by callers whose identifiers are seen once
// only. It has them labeled with a property. It refuses nothing, and what it
// notices changes no limit.
//
// It looks at calls with public keys only: those come from pages and apps, so
// that a call stands for a person. It decides after the events of a call were
// stored, from what it remembers of the last calls in a fixed amount of memory.
// It forgets everything when the process ends.
package suspect

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"trackway"
)

// Reason says why a customer is suspect. It is the value of the property.
type Reason string

// The reasons, in the order in which they are tried.
const (
	Agent   Reason = "agent"   // the user agent says that it is a program
	Pace    Reason = "pace"    // too many events in ten minutes
	Repeats Reason = "repeats" // too many equal events in a row
	Regular Reason = "regular" // at equal intervals for too long
	OneHit  Reason = "one_hit" // the caller's identifiers are seen once only
)

// Reasons are all of them, in that order.
func Reasons() []Reason { return []Reason{Agent, Pace, Repeats, Regular, OneHit} }

// Sizes of what is remembered. A visitor takes 72 bytes, a caller 24.
const (
	visitorSets = 1 << 14
	callerSets  = 1 << 12
	ways        = 4 // places of a set: the one that was used least recently makes room
	stripes     = 256
)

// Parts of the rules.
const (
	paceWindow  = 10 * time.Minute
	leastSteady = 60          // intervals that must be equal, at least
	leastGap    = time.Second // shorter intervals say nothing
	steadyPart  = 20          // an interval is equal if it differs by a twentieth at most
	oneHitTime  = time.Hour   // in which a caller's identifiers are counted
	backPart    = 10          // of so many identifiers, more than one comes back to a person's caller
	callerBits  = 64          // of an IPv6 address
)

// Visit is an event of a customer.
type Visit struct {
	At      trackway.Micros
	Caller  uint64 // see [Memory.Caller]; 0: unknown
	Robot   bool   // its user agent says so
	Who     uint64 // see [Memory.Name]
	Content uint64 // see [Memory.Content]
}

// visitor is what is remembered of an identifier of a customer.
type visitor struct {
	key           uint64
	last          trackway.Micros // the last visit
	window        uint32          // the last ten minutes with visits, since 1970
	events        uint32          // in that window
	content       uint64          // of the last event
	repeats       uint32          // so many were equal, the last one included
	steady        uint32          // so many intervals were equal
	gap           trackway.Micros // that interval
	since         trackway.Micros // when they began to be equal
	back, suspect bool
}

// caller is what is remembered of an address with a user agent.
type caller struct {
	key         uint64
	hour        uint32
	fresh, back uint32 // identifiers that came for the first time in this hour, and a second time
}

// Memory remembers visits. It is safe for concurrent use.
type Memory struct {
	seed     maphash.Seed
	locks    [stripes]sync.Mutex // a set of visitors belongs to the lock of its number, modulo stripes
	visitors [][ways]visitor
	callerMu sync.Mutex
	callers  [][ways]caller
}

// NewMemory returns an empty memory of 5 MB.
func NewMemory() *Memory {
	return &Memory{seed: maphash.MakeSeed(), visitors: make([][ways]visitor, visitorSets), callers: make([][ways]caller, callerSets)}
}

// Caller names an address with a user agent.
func (m *Memory) Caller(project uint32, a netip.Addr, agent string) uint64 {
	if a = a.Unmap(); a.Is6() {
		if p, err := a.Prefix(callerBits); err == nil {
			a = p.Addr()
		}
	}
	return m.hash(project, maphash.Comparable(m.seed, a), agent, "")
}

// Name returns a name for a customer, which it makes of one of the identifiers
// that a client sent: a hard one if there is any.
func (m *Memory) Name(project uint32, ids []trackway.Identifier) uint64 {
	if len(ids) == 0 {
		return 0
	}
	id := leading(ids)
	return m.hash(project, 0, id.Name, id.Value)
}

// leading returns the identifier that says most about who a customer is: the
// first hard one, or the first one.
func leading(ids []trackway.Identifier) trackway.Identifier {
	for _, id := range ids {
		if id.Hard {
			return id
		}
	}
	return ids[0]
}

// Content names what an event says, without the id of its message.
func (m *Memory) Content(c *trackway.Command) uint64 {
	var h maphash.Hash
	h.SetSeed(m.seed)
	_, _ = h.WriteString(c.Type) // never fails
	for i := range c.Properties {
		p := &c.Properties[i]
		if p.Name == trackway.MessageID {
			continue
		}
		_ = h.WriteByte(0)
		_, _ = h.WriteString(p.Name)
		_ = h.WriteByte(0)
		_, _ = h.Write(p.Value)
	}
	return h.Sum64()
}

func (m *Memory) hash(project uint32, n uint64, a, b string) uint64 {
	return maphash.Comparable(m.seed, struct {
		project uint32
		n       uint64
		a, b    string
	}{project, n, a, b}) | 1 // never 0
}

// See remembers a visit, and returns why its customer is suspect, or an empty
// reason. first reports whether the customer was not suspect before.
func (m *Memory) See(rules *trackway.Bots, v Visit) (why Reason, first bool) {
	set := v.Who % visitorSets
	lock := &m.locks[set%stripes]
	lock.Lock()
	defer lock.Unlock()
	known, fresh := m.visitor(set, v.Who)
	back := !fresh && !known.back && v.At-known.last > 0
	known.back = known.back || back
	lonely := v.Caller != 0 && m.caller(rules, v, fresh, back) && !known.back
	known.add(v, fresh)
	switch {
	case v.Robot:
		why = Agent
	case rules.Pace > 0 && int(known.events) >= rules.Pace:
		why = Pace
	case rules.Repeats > 0 && int(known.repeats) >= rules.Repeats:
		why = Repeats
	case rules.Regular > 0 && known.steady >= leastSteady && v.At-known.since >= trackway.Micros(rules.Regular.Microseconds()):
		why = Regular
	case lonely:
		why = OneHit
	}
	first = why != "" && !known.suspect
	known.suspect = known.suspect || why != ""
	return why, first
}

// Unlabeled forgets that a customer is suspect, because no label could be
// stored.
func (m *Memory) Unlabeled(who uint64) {
	set := who % visitorSets
	lock := &m.locks[set%stripes]
	lock.Lock()
	defer lock.Unlock()
	known, _ := m.visitor(set, who)
	known.suspect = false
}

// visitor returns the place of a visitor. REQUIRES: the set's lock is held.
func (m *Memory) visitor(set, key uint64) (known *visitor, fresh bool) {
	oldest := &m.visitors[set][0]
	for i := range m.visitors[set] {
		switch one := &m.visitors[set][i]; {
		case one.key == key:
			return one, false
		case one.last < oldest.last:
			oldest = one
		}
	}
	*oldest = visitor{key: key}
	return oldest, true
}

// add adds an event.
func (known *visitor) add(v Visit, fresh bool) {
	if window := uint32(v.At / trackway.Micros(paceWindow.Microseconds())); window != known.window {
		known.window, known.events = window, 0
	}
	known.events++
	if fresh || v.Content != known.content {
		known.content, known.repeats = v.Content, 0
	}
	known.repeats++
	if gap := v.At - known.last; fresh {
		known.since = v.At
	} else if gap > 0 { // else they came in one call
		if part := known.gap / steadyPart; gap < trackway.Micros(leastGap.Microseconds()) || gap < known.gap-part || gap > known.gap+part {
			known.gap, known.steady, known.since = gap, 0, known.last
		}
		known.steady++
	}
	known.last = v.At
}

// caller counts an identifier of a caller, and reports whether the caller's
// identifiers are seen once only.
func (m *Memory) caller(rules *trackway.Bots, v Visit, fresh, back bool) bool {
	m.callerMu.Lock()
	defer m.callerMu.Unlock()
	hour := uint32(v.At / trackway.Micros(oneHitTime.Microseconds()))
	set := &m.callers[v.Caller%callerSets]
	c := &set[0]
	for i := range set {
		if set[i].key == v.Caller {
			c = &set[i]
			break
		}
		if set[i].hour < c.hour || set[i].hour == c.hour && set[i].fresh < c.fresh {
			c = &set[i]
		}
	}
	if c.key != v.Caller || c.hour != hour {
		*c = caller{key: v.Caller, hour: hour}
	}
	if fresh {
		c.fresh++
	}
	if back {
		c.back++
	}
	return rules.OneHit > 0 && int(c.fresh) >= rules.OneHit && c.back*backPart <= c.fresh
}

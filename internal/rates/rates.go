// Package rates counts what happens by time: how many in each second of the last minute, in each ten seconds of the last hour, in
// each five minutes of the last day. Its one idea is that a count is one word that holds both its place in time and the number,
// so that taking over the word of a day ago and counting are one step: counting takes no lock, memory never grows, and nothing
// runs in the background. It forgets with the process, and it knows nothing of what it counts.
package rates

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is something that is counted.
type Kind uint8

// The kinds. Of the first two only the last minute is known.
const (
	Answered Kind = iota // requests that were answered without an error
	Erred                // requests that were answered with an error, whatever it was
	Limited              // requests over a rate limit
	Failed               // requests that failed for a reason of the server's own
	Accepted             // commands
	Refused              // commands
	kinds
)

// The steps of the series, and how many of them a series has.
const (
	fineStep, fineSteps     = time.Second, 60
	middleStep, middleSteps = 10 * time.Second, 360
	coarseStep, coarseSteps = 5 * time.Minute, 288
)

// Meter is the counts. Safe for concurrent use.
type Meter struct {
	started time.Time
	offset  time.Duration // from the zero of its time, which is a whole step of the wall clock, to started
	kinds   [kinds]counter

	mu       sync.RWMutex // guards the map
	refusals map[string]*ring
}

// counter is one kind's counts: 6 KB.
type counter struct{ fine, middle, coarse ring }

// New returns a meter that counts from now on.
func New(now time.Time) *Meter {
	m := &Meter{started: now, offset: now.Sub(now.Truncate(coarseStep)), refusals: make(map[string]*ring)}
	for i := range m.kinds {
		m.kinds[i] = counter{newRing(fineStep, fineSteps), newRing(middleStep, middleSteps), newRing(coarseStep, coarseSteps)}
	}
	return m
}

// Started returns since when it counts.
func (m *Meter) Started() time.Time { return m.started }

// at returns a moment on the meter's own clock, which no step of the wall clock disturbs.
func (m *Meter) at(now time.Time) time.Duration { return now.Sub(m.started) + m.offset }

// Count counts n of a kind. It costs an atomic operation, and two more where there are series of the kind.
func (m *Meter) Count(now time.Time, k Kind, n int) {
	if n == 0 {
		return
	}
	at, c := m.at(now), &m.kinds[k]
	c.fine.add(at, uint64(n))
	if k <= Erred {
		return
	}
	c.middle.add(at, uint64(n))
	c.coarse.add(at, uint64(n))
}

// Refusal counts a call that a rate limit refused. REQUIRES: names are those of policies, so that there are few.
func (m *Meter) Refusal(now time.Time, policy string) {
	m.mu.RLock()
	r := m.refusals[policy]
	m.mu.RUnlock()
	if r == nil {
		r = m.newRefusals(policy)
	}
	r.add(m.at(now), 1)
}

func (m *Meter) newRefusals(policy string) *ring {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.refusals[policy]
	if r == nil {
		made := newRing(middleStep, middleSteps)
		r = &made
		m.refusals[policy] = r
	}
	return r
}

// LastMinute returns the sum of this second and the 59 before it.
func (m *Meter) LastMinute(now time.Time, k Kind) uint64 {
	return m.kinds[k].fine.sum(m.at(now), fineSteps)
}

// LastSecond returns the count of the last whole second.
func (m *Meter) LastSecond(now time.Time, k Kind) uint64 {
	r := &m.kinds[k].fine
	return r.count(r.slot(m.at(now)) - 1)
}

// Series is counts of steps that follow each other, all of them over. Those of before the meter began are not known.
type Series struct {
	Start  time.Time
	Step   time.Duration
	Counts Counts
}

// Counts is a list of counts, of which those below 0 are not known: null, as JSON.
type Counts []int64

// MarshalJSON implements [json.Marshaler].
func (c Counts) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 3*len(c)), '[')
	for i, n := range c {
		if i > 0 {
			b = append(b, ',')
		}
		if n < 0 {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendInt(b, n, 10)
		}
	}
	return append(b, ']'), nil
}

// Hour returns the last hour of a kind, by ten seconds.
func (m *Meter) Hour(now time.Time, k Kind) Series { return m.series(now, &m.kinds[k].middle) }

// Day returns the last day of a kind, by five minutes.
func (m *Meter) Day(now time.Time, k Kind) Series { return m.series(now, &m.kinds[k].coarse) }

// Refusals returns the last hour of what a policy refused, by ten seconds.
func (m *Meter) Refusals(now time.Time, policy string) Series {
	m.mu.RLock()
	r := m.refusals[policy]
	m.mu.RUnlock()
	if r == nil {
		none := newRing(middleStep, middleSteps)
		r = &none
	}
	return m.series(now, r)
}

func (m *Meter) series(now time.Time, r *ring) Series {
	n := len(r.words) - 1
	first := r.slot(m.at(now)) - int64(n)
	s := Series{
		Start: m.started.Add(time.Duration(first)*r.step - m.offset), Step: r.step, Counts: make(Counts, n),
	}
	began := r.slot(m.offset)
	for i := range s.Counts {
		slot := first + int64(i)
		s.Counts[i] = -1
		if slot >= began {
			s.Counts[i] = int64(r.count(slot))
		}
	}
	return s
}

// ring is a count for each of the last steps, one more than a series has for the one that is not over.
type ring struct {
	step  time.Duration
	words []atomic.Uint64
}

func newRing(step time.Duration, steps int) ring {
	return ring{step: step, words: make([]atomic.Uint64, steps+1)}
}

// countBits of a word are the count, the rest is the step: 4 billion in each, for 136 years of seconds.
const countBits = 32

func (r *ring) slot(at time.Duration) int64 { return int64(max(at, 0) / r.step) }

func (r *ring) word(slot int64) *atomic.Uint64 { return &r.words[slot%int64(len(r.words))] }

func (r *ring) add(at time.Duration, n uint64) {
	slot := r.slot(at)
	word, mine := r.word(slot), uint64(slot)
	for {
		old := word.Load()
		next := old + n
		switch had := old >> countBits; {
		case had < mine:
			next = mine<<countBits | n
		case had > mine:
			return // whoever counts was held up for as long as the ring is long
		}
		if word.CompareAndSwap(old, next) {
			return
		}
	}
}

// count returns what was counted in a step; 0 if that is not known any more.
func (r *ring) count(slot int64) uint64 {
	if slot < 0 {
		return 0
	}
	word := r.word(slot).Load()
	if word>>countBits != uint64(slot) {
		return 0
	}
	return word & (1<<countBits - 1)
}

// sum returns what was counted in the last steps, the one that is not over included.
func (r *ring) sum(at time.Duration, steps int64) (n uint64) {
	for slot := r.slot(at); steps > 0; steps-- {
		n += r.count(slot)
		slot--
	}
	return n
}

// Package rates counts by time: for each second of the last minute, for each
// ten seconds of the last hour, and for each five minutes of the last day. A
// counter is one word that holds both its place in time and the number. So
// counting, and reusing the word of a day ago, is a single atomic step: it
// takes no lock, memory never grows, and nothing runs in the background. The
// counts end with the process. Besides, it counts commands by key.
package rates

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is the kind of thing that is counted.
type Kind uint8

// The kinds. Of the first two, only the last minute is known.
const (
	Answered Kind = iota // requests answered without an error
	Erred                // requests answered with an error of any kind
	Limited              // requests over a rate limit
	Failed               // requests that failed because of the server
	Accepted             // commands
	Refused              // commands
	kinds
)

// The steps of the series, and the number of steps in a series.
const (
	fineStep, fineSteps     = time.Second, 60
	middleStep, middleSteps = 10 * time.Second, 360
	coarseStep, coarseSteps = 5 * time.Minute, 288
)

// Meter holds the counts. It is safe for concurrent use.
type Meter struct {
	started time.Time
	offset  time.Duration // from the zero of its time, which is a whole step of the wall clock, to started
	kinds   [kinds]counter

	mu       sync.RWMutex // guards the maps
	refusals map[string]*ring
	keys     map[Key]*use
	swept    time.Duration // when unused keys were forgotten last
}

// counter holds the counts of one kind, in 6 KB.
type counter struct{ fine, middle, coarse ring }

// New returns a meter that counts from now on.
func New(now time.Time) *Meter {
	m := &Meter{started: now, offset: now.Sub(now.Truncate(coarseStep)), refusals: make(map[string]*ring), keys: make(map[Key]*use)}
	for i := range m.kinds {
		m.kinds[i] = counter{newRing(fineStep, fineSteps), newRing(middleStep, middleSteps), newRing(coarseStep, coarseSteps)}
	}
	return m
}

// Started returns when the meter began to count.
func (m *Meter) Started() time.Time { return m.started }

// at returns a time on the meter's own clock, which is independent of steps of
// the wall clock.
func (m *Meter) at(now time.Time) time.Duration { return now.Sub(m.started) + m.offset }

// Count adds n to a kind. It costs one atomic operation, and two more if the
// kind has series.
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

// Refusal counts a call that a rate limit refused. REQUIRES: policy is the name
// of a policy, so that there are few.
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

// Series is the counts of consecutive steps, all of them over. Steps before the
// meter began are unknown.
type Series struct {
	Start  time.Time
	Step   time.Duration
	Counts Counts
}

// Counts is a list of counts. Negative ones are unknown; they are null in JSON.
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

// Hour returns the last hour of a kind, in steps of ten seconds.
func (m *Meter) Hour(now time.Time, k Kind) Series { return m.series(now, &m.kinds[k].middle) }

// Day returns the last day of a kind, in steps of five minutes.
func (m *Meter) Day(now time.Time, k Kind) Series { return m.series(now, &m.kinds[k].coarse) }

// Refusals returns the calls that a policy refused in the last hour, in steps
// of ten seconds.
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

// ring holds a count for each of the last steps: one more than a series has,
// for the step that is not over.
type ring struct {
	step  time.Duration
	words []atomic.Uint64
}

func newRing(step time.Duration, steps int) ring {
	return ring{step: step, words: make([]atomic.Uint64, steps+1)}
}

// countBits bits of a word are the count, and the others the step. Each can be
// 4 billion, which is 136 years of seconds.
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
			return // this call was delayed for as long as the ring is long
		}
		if word.CompareAndSwap(old, next) {
			return
		}
	}
}

// count returns the count of a step, or 0 if it is no longer known.
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

// sum returns the sum of the last steps, including the one that is not over.
func (r *ring) sum(at time.Duration, steps int64) (n uint64) {
	for slot := r.slot(at); steps > 0; steps-- {
		n += r.count(slot)
		slot--
	}
	return n
}

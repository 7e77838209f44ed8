// Package pace holds refusals back while there is a flood of them. Its one idea is that a caller who asks again as soon as he is
// answered is slowed down by a late answer, and that this costs nobody else anything. It decides about no call.
package pace

import (
	"runtime"
	"sync/atomic"
	"time"
)

// How fast calls over a limit are answered, over all callers. A refusal costs 25 to 70 µs of a processor, so
// that this rate takes a few hundredths of what the machine has, and the rest stays for those who keep to their limits.
const (
	refusalsPerSecond = 1000 // for each processor
	refusalsAtOnce    = 100  // that come together and are not held back, so that only a flood is
	longestHold       = 250 * time.Millisecond
	mostHeld          = 10_000 // answers at a time; beyond it they are sent at once
)

// Pace holds refusals back while there is a flood of them: a caller who sends as fast as answers come then takes a bounded
// share of the processors. It holds what the connection holds anyway, for at most longestHold, and nothing for a caller
// whose refusal comes alone. Safe for concurrent use.
type Pace struct {
	start    time.Time
	interval time.Duration // from one refusal to the next
	next     atomic.Int64  // nanoseconds from start to when the next one is due
	held     atomic.Int32
}

// New returns a pace without a flood. It depends on how many processors there are.
func New(start time.Time) *Pace {
	return &Pace{start: start, interval: time.Second / time.Duration(refusalsPerSecond*runtime.GOMAXPROCS(0))}
}

// delay returns for how long to hold a refusal at the given time, and counts it.
func (p *Pace) delay(now time.Time) time.Duration {
	at := int64(now.Sub(p.start))
	for {
		before := p.next.Load()
		due := max(before, at)
		hold := min(time.Duration(due-at)-refusalsAtOnce*p.interval, longestHold)
		after := due + int64(p.interval)
		if hold == longestHold { // the line is as long as it gets
			after = due
		}
		if after == before || p.next.CompareAndSwap(before, after) {
			return max(hold, 0)
		}
	}
}

// Hold waits for as long as the refusal of a call that came at the given time has to, or until gone is closed.
func (p *Pace) Hold(gone <-chan struct{}, now time.Time) {
	d := p.delay(now)
	if d == 0 {
		return
	}
	defer p.held.Add(-1)
	if p.held.Add(1) > mostHeld {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	}
}

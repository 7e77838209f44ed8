// Package pace holds refusals back during a flood of them. A caller that asks
// again as soon as it is answered is slowed down by a late answer, which costs
// nobody else anything. The package decides about no call.
package pace

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"trackway/internal/clientip"
)

// How fast calls over a limit are answered. A refusal costs about 100 µs of a
// processor if the server has little else to do, so that these rates take a
// few hundredths of the machine.
const (
	perProcessor = 250         // refusals a second, of all callers together
	perAddress   = 100         // refusals a second; 100 calls a second is what the tracking API promises
	atOnce       = time.Second // as many as in this time are answered at once: only a flood is held
	longestHold  = time.Second

	// Answers that are held leave in waves: the processors then wake up for
	// several of them and not for each. A part of a wave leaves at a time, so
	// that calls that come meanwhile do not wait for many refusals.
	waveEvery = 40 * time.Millisecond
	together  = 16
	times     = 20 // that a wave leaves in at most: with more, late timers would add up

	addressBits = 64      // of an IPv6 address that make a caller
	lines       = 1 << 12 // for addresses; those that share one by chance are held together
)

// Pace holds refusals back during a flood of them: callers who send as fast as
// answers come then take a bounded share of the processors. A held refusal
// takes what its request takes anyway, and a caller whose refusals come now
// and then is not held. Safe for concurrent use.
type Pace struct {
	start   time.Time
	seed    maphash.Seed
	all     line
	address [lines]line
	every   time.Duration // from one refusal to the next, of all callers

	mu    sync.Mutex      // guards waves; nothing blocks under it
	waves map[int64]*wave // by when they leave, in waveEvery from start
}

// wave is refusals that are held until the same time.
type wave struct {
	parts []chan struct{} // that are closed one after the other
	size  int
}

// line is how far ahead refusals are due: when the next one is, in nanoseconds
// from start.
type line struct{ next atomic.Int64 }

// New returns a pace for this many processors, without a flood.
func New(start time.Time, processors int) *Pace {
	return &Pace{
		start: start, seed: maphash.MakeSeed(), every: time.Second / time.Duration(perProcessor*processors),
		waves: make(map[int64]*wave),
	}
}

// join counts a refusal at the time at, and returns for how long to hold it.
func (l *line) join(at, every time.Duration) time.Duration {
	for {
		before := l.next.Load()
		due := max(time.Duration(before), at)
		hold := min(due-at-atOnce, longestHold)
		after := due + every
		if hold == longestHold { // the line is as long as it gets
			after = due
		}
		if int64(after) == before || l.next.CompareAndSwap(before, int64(after)) {
			return max(hold, 0)
		}
	}
}

// delay counts a refusal of a caller at the time at, and returns for how long to
// hold it.
func (p *Pace) delay(who netip.Addr, at time.Duration) time.Duration {
	own := p.lineOf(who).join(at, time.Second/perAddress)
	if own == longestHold {
		return own // it is held as long as can be, and must not hold others as well
	}
	return max(own, p.all.join(at, p.every))
}

func (p *Pace) lineOf(who netip.Addr) *line {
	return &p.address[maphash.Comparable(p.seed, clientip.KeyOf(who, addressBits))%lines]
}

// Hold waits for as long as the refusal of a call has to that came from an
// address at a time, or until gone is closed.
func (p *Pace) Hold(gone <-chan struct{}, who netip.Addr, received time.Time) {
	at := received.Sub(p.start)
	d := p.delay(who, at)
	if d == 0 {
		return
	}
	select {
	case <-p.wave(at + d):
	case <-gone:
	}
}

// wave puts a refusal into the next wave after a time, and returns what is
// closed when it leaves.
func (p *Pace) wave(after time.Duration) <-chan struct{} {
	n := int64(after/waveEvery) + 1
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.waves[n]
	if w == nil {
		w = new(wave)
		p.waves[n] = w
		time.AfterFunc(time.Duration(n)*waveEvery-time.Since(p.start), func() { p.take(n).leave() })
	}
	if w.size%together == 0 {
		w.parts = append(w.parts, make(chan struct{}))
	}
	w.size++
	return w.parts[len(w.parts)-1]
}

// take takes out a wave that leaves: nothing is put into it any more.
func (p *Pace) take(n int64) *wave {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.waves[n]
	delete(p.waves, n)
	return w
}

// leave lets the answers of a wave go, spread over the time until the next.
func (w *wave) leave() {
	n := min(len(w.parts), times)
	next := time.NewTicker(waveEvery / time.Duration(n))
	defer next.Stop()
	for i := range n {
		if i > 0 {
			<-next.C
		}
		for _, part := range w.parts[i*len(w.parts)/n : (i+1)*len(w.parts)/n] {
			close(part)
		}
	}
}

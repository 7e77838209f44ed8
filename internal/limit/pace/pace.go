// Package pace delays refusals during a flood of them. A delayed answer slows
// down a caller that asks again as soon as it is answered, and costs nobody
// else anything. The package decides about no call.
package pace

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"trackway/internal/clientip"
)

// The rates at which calls over a limit are answered. A refusal costs about 100
// µs of a processor on an otherwise idle server, so these rates take a few
// hundredths of the machine.
const (
	perProcessor = 250 // refusals a second, of all callers together
	perAddress   = 100 // refusals a second; the tracking API promises 100 calls a second
	// As many refusals as are due in this time are answered at once: only a
	// flood is held.
	atOnce      = time.Second
	longestHold = time.Second

	// Held answers leave in waves, so the processors wake up once for several
	// of them. Only a part of a wave leaves at a time, so calls that arrive
	// meanwhile do not wait for many refusals.
	waveEvery = 40 * time.Millisecond
	together  = 16
	times     = 20 // parts of a wave at most: with more, late timers would add up

	addressBits = 64      // of an IPv6 address that identify a caller
	lines       = 1 << 12 // for addresses; those that share a line by chance are held together
)

// Pace delays refusals during a flood of them, so that callers who send as fast
// as answers come take a bounded share of the processors. A held refusal uses
// the memory that its request uses anyway. Occasional refusals are not delayed.
// Pace is safe for concurrent use.
type Pace struct {
	start   time.Time
	seed    maphash.Seed
	all     line
	address [lines]line
	every   time.Duration // between two refusals, for all callers together

	mu    sync.Mutex      // guards waves; nothing blocks under it
	waves map[int64]*wave // by departure time, counted in waveEvery from start
}

// wave holds the refusals that leave at the same time.
type wave struct {
	parts []chan struct{} // closed one after the other
	size  int
}

// line stores when the next refusal is due, in nanoseconds from start.
type line struct{ next atomic.Int64 }

// New returns a pace for this many processors. It starts without a flood.
func New(start time.Time, processors int) *Pace {
	return &Pace{
		start: start, seed: maphash.MakeSeed(), every: time.Second / time.Duration(perProcessor*processors),
		waves: make(map[int64]*wave),
	}
}

// join counts a refusal at the time at and returns how long to hold it.
func (l *line) join(at, every time.Duration) time.Duration {
	for {
		before := l.next.Load()
		due := max(time.Duration(before), at)
		hold := min(due-at-atOnce, longestHold)
		after := due + every
		if hold == longestHold { // the line has its full length
			after = due
		}
		if int64(after) == before || l.next.CompareAndSwap(before, int64(after)) {
			return max(hold, 0)
		}
	}
}

// delay counts a refusal and returns how long to hold it. who is the refused
// caller, and at is when its call arrived.
func (p *Pace) delay(who netip.Addr, at time.Duration) time.Duration {
	own := p.lineOf(who).join(at, time.Second/perAddress)
	if own == longestHold {
		return own // already held for the maximum; it must not delay others as well
	}
	return max(own, p.all.join(at, p.every))
}

func (p *Pace) lineOf(who netip.Addr) *line {
	return &p.address[maphash.Comparable(p.seed, clientip.KeyOf(who, addressBits))%lines]
}

// Hold delays a refusal of a call that came from an address at the given time.
// It returns early if gone is closed.
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

// wave adds a refusal to the next wave after a time, and returns the channel
// that is closed when the refusal leaves.
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

// take removes a departing wave, so that no refusal can join it any more.
func (p *Pace) take(n int64) *wave {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.waves[n]
	delete(p.waves, n)
	return w
}

// leave releases the answers of a wave, spread over the time until the next
// one.
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

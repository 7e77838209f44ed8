package room

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// Places is how many may be served at once, with a share of them for each
// address. Those of an address that has its share wait in that address's own
// line; if all places are taken, the next one is for the address that has the
// fewest. Safe for concurrent use.
type Places struct {
	mu      sync.Mutex // guards what follows
	shares  shares
	waiting []*waiter // the first who came first
	refused uint64
}

// waiter is one who waits for a place.
type waiter struct {
	who   caller
	ready chan struct{} // closed when it has one
}

// NewPlaces returns a number of places, of which an address has at most each.
func NewPlaces(size, each int) *Places {
	return &Places{shares: newShares(size, max(each, 1))}
}

// Enter waits for a place until ctx ends, and tells whether there is one. Who
// has a place is to [Places.Leave] it.
func (p *Places) Enter(ctx context.Context, addr netip.Addr) bool {
	w := p.enter(addr)
	if w == nil {
		return true
	}
	select {
	case <-w.ready:
		return true
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused++
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	} else { // a place came at the same moment
		p.leaveLocked(w.who)
	}
	return false
}

// enter takes a place, or returns one who waits for it.
func (p *Places) enter(addr netip.Addr) *waiter {
	who := callerOf(addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shares.fits(who, 1) {
		p.shares.add(who, 1)
		return nil
	}
	w := &waiter{who, make(chan struct{})}
	p.waiting = append(p.waiting, w)
	return w
}

// TryEnter is Enter without waiting.
func (p *Places) TryEnter(addr netip.Addr) bool {
	who := callerOf(addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.shares.fits(who, 1) {
		p.refused++
		return false
	}
	p.shares.add(who, 1)
	return true
}

// Leave gives a place up.
func (p *Places) Leave(addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked(callerOf(addr))
}

// leaveLocked gives a place up, to the one of those who wait and may have it
// whose address has the fewest; the first of them who came.
func (p *Places) leaveLocked(who caller) {
	p.shares.add(who, -1)
	next, fewest := -1, 0
	for i, w := range p.waiting {
		if n := p.shares.most(w.who); p.shares.fits(w.who, 1) && (next < 0 || n < fewest) {
			next, fewest = i, n
		}
	}
	if next < 0 {
		return
	}
	w := p.waiting[next]
	p.waiting = slices.Delete(p.waiting, next, next+1)
	p.shares.add(w.who, 1)
	close(w.ready)
}

// Counts is how places are used.
type Counts struct {
	Size    int
	Taken   int
	Waiting int
	Refused uint64 // who did not get one, since the beginning
}

// Counts returns how the places are used now.
func (p *Places) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Counts{p.shares.size, p.shares.used, len(p.waiting), p.refused}
}

package room

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"trackway/internal/clientip"
)

// Places bounds how many requests are served at the same time, with a share for
// each address. Once an address has used its share, its further requests wait
// in a line of their own. If all places are taken, the next free place goes to
// the waiting address with the fewest places. Among several such addresses, the
// one whose last turn is the longest ago gets it. So addresses take turns,
// however many requests of one address wait. Places is safe for concurrent use.
type Places struct {
	mu      sync.Mutex // guards what follows
	shares  shares
	waiting []*waiter // the first who came first
	refused uint64

	turns turn                  // how many there have been
	last  map[clientip.Key]turn // of addresses and sites that wait, and of some others
}

// turn numbers the places that became free and were given to waiters. 0 comes
// before all others.
type turn uint64

// waiter is a request that waits for a place.
type waiter struct {
	who   caller
	ready chan struct{} // closed when it has one
}

// NewPlaces returns size places, of which one address may have at most each.
func NewPlaces(size, each int) *Places {
	return &Places{shares: newShares(size, max(each, 1)), last: make(map[clientip.Key]turn)}
}

// Enter waits for a place until ctx ends, and reports whether it got one. The
// caller must then [Places.Leave] it.
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

// enter takes a place, or returns a waiter for one.
func (p *Places) enter(addr netip.Addr) *waiter {
	who := callerOf(addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.enterLocked(who) {
		return nil
	}
	w := &waiter{who, make(chan struct{})}
	p.waiting = append(p.waiting, w)
	return w
}

// TryEnter is Enter without waiting.
func (p *Places) TryEnter(addr netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	in := p.enterLocked(callerOf(addr))
	if !in {
		p.refused++
	}
	return in
}

// EnterAtOnce is TryEnter for a caller that will wait if there is no place, so
// that it does not count as a refusal.
func (p *Places) EnterAtOnce(addr netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.enterLocked(callerOf(addr))
}

func (p *Places) enterLocked(who caller) bool {
	if !p.shares.fits(who, 1) {
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

// LeaveLate gives a place up, but counts it towards the share of the address
// for a while longer. So an address that wastes its places gets few of them.
// Cost: a timer.
func (p *Places) LeaveLate(addr netip.Addr, pause time.Duration) {
	who := callerOf(addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares.count(who.address, 1)
	p.leaveLocked(who)
	time.AfterFunc(pause, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.shares.count(who.address, -1)
		p.giveLocked()
	})
}

// leaveLocked gives a place up, to the next waiter if there is one.
func (p *Places) leaveLocked(who caller) {
	p.shares.add(who, -1)
	p.giveLocked()
}

// giveLocked gives a place to the address whose turn it is, among the waiting
// ones that may have it. The first waiter of that address gets it.
func (p *Places) giveLocked() {
	next := -1
	for i, w := range p.waiting {
		if p.shares.fits(w.who, 1) && (next < 0 || p.before(w.who, p.waiting[next].who)) {
			next = i
		}
	}
	if next < 0 {
		return
	}
	w := p.waiting[next]
	p.waiting = slices.Delete(p.waiting, next, next+1)
	p.shares.add(w.who, 1)
	p.noteTurn(w.who)
	close(w.ready)
}

// before reports whether a's turn comes before b's.
func (p *Places) before(a, b caller) bool {
	return cmp.Or(
		cmp.Compare(p.shares.most(a), p.shares.most(b)),
		cmp.Compare(p.last[a.wide()], p.last[b.wide()]),
		cmp.Compare(p.last[a.address], p.last[b.address]),
	) < 0
}

// noteTurn records that a caller had its turn. Turns of callers that do not
// wait are forgotten before there are many.
func (p *Places) noteTurn(c caller) {
	p.turns++
	p.last[c.address], p.last[c.wide()] = p.turns, p.turns
	const spare = 256
	if len(p.last) <= 4*len(p.waiting)+spare {
		return
	}
	waiting := make(map[clientip.Key]turn, 2*len(p.waiting))
	for _, w := range p.waiting {
		waiting[w.who.address], waiting[w.who.wide()] = p.last[w.who.address], p.last[w.who.wide()]
	}
	p.last = waiting
}

// Counts describes how places are used.
type Counts struct {
	Size    int
	Taken   int
	Waiting int
	Refused uint64 // callers that did not get one, since the beginning
}

// Counts returns how the places are used now.
func (p *Places) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Counts{p.shares.size, p.shares.used, len(p.waiting), p.refused}
}

// Package share lets the servers of a cluster share limits. Each has a share of
// every caller's limit, and servers borrow calls from each other. This package
// knows the servers: which of them answer, and how to ask them. It does not
// count: that is the ledger's business, which is internal/limit. An ADR,
// docs/adr/0022-shared-limits.md, gives the reasons.
//
// Nothing here affects the promise that no more calls are admitted than the
// limit allows. It rests on the ledger: a lender counts calls before it lends
// them, and a borrower admits only what was lent.
package share

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// patience is how long a call waits for the answers of other servers.
	patience = 50 * time.Millisecond
	// pause is the time between two pings, and between attempts to connect.
	pause = time.Second
	// strikes is how many timeouts in a row stop a server from being asked.
	strikes = 3
	// maxRounds bounds the counters for which calls are being borrowed.
	maxRounds = 8192
	// maxQueue bounds the asks that wait for one server.
	maxQueue = 1024
)

// Counter names a counter and its window in this server's ledger.
type Counter struct {
	Key   uint64
	Class uint8
	End   uint64
}

// Ledger counts calls. Its methods are called by several goroutines.
type Ledger interface {
	// Lend counts calls for another server, and returns how many.
	Lend(now time.Time, a *Ask) uint32
	// Borrowed adds calls to a counter. If the window of the counter has
	// ended, they are lost, and it returns false.
	Borrowed(now time.Time, c Counter, n uint32) bool
	// Dry notes that no server has calls to lend to the counter.
	Dry(now time.Time, c Counter)
}

// Member is a server of the cluster.
type Member struct{ ID, Address string }

// Options configures a group. All fields are required.
type Options struct {
	Self    string          // this server's id
	Members func() []Member // all servers
	Dial    func(ctx context.Context, m Member) (net.Conn, error)
	Ledger  Ledger
	Changed func() // called when the number of members has changed
}

// Group is the servers that share limits. It is safe for concurrent use.
type Group struct {
	o    Options
	view atomic.Pointer[View]

	// mu guards what follows. It is not held while anything blocks, and a
	// ledger is not called under it.
	mu      sync.Mutex
	peers   []*peer
	members int
	rounds  map[Counter]*round
	lent    uint64 // answers with calls so far, in all rounds

	stats stats
}

// New returns a group.
func New(o Options) *Group {
	g := &Group{o: o, rounds: make(map[Counter]*round)}
	g.look(nil)
	return g
}

// Part returns this server's part of limits with a window.
func (g *Group) Part(window time.Duration) Part { return g.view.Load().Part(window) }

// Size returns the number of servers that share limits.
func (g *Group) Size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.members
}

// Run keeps connections to the other servers until ctx ends.
func (g *Group) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		g.look(func(p *peer) {
			of, stop := context.WithCancel(ctx)
			p.stop = stop
			running.Go(func() { p.run(of) })
		})
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look learns who the members are, starts to talk to new ones, unless start is
// nil, and renews the view.
func (g *Group) look(start func(*peer)) {
	now, members := time.Now(), g.o.Members()
	if !slices.ContainsFunc(members, func(m Member) bool { return m.ID == g.o.Self }) {
		members = append(slices.Clip(members), Member{ID: g.o.Self})
	}
	seen := make([]Seen, 0, len(members))
	var peers []*peer
	g.mu.Lock()
	before := g.peers
	for _, m := range members {
		s := Seen{ID: m.ID}
		if m.ID != g.o.Self {
			i := slices.IndexFunc(before, func(p *peer) bool { return p.member == m })
			if i < 0 {
				peers = append(peers, newPeer(g, m, now))
			} else {
				peers = append(peers, before[i])
			}
			s.Silent = peers[len(peers)-1].silent(now)
		}
		seen = append(seen, s)
	}
	changed := g.members != len(members)
	g.peers, g.members = peers, len(members)
	g.mu.Unlock()
	g.view.Store(NewView(g.o.Self, seen))
	if start == nil {
		return
	}
	for _, p := range before {
		if !slices.Contains(peers, p) && p.stop != nil {
			p.stop()
		}
	}
	for _, p := range peers {
		if p.stop == nil {
			start(p)
		}
	}
	if changed {
		g.o.Changed()
	}
}

// round is the asks for one counter, to all other servers.
type round struct {
	counter Counter
	began   time.Time

	// The rest is guarded by the group's mutex.
	open    []*peer       // that have not answered
	changed chan struct{} // closed when calls are lent, or the round ends
	last    uint64        // number of the latest answer with calls; 0: no answer had any
	failed  bool          // a server did not answer, so there may be more
	ended   bool
	expired bool // it has taken longer than a call waits; if all answers come later, they count
}

// Borrow asks the other servers to lend calls to a counter, unless that is
// under way. It sets a.Most. If wait is set, it waits until some are lent, no
// server has any, or it has waited for long enough. It returns a number that is
// larger than since if something was lent. Begin with 0, and pass on what it
// returns, so that it waits for what comes after that.
func (g *Group) Borrow(c Counter, a *Ask, wait bool, since uint64) uint64 {
	now := time.Now()
	r := g.round(now, c, a)
	if r == nil || !wait {
		return since
	}
	g.mu.Lock()
	changed, last := r.changed, max(since, r.last)
	g.mu.Unlock()
	if last > since {
		return last
	}
	timer := time.NewTimer(patience - now.Sub(r.began))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
		g.expire(r)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(since, r.last)
}

// round returns the round for a counter, and begins one unless it is under
// way. It returns nil if no more can begin.
func (g *Group) round(now time.Time, c Counter, a *Ask) *round {
	g.mu.Lock()
	if r := g.rounds[c]; r != nil {
		g.mu.Unlock()
		return r
	}
	if len(g.rounds) >= maxRounds {
		g.mu.Unlock()
		g.stats.dropped.Add(1)
		return nil
	}
	r := &round{counter: c, began: now, changed: make(chan struct{})}
	g.rounds[c] = r
	peers := g.peers
	a.Most = max(1, a.Limit/uint32(len(peers)+1)/uint32(max(1, len(peers))))
	for _, p := range peers {
		switch {
		case p.silent(now) > silence: // it has nothing to lend
		case !p.answers(), !p.put(&asked{*a, r}):
			r.failed = true
			g.stats.skipped.Add(1)
		default:
			r.open = append(r.open, p)
			g.stats.asks.Add(1)
		}
	}
	done := len(r.open) == 0
	if done {
		g.endLocked(r)
	}
	dry := done && !r.failed
	g.mu.Unlock()
	if dry {
		g.o.Ledger.Dry(now, c)
	}
	return r
}

// endLocked ends a round.
func (g *Group) endLocked(r *round) {
	if g.rounds[r.counter] == r {
		delete(g.rounds, r.counter)
	}
	if !r.ended {
		r.ended = true
		close(r.changed)
	}
}

// tellLocked wakes those who wait for a round, which goes on.
func (r *round) tellLocked() {
	if !r.ended {
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// expire ends a round that has taken too long, so that another one may begin.
// Late answers still count.
func (g *Group) expire(r *round) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.expired || len(r.open) == 0 {
		return
	}
	r.expired = true
	for _, p := range r.open {
		p.missed.Add(1)
		g.stats.timeouts.Add(1)
	}
	g.endLocked(r)
}

// answered takes the answer of a server: n calls, or nothing if it failed.
func (g *Group) answered(p *peer, r *round, n uint32, failed bool) {
	now := time.Now()
	kept := n > 0 && g.o.Ledger.Borrowed(now, r.counter, n)
	g.mu.Lock()
	r.open = slices.DeleteFunc(r.open, func(o *peer) bool { return o == p })
	r.failed = r.failed || failed
	if kept {
		g.lent++
		r.last = g.lent
		r.tellLocked()
		g.stats.borrowed.Add(uint64(n))
	}
	dry := false
	if len(r.open) == 0 {
		g.endLocked(r)
		dry = r.last == 0 && n == 0 && !r.failed
	}
	g.mu.Unlock()
	if dry {
		g.o.Ledger.Dry(now, r.counter)
	}
}

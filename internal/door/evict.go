package door

import (
	"cmp"
	"net"
	"slices"
	"time"
)

// Bounds on making place.
const (
	// slow is how long a connection may be without a whole header before it
	// counts as one that can make place for another, or with a body that comes
	// below the least rate.
	slow = time.Second

	// batch is which part of all connections is closed at once to make place,
	// so that a flood of new ones has them looked through once for many.
	batch = 128

	// ofAddress is the same for the connections of an address that has as many
	// as it may have.
	ofAddress = 16

	// rest is how long nobody looks again for a connection that makes place,
	// after none was found: a flood must not have all looked at for each.
	rest = 20 * time.Millisecond
)

// candidate is a connection that could make place.
type candidate struct {
	*conn

	rank  int           // 0 goes first
	holds int           // how many places its address has
	since time.Duration // when it became idle, or began
}

// placesLocked makes n places, or as many as can be made, and a batch if there
// are enough connections. First go connections that are idle or held, those of
// the address with the most first and the longest idle of those; then, in the same order,
// ones that take long to send a header; then those whose request is stalled;
// at last, likewise, a proxy's, which many share.
func (d *Door) placesLocked(n int) []*conn {
	now := d.now()
	if now < d.barren {
		return nil
	}
	evicted := d.evictLocked(d.conns, max(n, len(d.conns)/batch), func(a, b candidate) int {
		return cmp.Compare(b.holds, a.holds)
	})
	if len(evicted) < n {
		d.barren = now + rest
	}
	return evicted
}

// evictLocked takes n of a set of connections out of the door, or as many as
// can be. Of equal rank those go first that order says, then the oldest.
func (d *Door) evictLocked(from map[*conn]struct{}, n int, order func(a, b candidate) int) []*conn {
	var found []candidate
	now := d.now()
	for c := range from {
		if rank, since := c.disposable(now); rank >= 0 {
			found = append(found, candidate{c, rank, c.holder.places, since})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		by := cmp.Compare(a.rank, b.rank)
		if by == 0 && order != nil {
			by = order(a, b)
		}
		return cmp.Or(by, cmp.Compare(a.since, b.since))
	})
	evicted := make([]*conn, 0, min(n, len(found)))
	for _, f := range found {
		if len(evicted) == n {
			break
		}
		if why := f.evict(); why != closedNot {
			d.counts.closed[why].Add(1)
			d.leaveLocked(f.conn)
			evicted = append(evicted, f.conn)
		}
	}
	return evicted
}

// closeAll closes connections that have left. It is to be called outside mu:
// with TLS in between, a close may not block here, but nothing says so.
func (d *Door) closeAll(conns []*conn) {
	for _, c := range conns {
		_ = c.Close() // nobody is to hear of it
	}
}

// disposable returns in which turn a connection makes place, -1 if it does
// not, and since when it does nothing. REQUIRES: mu is held.
func (c *conn) disposable(now time.Duration) (rank int, since time.Duration) {
	const idleOne, slowOne, stalledOne, ofProxy = 0, 1, 2, 3
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == idle || c.state == active && c.isHeld():
		rank = idleOne
	case c.state == awaited && now-c.since > slow:
		rank = slowOne
	case c.state == active && c.stalledLocked(now):
		rank = stalledOne
	default:
		return -1, 0
	}
	if c.trusted {
		rank += ofProxy
	}
	return rank, c.since
}

// isHeld tells whether requests are under way and all their answers are held.
func (c *conn) isHeld() bool {
	held := c.held.Load()
	return held > 0 && held == c.running.Load()
}

// stalledLocked tells whether a request is under way that hardly moves: its
// body comes below the least rate of a header, and is waited for, or nothing
// of its answer is read. Otherwise a few addresses could keep everybody out by
// announcing bodies.
func (c *conn) stalledLocked(now time.Duration) bool {
	if since := time.Duration(c.writing.Load()); since != 0 {
		return now-since > unread
	}
	if c.running.Load() != c.waiting.Load() || now-time.Duration(c.wrote.Load()) <= unread {
		return false
	}
	took := now - c.since
	return took > slow && time.Duration(c.body)*time.Second < perSecond*took
}

// evict ends a connection, unless a request has begun on it meanwhile, or has
// gone on.
func (c *conn) evict() closing {
	c.mu.Lock()
	defer c.mu.Unlock()
	why := closedNot
	switch c.state {
	case idle:
		why = closedIdle
	case awaited:
		why = closedSlow
	case active:
		if c.isHeld() || c.stalledLocked(c.door.now()) {
			why = closedStalled
		}
	}
	if why != closedNot {
		c.state = gone
	}
	return why
}

var _ net.Conn = (*conn)(nil)

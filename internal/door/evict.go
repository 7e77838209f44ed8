package door

import (
	"cmp"
	"net"
	"slices"
	"time"
)

// Bounds on making room.
const (
	// slow is how long a connection may have an incomplete header, or a body
	// below the least rate, before it can be closed to make room.
	slow = time.Second

	// batch sets the fraction of all connections that is closed at once to make
	// room, so that a flood of new ones needs one search for many.
	batch = 128

	// ofAddress is the same for the connections of an address that has its
	// maximum.
	ofAddress = 16

	// rest is the pause after an unsuccessful search for a connection to close:
	// a flood must not cause a full search per connection.
	rest = 20 * time.Millisecond
)

// candidate is a connection that could be closed to make room.
type candidate struct {
	*conn

	rank  int           // 0 goes first
	holds int           // places of its address
	since time.Duration // when it became idle, or began
}

// placesLocked frees n places, or as many as possible. If there are many
// connections, it frees at least one in 128, so that it is not called for each
// new one. Idle or held connections go first, then those that are slow to send
// a header, then those whose request is stalled. The connections of proxies,
// which many clients share, go last, in the same order. Within each of these
// kinds, those of the address with the most connections go first, and of these
// the longest idle or the oldest.
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

// evictLocked removes n connections of a set from the door, or as many as
// possible. At equal rank, order decides, then age.
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

// closeAll closes evicted connections. Call it outside mu: with TLS in between,
// a close may not block here, but nothing guarantees it.
func (d *Door) closeAll(conns []*conn) {
	for _, c := range conns {
		_ = c.Close() // nobody can use the error
	}
}

// disposable returns the rank at which a connection can be closed to make room,
// or -1 if it cannot, and since when it has been inactive.
//
// REQUIRES: mu is held.
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

// isHeld reports whether requests are under way and all their answers are held.
func (c *conn) isHeld() bool {
	held := c.held.Load()
	return held > 0 && held == c.running.Load()
}

// stalledLocked reports whether a request is under way that hardly moves: a
// handler waits for a body that is slower than the least rate of a header, or
// the client reads nothing of the answer. Without this check, a few addresses
// could keep everybody out by announcing bodies.
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

// evict ends a connection, unless a request has begun or moved on meanwhile.
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

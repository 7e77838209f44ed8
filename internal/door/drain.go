package door

import (
	"context"
	"time"
)

// How long a connection may show no sign of life while a server stops.
const (
	silent   = time.Second     // nothing comes of what is awaited
	unread   = 2 * time.Second // nothing is taken of what is sent
	lookOver = 50 * time.Millisecond
)

// Drain closes the connections on which nothing happens, until ctx ends. It is
// for a server that stops, beside [http.Server.Shutdown], which waits for all
// that have begun: for a header or a body that does not come on, and for an
// answer that nobody reads, as long as for a request that is being answered.
func (d *Door) Drain(ctx context.Context) {
	tick := time.NewTicker(lookOver)
	defer tick.Stop()
	for began := d.now(); ; {
		d.closeSilent(began)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *Door) closeSilent(began time.Duration) {
	var silent []*conn
	d.mu.Lock()
	now := d.now()
	for c := range d.conns {
		if c.endIfSilent(began, now) {
			silent = append(silent, c)
		}
	}
	d.mu.Unlock()
	d.counts.closed[closedStop].Add(uint64(len(silent)))
	d.closeAll(silent)
}

// endIfSilent tells whether nothing has happened on a connection since the
// draining began. That is then its end.
func (c *conn) endIfSilent(began, now time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == gone || !c.silentLocked(began, now) {
		return false
	}
	c.state = gone
	return true
}

func (c *conn) silentLocked(began, now time.Duration) bool {
	if since := time.Duration(c.writing.Load()); since != 0 {
		return now-max(since, began) > unread
	}
	quiet := now-max(c.heard, c.since, began) > silent
	switch c.state {
	case idle:
		return quiet || !c.multi // of HTTP/2 the client is told first
	case active:
		return quiet && c.running.Load() == c.waiting.Load() && now-time.Duration(c.wrote.Load()) > silent
	default:
		return quiet
	}
}

// Open returns how many connections are open.
func (d *Door) Open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

package door

import (
	"context"
	"time"
)

// How long a connection may show no sign of life while a server stops.
const (
	silent   = time.Second     // nothing arrives that the server waits for
	unread   = 2 * time.Second // the client reads nothing of the answer
	lookOver = 50 * time.Millisecond
)

// Drain closes connections without activity until ctx ends. Run it beside
// [http.Server.Shutdown] when a server stops. Shutdown waits for everything
// that has begun: it waits for a stalled header or body, or an answer that
// nobody reads, as long as for a request that is being answered.
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

// endIfSilent ends a connection on which nothing has happened since draining
// began, and reports whether it did.
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
		return quiet || !c.multi // with HTTP/2, the client is told first
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

package share

import (
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"

	"trackway/internal/sleep"
)

// peer is another server.
type peer struct {
	group  *Group
	member Member
	stop   context.CancelFunc // nil: it was not started; used by Group.Run only
	queue  chan *asked

	up     atomic.Bool  // it has answered on the connection that there is
	missed atomic.Int32 // timeouts since its last answer
	heard  atomic.Int64 // when it answered last, in nanoseconds after since
	since  time.Time    // when this server began to listen for it
}

// asked is an ask on its way.
type asked struct {
	ask   Ask
	round *round
}

func newPeer(g *Group, m Member, now time.Time) *peer {
	return &peer{group: g, member: m, queue: make(chan *asked, maxQueue), since: now}
}

// silent returns how long ago the server was heard.
func (p *peer) silent(now time.Time) time.Duration {
	return now.Sub(p.since) - time.Duration(p.heard.Load())
}

// answers reports whether the server is to be asked.
func (p *peer) answers() bool { return p.up.Load() && p.missed.Load() < strikes }

// put queues an ask, unless too many wait.
func (p *peer) put(a *asked) bool {
	select {
	case p.queue <- a:
		return true
	default:
		return false
	}
}

// run talks to the server until ctx ends.
func (p *peer) run(ctx context.Context) {
	for ctx.Err() == nil {
		opening, cancel := context.WithTimeout(ctx, silence)
		conn, err := p.group.o.Dial(opening, p.member)
		cancel()
		if err == nil {
			_ = p.talk(ctx, conn) // whatever it was, it is tried again
			p.up.Store(false)
			_ = conn.Close()
		}
		p.fail()
		if sleep.For(ctx, pause) != nil {
			break
		}
	}
	p.fail()
}

// fail gives up the asks that wait.
func (p *peer) fail() {
	for {
		select {
		case a := <-p.queue:
			p.group.answered(p, a.round, 0, true)
		default:
			return
		}
	}
}

// talk sends asks, and a ping at times, until the connection fails or ctx ends.
// Asks that come while a frame is on its way travel in the next one.
func (p *peer) talk(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var batch []*asked
	var buf []byte
	for {
		var err error
		if buf, err = p.exchange(conn, batch, buf); err != nil {
			return err
		}
		p.heard.Store(int64(time.Since(p.since)))
		p.missed.Store(0)
		p.up.Store(true)
		batch = batch[:0]
		select {
		case a := <-p.queue:
			batch = p.gather(append(batch, a))
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// gather adds the asks that wait.
func (p *peer) gather(batch []*asked) []*asked {
	for len(batch) < maxAsks {
		select {
		case a := <-p.queue:
			batch = append(batch, a)
		default:
			return batch
		}
	}
	return batch
}

// exchange sends a frame, and takes the answer.
func (p *peer) exchange(conn net.Conn, batch []*asked, buf []byte) (reuse []byte, err error) {
	taken := 0
	defer func() {
		for _, a := range batch[taken:] {
			p.group.answered(p, a.round, 0, true)
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(silence)); err != nil {
		return buf, err
	}
	buf = appendHeader(buf[:0], len(batch))
	for _, a := range batch {
		buf = a.ask.append(buf)
	}
	if _, err := conn.Write(buf); err != nil {
		return buf, err
	}
	lent, n, err := readFrame(conn, buf, lentSize)
	if err == nil && n != len(batch) {
		err = errFrame
	}
	if err != nil {
		return buf, err
	}
	for ; taken < n; taken++ {
		a := batch[taken]
		// A server that lends more than it was asked for is mistaken.
		calls := min(binary.BigEndian.Uint32(lent[taken*lentSize:]), a.ask.Most)
		p.group.answered(p, a.round, calls, false)
	}
	return lent, nil
}

// Serve answers the asks of another server until the connection ends.
func (g *Group) Serve(conn net.Conn) {
	var asks, answer []byte
	for {
		if conn.SetDeadline(time.Now().Add(3*silence)) != nil {
			return
		}
		var n int
		var err error
		if asks, n, err = readFrame(conn, asks, askBytes); err != nil {
			return
		}
		now := time.Now()
		answer = appendHeader(answer[:0], n)
		for i := range n {
			a, err := parseAsk(asks[i*askBytes:])
			if err != nil {
				return
			}
			lent := g.o.Ledger.Lend(now, &a)
			g.stats.lent.Add(uint64(lent))
			answer = binary.BigEndian.AppendUint32(answer, lent)
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

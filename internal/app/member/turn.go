package member

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"trackway/internal/control/members"
	"trackway/internal/sleep"
)

// turn says which server carries out a step of a plan. The leader of the first
// partition knows it. If that leader changes, or a server is down for long, two
// servers may have their turns at once: then the leader of each partition sees
// to it that enough copies stay.
type turn struct {
	mu    sync.Mutex
	of    string // the address of the server; empty: nobody's
	until time.Time
}

// How long a turn lasts, unless it is taken again, how often it is, and how
// long its end may take: the server may be about to start again.
const (
	turnTime  = 15 * time.Second
	turnAgain = 5 * time.Second
	turnEnd   = 2 * time.Second
)

// take gives the turn to a server, or keeps it there.
func (t *turn) take(server string, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of != "" && t.of != server && now.Before(t.until) {
		return fmt.Errorf("%s, at %s: wait until it has ended", members.Busy, t.of)
	}
	t.of, t.until = server, now.Add(turnTime)
	return nil
}

// end ends the turn of a server.
func (t *turn) end(server string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == server {
		t.of = ""
	}
}

// takeTurn takes the turn for this server, until done is called.
func (m *Member) takeTurn(ctx context.Context, c *cluster) (done func(), err error) {
	ask := func(ctx context.Context, path string) error {
		leader := m.parts[0].raft.Load().Status().Leader
		if leader == "" {
			leader = c.parts[0].Leader
		}
		return m.ask(ctx, c, leader, http.MethodPost, path, url.Values{"at": {m.o.Cluster.Advertise}}, nil)
	}
	if err := ask(ctx, "turn"); err != nil && !strings.HasSuffix(err.Error(), noRoute) {
		return nil, err
	}
	keeping, stop := context.WithCancel(ctx)
	var kept sync.WaitGroup
	kept.Go(func() {
		for sleep.For(keeping, turnAgain) == nil {
			_ = ask(keeping, "turn") // the step goes on: see turn
		}
	})
	return func() {
		stop()
		kept.Wait()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnEnd)
		defer cancel()
		_ = ask(ending, "turn/end") // else it ends by itself
	}, nil
}

// noRoute is the end of the answer of a leader whose program is older.
const noRoute = "status 404"

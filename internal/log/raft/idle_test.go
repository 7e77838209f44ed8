package raft

import (
	"math/rand/v2"
	"testing"
	"time"

	"trackway/internal/sleep"
)

// TestRestartWhileIdle: a server that comes back learns what is committed,
// although nothing new is.
func TestRestartWhileIdle(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{Heartbeat: 2 * time.Second})
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	l.fill(t, leader.log, 20)
	s := c.except(leader)[0]
	for _, s := range c.servers {
		s.log.states.Hold() // no digest follows
	}
	_ = sleep.For(t.Context(), 300*time.Millisecond) // until nothing is under way
	s.kill(rand.New(rand.NewPCG(1, 1)))
	s.start()
	s.log.states.Hold()
	want := leader.log.raft.LastIndex()
	for start := time.Now(); s.log.raft.CommitIndex() < want; _ = sleep.For(t.Context(), 5*time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("it knows of %d committed entries, want %d", s.log.raft.CommitIndex(), want)
		}
	}
}

package raft

import (
	"math/rand/v2"
	"testing"

	"trackway/internal/scale"
)

// TestAgreement: what is written to any of three servers is on all of them
// once, and all have the same state.
func TestAgreement(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := c.write(2)
	l.await(scale.Of(500, 100))
	l.end()
	c.settle()
	l.check(t, c.wantEqual())
}

// TestFaults: while servers lose their power, are cut off, stop and come back,
// nothing that was acknowledged is lost, nothing is there twice, and the states
// stay equal.
func TestFaults(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := newCluster(t, 3, Options{snapshotAfter: 200, trailing: 100})
	l := c.write(2)
	for round := range scale.Of(14, 5) {
		l.await(10)
		victim := c.awaitLeader()
		if round%3 == 2 {
			victim = c.except(victim)[random.IntN(2)]
		}
		switch round % 5 {
		case 0, 2:
			victim.kill(random)
			l.await(5) // the others go on
			victim.start()
		case 1:
			c.sever(victim, true, c.except(victim)...)
			l.await(5)
			c.sever(victim, false, c.except(victim)...)
		case 3:
			victim.stop()
			l.await(5)
			victim.start()
		case 4: // all at once
			for _, s := range c.servers {
				s.kill(random)
			}
			for _, s := range c.servers {
				s.start()
			}
		}
	}
	l.await(10)
	l.end()
	c.settle()
	l.check(t, c.wantEqual())
}

package raft

import (
	"context"
	"slices"
	"testing"
	"time"

	"trackway/internal/scale"
)

// handTo has a server lead.
func (c *cluster) handTo(s *server) {
	c.t.Helper()
	eventually(c.t, "it leads", func() bool {
		leader := c.awaitLeader()
		return leader == s || leader.log.Transfer(s.id) == nil && c.awaitLeader() == s
	})
}

// TestHandOverInVain: a server that could not hand leadership over, because
// the disk of the other one was full, and then lost it in another way, takes
// entries when it leads again.
func TestHandOverInVain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{lookEach: time.Hour, patience: 5 * time.Second})
	first := c.awaitLeader()
	others := c.except(first)
	full, third := others[0], others[1]
	full.log.transport.Refuse(true)
	if err := first.log.Append(context.Background(), visit("a0")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Duration(scale.Of(5, 1)) * time.Second); time.Now().Before(end); {
		_ = first.log.Transfer(full.id)
		if c.leader() == full {
			t.Fatal("a server leads that takes no entries")
		}
		c.handTo(first) // a slow machine may have cost it its leadership
	}
	c.sever(first, true, others...)
	eventually(t, "another server leads", func() bool { return third.log.Status().Leading })
	c.sever(first, false, others...)
	full.log.transport.Refuse(false)
	c.handTo(first)
	for range 3 {
		if err := first.log.Append(context.Background(), visit("b0")); err != nil {
			t.Error("the server that leads again:", err)
		}
	}
}

// TestHandOver: leadership goes from server to server while all of them write.
// Nothing that was under way gets lost, and nobody learns that it is not known
// what became of it.
func TestHandOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := c.write(2)
	handed := 0
	for range scale.Of(20, 6) {
		l.await(5)
		leader := c.awaitLeader()
		if err := leader.log.Transfer(""); err != nil {
			t.Log("leadership was not handed over:", err) // the machine is slow
			continue
		}
		if c.awaitLeader() != leader {
			handed++
		}
	}
	l.await(5)
	l.end()
	if handed == 0 {
		t.Error("leadership was never handed over")
	}
	c.settle()
	l.check(t, c.wantEqual())
}

// TestStopWhileHandingOver: a leader that stops while it tries to hand
// leadership over tries again after that, and does not leave without an heir.
func TestStopWhileHandingOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{Heartbeat: 2 * time.Second})
	for range 3 { // the machine may be too busy
		leader := c.awaitLeader()
		handing := &leader.log.handing
		handing.Store(true)
		time.AfterFunc(100*time.Millisecond, func() { handing.Store(false) })
		leader.stop()
		if c.leader() != nil {
			return
		}
		leader.start()
	}
	t.Error("no server led after a stop")
}

// TestHandOverToFit: a server whose disk is full hands leadership over at once
// to one that takes entries, although it has not learned yet that the disk of
// the other one is full, too.
func TestHandOverToFit(t *testing.T) {
	t.Parallel()
	o := watchful
	o.lookEach, o.askEach = time.Hour, time.Hour
	c := newCluster(t, 3, o)
	first := c.awaitLeader()
	for _, s := range c.servers {
		if err := s.log.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.handTo(first)
	full := c.server(first.log.successors()[0].ID)
	full.free.Store(1)
	full.log.look(t.Context(), false)
	if err := first.log.Append(t.Context(), visit("a0")); err != nil {
		t.Fatal(err)
	}
	first.free.Store(1)
	first.log.look(t.Context(), false)
	eventually(t, "another server leads", func() bool { leader := c.leader(); return leader != nil && leader != first })
	if leader := c.awaitLeader(); leader == full {
		t.Error("a server leads whose disk is full")
	}
}

// server returns the server with an id.
func (c *cluster) server(id string) *server {
	return c.servers[slices.IndexFunc(c.servers, func(s *server) bool { return s.id == id })]
}

package raft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// restart starts a server again once it asks for that.
func (s *server) restart() {
	<-s.again
	s.stop()
	s.start()
}

// insist asks for something until it is done, as an operator would: on a slow
// machine, the leader may just be changing.
func insist(t *testing.T, do func() error) {
	t.Helper()
	eventually(t, "it was done", func() bool {
		err := do()
		if err != nil {
			t.Log("not yet: ", err)
		}
		return err == nil
	})
}

// belongs asks whether a server is a member until the leader answers.
func (s *server) belongs(t *testing.T, addresses ...string) (is, lost bool) {
	t.Helper()
	insist(t, func() (err error) {
		is, lost, err = s.log.Belongs(t.Context(), addresses)
		return err
	})
	return is, lost
}

// join makes a server a voter, as its operator would. It may start again
// meanwhile.
func (s *server) join(t *testing.T, at *server) {
	t.Helper()
	insist(t, func() error {
		if err := s.log.Join(t.Context(), []string{at.address}, 0); !errors.Is(err, ErrMember) && !errors.Is(err, ErrOccupied) {
			return err
		}
		return nil // an attempt before has made it one
	})
	for {
		status := s.log.Status()
		if m := status.Member(); m != nil && m.Voter {
			return
		}
		select {
		case <-s.again:
			s.restart()
		default:
			_, _ = s.log.Promote(t.Context(), []string{at.address}) // as often as necessary
			_ = s.log.await(s.log.leaders.next(), nil)              // for a change, or a moment
		}
	}
}

// TestMembers: servers join, hand leadership over, and are removed, whichever
// server is asked. A server of another cluster cannot join.
func TestMembers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, Options{})
	first := c.servers[0]
	stranger := c.add()
	stranger.log.o.Name = "another"
	if err := stranger.log.Join(t.Context(), []string{first.address}, 0); err == nil {
		t.Error("a server of another cluster has joined")
	}
	stranger.stop()
	c.servers = c.servers[:1]
	for range 2 {
		c.add().join(t, first)
	}
	l := ledger{became: make(map[string]error)}
	for _, s := range c.servers {
		l.fill(t, s.log, 3)
	}
	if err := first.log.Join(t.Context(), nil, 0); !errors.Is(err, ErrMember) {
		t.Errorf("a member joins: got %v", err)
	}
	before := c.awaitLeader()
	changed := before.log.leaders.next()
	insist(t, func() error { return c.except(before)[0].log.HandOver(t.Context(), "") })
	<-changed
	if err := c.awaitLeader().log.CatchUp(t.Context()); err != nil {
		t.Error(err)
	}
	gone := c.except(c.awaitLeader())[0]
	insist(t, func() error { return gone.log.Expel(t.Context(), gone.id) })
	gone.stop()
	c.servers = c.except(gone)
	eventually(t, "two members are left", func() bool { return len(c.awaitLeader().log.Status().Members) == 2 })
	for _, s := range c.servers {
		l.fill(t, s.log, 3)
	}
	c.settle()
	l.check(t, c.wantEqual())
}

// TestEnough: a server does not join if there are enough members. A server
// learns from the leader whether it is a member, also one that was removed
// while it was down. Leadership goes to the server that is named.
func TestEnough(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := ledger{became: make(map[string]error)}
	l.fill(t, c.servers[0].log, 5)
	leader := c.awaitLeader()
	other := c.add()
	insist(t, func() error {
		err := other.log.Join(t.Context(), []string{leader.address}, 3)
		switch {
		case err == nil:
			t.Fatal("a fourth server joins")
		case errors.Is(err, ErrEnough):
			return nil
		}
		return err
	})
	if is, _ := other.belongs(t, leader.address); is {
		t.Error("it belongs")
	}
	other.join(t, leader)
	if is, _ := other.belongs(t); !is {
		t.Error("it does not belong")
	}
	eventually(t, "the server that is named leads", func() bool {
		_ = c.servers[0].log.HandOver(t.Context(), other.id) // it may lead already
		return c.awaitLeader() == other
	})
	if err := c.servers[0].log.HandOver(t.Context(), "nobody"); err == nil {
		t.Error("leadership went to nobody")
	}
	gone := c.except(c.awaitLeader())[0]
	gone.stop()
	insist(t, func() error { return c.awaitLeader().log.Expel(t.Context(), gone.id) })
	gone.start()
	if is, lost := gone.belongs(t); is || lost {
		t.Errorf("a removed server belongs: %v, or has lost its log: %v", is, lost)
	}
	gone.stop()
	c.servers = c.except(gone)
	l.fill(t, c.servers[0].log, 5)
	c.settle()
	l.check(t, c.wantEqual())
}

// TestRelease: if two copies are removed at the same time, only so many go that
// enough stay.
func TestRelease(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 4, Options{Heartbeat: 3 * time.Second}) // no other server must begin to lead
	others := c.except(c.awaitLeader())
	l := ledger{became: make(map[string]error)}
	l.fill(t, others[2].log, 1) // now it knows who leads
	errs := make([]error, 2)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = others[2].log.Release(t.Context(), others[i].id, 3) })
	}
	all.Wait()
	if (errs[0] == nil) == (errs[1] == nil) || !strings.Contains(fmt.Sprint(errs), "2 members with a vote would be left, and there should be 3") {
		t.Errorf("got %v", errs)
	}
	eventually(t, "three members are left", func() bool { return len(c.awaitLeader().log.Status().Members) == 3 })
}

// TestAddressAgain: a server with an emptied disk takes the place of the one
// that was at its address.
func TestAddressAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := ledger{became: make(map[string]error)}
	l.fill(t, c.servers[0].log, 5)
	leader := c.awaitLeader()
	emptied := c.except(leader)[0]
	emptied.stop()
	emptied.disk()
	emptied.start()
	if is, lost := emptied.belongs(t, leader.address); is || !lost {
		t.Errorf("a server with an emptied disk: is a member %v, has lost its log %v", is, lost)
	}
	emptied.join(t, leader)
	if is, lost := emptied.belongs(t); !is || lost {
		t.Errorf("it has joined: is a member %v, has lost its log %v", is, lost)
	}
	eventually(t, "there are three members", func() bool { return len(c.awaitLeader().log.Status().Members) == 3 })
	l.fill(t, emptied.log, 5)
	c.settle()
	l.check(t, c.wantEqual())
}

// TestStaged: a received state that cannot be used at once takes effect at the
// next start, also after a power cut. The leader sends it once.
func TestStaged(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		c := newCluster(t, 1, Options{trailing: 1})
		l := ledger{became: make(map[string]error)}
		first := c.servers[0]
		l.fill(t, first.log, 50)
		snapshot(t, first)
		second := c.add()
		second.machine.staged = true
		c.lead(func(l *Log) error { return l.Add(second.id, second.address, false) })
		<-second.again
		if cut {
			second.kill(rand.New(rand.NewPCG(1, 1)))
			second.start()
		} else {
			second.restart()
		}
		l.fill(t, second.log, 5)
		c.settle()
		if n := first.machine.sent.Load(); n != 1 && !cut {
			t.Errorf("the state was sent %d times", n)
		}
		l.check(t, c.wantEqual())
	}
}

// TestBeginWithState: the state of a server that stood alone becomes that of a
// cluster.
func TestBeginWithState(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, Options{})
	l := ledger{became: make(map[string]error)}
	first := c.servers[0]
	l.fill(t, first.log, 20)
	first.stop()
	if err := first.fs.RemoveAll(logDir); err != nil {
		t.Fatal(err)
	}
	first.start()
	if err := first.log.Join(t.Context(), nil, 0); !errors.Is(err, ErrOccupied) {
		t.Errorf("a server with data joins: got %v", err)
	}
	if err := first.log.Bootstrap(); !errors.Is(err, ErrRestart) {
		t.Fatal(err)
	}
	first.restart()
	l.fill(t, first.log, 5)
	c.add().join(t, first)
	l.fill(t, c.servers[1].log, 5)
	c.settle()
	l.check(t, c.wantEqual())
}

// TestRecover: the only server that is left goes on, with everything that it
// has.
func TestRecover(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := ledger{became: make(map[string]error)}
	l.fill(t, c.servers[0].log, 20)
	left := c.servers[1]
	if err := left.log.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.servers[0].stop()
	c.servers[2].stop()
	c.servers = []*server{left}
	for errors.Is(left.log.Recover(), errLeading) {
		_ = left.log.await(left.log.leaders.next(), nil) // it leads for the time of its lease
	}
	left.restart()
	l.fill(t, left.log, 5)
	c.add().join(t, left)
	l.fill(t, c.servers[1].log, 5)
	c.settle()
	l.check(t, c.wantEqual())
}

// TestAhead: a leader that lacks what a server has applied cannot tell it to
// leave, and thereby to remove its data. It leads another cluster, or one that
// was recovered from older data.
func TestAhead(t *testing.T) {
	t.Parallel()
	c, other := newCluster(t, 2, Options{}), newCluster(t, 1, Options{})
	l := ledger{became: make(map[string]error)}
	const address = "127.0.0.1:99" // of the other cluster, for this one
	leader, stranger := c.awaitLeader(), other.awaitLeader()
	c.mu.Lock()
	c.at[address] = other.at[stranger.address]
	c.mu.Unlock()
	l.fill(t, leader.log, 20)
	left := c.except(leader)[0]
	left.machine.await(leader.machine.Applied())
	leader.stop()
	eventually(t, "the leader is lost", func() bool { return left.log.Status().Leader == "" })
	if is, _, err := left.log.Belongs(t.Context(), []string{address}); is || !errors.Is(err, ErrAhead) {
		t.Errorf("it belongs: %v, %v", is, err)
	}
	var more ledger
	more.became = make(map[string]error)
	more.fill(t, stranger.log, 30)
	if is, _, err := left.log.Belongs(t.Context(), []string{address}); is || err != nil {
		t.Errorf("it belongs: %v, %v", is, err)
	}
	c.servers = []*server{left}
}

// TestLostBy: a server that has lost its log learns from any of the others that
// it was a member, although another one does not answer.
func TestLostBy(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 5, Options{})
	leader := c.awaitLeader()
	silent, empty := c.except(leader)[0], c.except(leader)[1]
	empty.stop()
	empty.disk()
	empty.start()
	c.silence(silent, true)
	defer c.silence(silent, false)
	if empty.log.LostBy(t.Context(), []string{silent.address}) {
		t.Error("a server that does not answer says that it was a member")
	}
	eventually(t, "it learns that it was a member", func() bool { // while a server leads
		return empty.log.LostBy(t.Context(), []string{silent.address, leader.address})
	})
}

// TestWhileOpen: a question does not hold up the end of a server.
func TestWhileOpen(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	leader := c.awaitLeader()
	silent := c.except(leader)[0]
	c.silence(silent, true)
	defer c.silence(silent, false)
	log := leader.log
	ctx, cancel := log.whileOpen()
	defer cancel()
	asked := make(chan error, 1)
	go func() {
		_, err := log.askAt(ctx, change{Do: "standing"}, silent.address)
		asked <- err
	}()
	began := time.Now()
	leader.stop()
	if err := <-asked; err == nil || ctx.Err() == nil || time.Since(began) > changeTime*2/3 {
		t.Errorf("after %v: got %v, %v", time.Since(began), err, ctx.Err())
	}
}

// awaitMembers waits until all servers know how many members there are. The
// library has a server give no vote to one that it does not know. So if only
// the leader and the newest member have the entry that made it one, and the
// leader is cut off, no other server can lead.
func (c *cluster) awaitMembers(n int) {
	c.t.Helper()
	for _, s := range c.servers {
		eventually(c.t, "all servers know the members", func() bool {
			return len(s.log.raft.GetConfiguration().Configuration().Servers) == n
		})
	}
}

package raft

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"trackway/internal/log/raft/logstore"
	"trackway/internal/log/raft/peer"
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
			others := c.except(victim)
			switch random.IntN(3) {
			case 0:
				others = others[:1] // each of two reaches the third
				c.sever(victim, true, others...)
			case 1:
				c.oneWay(victim, others...)
			default:
				c.sever(victim, true, others...)
			}
			l.await(5)
			c.sever(victim, false, others...)
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

// TestStopOfLeader: if the leader is stopped in order, another server leads
// when it has stopped, even after restarts of the others.
func TestStopOfLeader(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{Heartbeat: 2 * time.Second})
	l := ledger{became: make(map[string]error)}
	leaderless := 0
	for range 3 {
		leader := c.awaitLeader()
		for _, s := range c.servers {
			l.fill(t, s.log, 2)
		}
		leader.stop()
		if c.leader() == nil {
			leaderless++
		}
		leader.start()
	}
	if leaderless > 1 { // once, the machine may have been too busy
		t.Errorf("no server led after %d of three stops", leaderless)
	}
	c.settle()
	l.check(t, c.wantEqual())
}

// TestSlowFollower: a server whose machine stands still does not hold up the
// others, and catches up.
func TestSlowFollower(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{Heartbeat: 3 * time.Second}) // the slow one must not lead
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	l.fill(t, leader.log, 5)
	slow := c.except(leader)[0]
	slow.machine.mu.Lock() // it applies nothing
	l.fill(t, leader.log, 300)
	snapshot(t, c.except(slow)...)
	slow.machine.mu.Unlock()
	c.settle()
	l.check(t, c.wantEqual())
}

// TestDamagedLog: a server whose log is damaged does not start. A new one takes
// its place.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{trailing: 10})
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	l.fill(t, leader.log, 50)
	damaged := c.except(leader)[0]
	damaged.kill(rand.New(rand.NewPCG(1, 1)))
	dir := damaged.fs.PathJoin(logDir, "log")
	names, err := damaged.fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	newest := ""
	for _, name := range names {
		if strings.HasSuffix(name, ".seg") && name > newest {
			newest = name
		}
	}
	flip(t, damaged.fs, damaged.fs.PathJoin(dir, newest))
	network := listen(t, peer.Options{})
	if _, err := Open(damaged.machine, Options{FS: damaged.fs, Dir: logDir, Network: network}); !errors.Is(err, logstore.ErrDamaged) {
		t.Fatalf("got %v, want %v", err, logstore.ErrDamaged)
	}
	c.servers = c.except(damaged)
	leader = c.awaitLeader()
	l.fill(t, leader.log, 50)
	snapshot(t, c.servers...)
	c.lead(func(l *Log) error { return l.Remove(damaged.id) })
	fresh := c.add()
	c.lead(func(l *Log) error { return l.Add(fresh.id, fresh.address, true) })
	l.fill(t, fresh.log, 5)
	c.settle()
	l.check(t, c.wantEqual())
}

// TestEmptiedDisk: a server whose disk was emptied is not taken for the one
// that had its address. It would have forgotten what that one has promised.
func TestEmptiedDisk(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	others := c.except(leader)
	l.fill(t, leader.log, 10)
	c.sever(others[0], true, c.except(others[0])...) // the entries that follow are on two servers
	l.fill(t, leader.log, 10)
	others[1].stop()
	others[1].disk()
	others[1].start()
	leader.kill(rand.New(rand.NewPCG(1, 1)))
	c.sever(others[0], false, c.except(others[0])...)
	// Now one of three is there, and an empty one in the place of another.
	others[0].log.o.patience = 3 * others[0].log.o.Heartbeat
	if err := others[0].log.Append(t.Context(), visit("never")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want %v", err, ErrUnavailable)
	}
	if n := others[1].machine.Applied(); n > 0 {
		t.Errorf("the empty server has applied %d entries", n)
	}
	others[0].log.o.patience = c.o.patience
	others[1].stop()
	leader.start()
	c.servers = c.except(others[1])
	l.fill(t, others[0].log, 5)
	c.settle()
	l.check(t, c.wantEqual())
}

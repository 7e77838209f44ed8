package raft

import (
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"trackway/internal/entry"
	"trackway/internal/log/compare"
	"trackway/internal/log/raft/peer"
	"trackway/internal/store/digest/digesttest"
)

// watchful are options with which servers look after themselves and compare
// their states often.
var watchful = Options{
	lookEach: 20 * time.Millisecond, askEach: 100 * time.Millisecond, digests: compare.Pace{Entries: 20, Time: 300 * time.Millisecond, Least: 50 * time.Millisecond},
	Reserve: 1 << 30, MaxSkew: 10 * time.Second,
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("it never was so: ", what)
		}
	}
}

// awaitCompared waits until a server has compared its state with others, as of
// now.
func awaitCompared(t *testing.T, s *server) {
	t.Helper()
	after := s.log.Status().Applied
	eventually(t, "states were compared", func() bool { return s.log.Compared().Last > after })
}

// TestEqualStates: servers that have the same state compare it and go on, after
// restarts, lost power, snapshots and states that were transferred.
func TestEqualStates(t *testing.T) {
	t.Parallel()
	o := watchful
	o.snapshotAfter, o.trailing = 40, 20
	c := newCluster(t, 3, o)
	l := c.write(2)
	for round := range 3 {
		l.await(30)
		victim := c.except(c.awaitLeader())[round%2]
		if round%2 == 0 {
			victim.stop()
		} else {
			victim.kill(rand.New(rand.NewPCG(uint64(round), 0)))
		}
		l.await(100) // it gets the state of another server
		snapshot(t, c.except(victim)...)
		victim.start()
		l.await(10)
		awaitCompared(t, victim)
	}
	l.end()
	for _, s := range c.servers {
		awaitCompared(t, s)
		if got := s.log.Compared(); got.Differing != 0 || s.differs.Load() {
			t.Errorf("%s: got %+v", s.address, got)
		}
	}
	c.settle()
	l.check(t, c.wantEqual())
}

// TestMistakenServer: a server that applies an entry in another way ends, even
// if it leads. The others go on.
func TestMistakenServer(t *testing.T) {
	t.Parallel()
	for name, choose := range map[string]func(c *cluster) *server{
		"the leader": (*cluster).awaitLeader,
		"a follower": func(c *cluster) *server { return c.except(c.awaitLeader())[0] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3, watchful)
			for _, s := range c.servers {
				awaitCompared(t, s)
			}
			mistaken := choose(c)
			mistaken.machine.setTwist(func(e entry.Entry) {
				once, _ := e.(*entry.Once)
				if commands, ok := once.Entry.(*entry.Commands); ok {
					commands.Requests[0].Commands[0].Time++
				}
			})
			if err := c.except(mistaken)[0].log.Append(t.Context(), visit("a0")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it ended", mistaken.differs.Load)
			c.wantRefused(mistaken)
			for _, s := range c.except(mistaken) {
				eventually(t, "the others know", func() bool { return s.log.Compared().Differing == 1 })
				if err := s.log.Append(t.Context(), visit("a1")); err != nil {
					t.Error(err)
				}
				if s.differs.Load() {
					t.Errorf("%s ended, too", s.address)
				}
			}
		})
	}
}

// wantRefused checks that a server that has ended does not start again.
func (c *cluster) wantRefused(s *server) {
	c.t.Helper()
	s.stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	network, err := peer.New(l, peer.Options{Advertise: s.address})
	if err != nil {
		c.t.Fatal(err)
	}
	m, err := openStore(s.fs)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = m.s.Close() }()
	if _, err := Open(m, Options{FS: s.fs, Dir: logDir, Network: network}); !errors.Is(err, compare.ErrDiffers) || !strings.Contains(err.Error(), "trackway cluster join") {
		c.t.Errorf("it is started again: got %v", err)
	}
}

// TestAlteredState: a server whose files were changed while it was down ends,
// and a new one takes its place.
func TestAlteredState(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, watchful)
	if err := c.servers[0].log.Append(t.Context(), visit("a0")); err != nil {
		t.Fatal(err)
	}
	altered := c.except(c.awaitLeader())[1]
	altered.machine.await(c.servers[0].log.Position())
	altered.stop()
	digesttest.Alter(t, altered.fs, stateDir)
	altered.start()
	eventually(t, "it ended", altered.differs.Load)
	c.wantRefused(altered)
	altered.disk()
	altered.differs.Store(false)
	altered.start()
	c.lead(func(l *Log) error {
		return l.admit(change{ID: altered.id, Address: altered.address, Entries: reads})
	})
	eventually(t, "it is compared again", func() bool {
		return altered.log.Compared().Last > 0 && altered.log.Compared().Differing == 0
	})
	if altered.differs.Load() {
		t.Error("it ended again")
	}
}

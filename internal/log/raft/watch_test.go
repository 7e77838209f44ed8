package raft

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/entry"
)

// wantUnfit waits until a server takes no commands, and says why.
func wantUnfit(t *testing.T, s *server, why string) {
	t.Helper()
	eventually(t, "it takes no commands", func() bool { return s.log.Unfit() != nil })
	err := s.log.Append(t.Context(), visit("a0"))
	refused, ok := errors.AsType[*trackway.Error](err)
	if !ok || refused.Code != trackway.Overloaded || !strings.Contains(refused.Msg, why) {
		t.Errorf("got %v, want %q", err, why)
	}
}

// TestReserve: a server whose disk is nearly full hands leadership over and
// takes no entries, and the others go on, with an election, too. It comes back
// once there is more room than the reserve, and gets what it lacks.
func TestReserve(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, watchful)
	l := ledger{became: make(map[string]error)}
	full := c.awaitLeader()
	for _, s := range c.servers {
		if err := s.log.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	full.free.Store(1<<30 - 1)
	wantUnfit(t, full, "1023 MiB free, and the reserve is 1024 MiB (cluster.reserve)")
	others := c.except(full)
	eventually(t, "another server leads", func() bool {
		leader := c.leader()
		return leader != nil && leader != full
	})
	for _, s := range others {
		l.fill(t, s.log, 20)
	}
	last := full.log.Status().Last
	for _, s := range others {
		l.fill(t, s.log, 20)
	}
	eventually(t, "it hears the leader", func() bool {
		got := full.log.Status()
		return got.LastContact <= time.Second && got.Member() != nil && got.Member().Unfit != ""
	})
	if got := full.log.Status().Last; got != last {
		t.Errorf("a full server has entry %d, want none after %d", got, last)
	}
	eventually(t, "the others know", func() bool {
		s := others[0].log.Status()
		for _, m := range s.Members {
			if m.ID == full.id {
				return m.Unfit != ""
			}
		}
		return false
	})
	full.free.Store(1 << 30) // not enough to come back
	if full.log.Look(t.Context()) == nil {
		t.Error("it came back at once")
	}
	full.free.Store(2 << 30)
	eventually(t, "it takes commands again", func() bool { return full.log.Unfit() == nil })
	c.settle()
	l.check(t, c.wantEqual())
}

// TestReserveOfTwo: if two of three disks are nearly full, nothing is stored,
// and the servers say so.
func TestReserveOfTwo(t *testing.T) {
	t.Parallel()
	o := watchful
	o.patience = 5 * time.Second
	c := newCluster(t, 3, o)
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	l.fill(t, leader.log, 5)
	others := c.except(leader)
	for _, s := range others {
		s.free.Store(1)
		wantUnfit(t, s, "MiB free")
	}
	if err := leader.log.Append(t.Context(), visit("b0")); !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
	for _, s := range others {
		s.free.Store(0)
		eventually(t, "it takes commands again", func() bool { return s.log.Unfit() == nil })
	}
	l.fill(t, leader.log, 5)
}

// TestClock: a server whose clock is wrong hands leadership over and takes no
// commands, and the others go on.
func TestClock(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, watchful)
	l := ledger{became: make(map[string]error)}
	wrong := c.awaitLeader()
	wrong.ahead.Store(int64(time.Minute))
	wantUnfit(t, wrong, "ahead of those of most others (at most 10s: cluster.max_clock_skew)")
	eventually(t, "another server leads", func() bool {
		leader := c.leader()
		return leader != nil && leader != wrong
	})
	for _, s := range c.except(wrong) {
		l.fill(t, s.log, 10)
		eventually(t, "it sees how far the clocks are off", func() bool { // an answer that comes late says little
			if err := s.log.Look(t.Context()); err != nil {
				t.Error(err)
			}
			return !slices.ContainsFunc(s.log.Status().Members, func(m Member) bool {
				want := map[bool]time.Duration{true: time.Minute}[m.ID == wrong.id]
				return m.Offset.Round(time.Second) != want
			})
		})
	}
	wrong.ahead.Store(0)
	eventually(t, "it takes commands again", func() bool { return wrong.log.Unfit() == nil })
	l.fill(t, wrong.log, 10)
	c.settle()
	l.check(t, c.wantEqual())
}

func TestSkewOf(t *testing.T) {
	t.Parallel()
	const s = time.Second
	at := func(offset, margin time.Duration) other { return other{offset: offset, margin: margin} }
	for name, c := range map[string]struct {
		members   int
		answered  []other
		by        time.Duration
		agreement int
	}{
		"right":                       {3, []other{at(s, 0), at(-2*s, 0)}, 0, 3},
		"behind":                      {3, []other{at(30*s, 0), at(31*s, 0)}, 30 * s, 1},
		"ahead":                       {3, []other{at(-30*s, 0), at(-31*s, 0)}, -30 * s, 1},
		"one other is wrong":          {3, []other{at(30*s, 0), at(0, 0)}, 0, 2},
		"between two":                 {3, []other{at(30*s, 0), at(-30*s, 0)}, 0, 1},
		"one is down":                 {3, []other{at(30*s, 0)}, 0, 1},
		"two members":                 {2, []other{at(30*s, 0)}, 0, 1},
		"alone":                       {1, nil, 0, 1},
		"most of five":                {5, []other{at(30*s, 0), at(31*s, 0), at(32*s, 0), at(0, 0)}, 30 * s, 2},
		"two of five":                 {5, []other{at(30*s, 0), at(31*s, 0), at(0, 0), at(0, 0)}, 0, 3},
		"a slow network may be wrong": {3, []other{at(11*s, 2*s), at(11*s, 2*s)}, 0, 3},
	} {
		if by, agree := skewOf(c.answered, c.members, 10*s); by != c.by || agree != c.agreement {
			t.Errorf("%s: got %v and %d, want %v and %d", name, by, agree, c.by, c.agreement)
		}
	}
}

// TestBehind: a server whose machine stands still knows that it is behind, and
// knows when it no longer is.
func TestBehind(t *testing.T) {
	t.Parallel()
	o := watchful
	o.Heartbeat = 3 * time.Second
	c := newCluster(t, 3, o)
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	slow := c.except(leader)[0]
	goOn := make(chan struct{})
	slow.machine.setTwist(func(entry.Entry) { <-goOn })
	l.fill(t, leader.log, 5)
	eventually(t, "it is behind", slow.log.Behind)
	if leader.log.Behind() {
		t.Error("the leader is behind")
	}
	close(goOn)
	eventually(t, "it has what the others have", func() bool { return !slow.log.Behind() })
	c.settle()
	l.check(t, c.wantEqual())
}

// TestJoinAtTakenAddress: a server that says it is at the address of a member
// does not take its place while the member answers there.
func TestJoinAtTakenAddress(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, watchful)
	leader := c.awaitLeader()
	for _, s := range c.servers {
		err := leader.log.admit(change{ID: strings.Repeat("0", 32), Address: s.address, Entries: reads})
		if err == nil || !strings.Contains(err.Error(), "cluster.advertise") {
			t.Errorf("%s: got %v", s.address, err)
		}
	}
	if got := leader.log.Status().Members; len(got) != 3 {
		t.Errorf("members: got %v", got)
	}
}

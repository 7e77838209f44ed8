package member

import (
	"context"
	"errors"
	"testing"
	"time"

	"trackway/internal/config/membership"
	"trackway/internal/datadir/held"
	"trackway/internal/log/raft"
	"trackway/internal/log/raft/peer"
)

// fakeLog is a log of which only the status is known.
type fakeLog struct {
	sharedLog

	status raft.Status
	behind bool
	lacks  bool // something that this server has acknowledged
	waited bool // for that
}

func (f *fakeLog) Status() raft.Status { return f.status }
func (*fakeLog) Unfit() error          { return nil }

func (*fakeLog) Look(context.Context) error    { return nil }
func (*fakeLog) CatchUp(context.Context) error { return nil }
func (*fakeLog) Bootstrap() error              { return errBegun }

func (f *fakeLog) Behind() bool { return f.behind }
func (f *fakeLog) HasOwn() bool { return !f.lacks }

func (f *fakeLog) Leader() (peer.Target, bool) { return peer.Target{}, f.status.Leader != "" }

func (f *fakeLog) Reach(context.Context, uint64) bool {
	f.waited = true
	return false
}

// TestReady: a server goes on if some partitions have no leader, but not if
// none has one, nor if it lacks something itself.
func TestReady(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		of   string // of each partition: leads, has no leader, is behind, starts without a leader, has no members
		want error
	}{
		{"all is well", "lll", nil},
		{"one has no leader", "lnl", nil},
		{"none has a leader", "nnn", errNoLeader},
		{"one partition without a leader", "n", errNoLeader},
		{"it is behind", "lnb", errBehind},
		{"it has just started", "lsl", errNoLeader},
		{"it has not joined", "llm", errNoMember},
	} {
		m := &Member{o: Options{Partitions: len(test.of)}}
		m.o.Cluster.Log = membership.Raft
		for i, is := range test.of {
			log := &fakeLog{status: raft.Status{ID: "a", Leader: "a:1", Members: []raft.Member{{ID: "a"}}}, behind: is == 'b'}
			switch is {
			case 'n', 's':
				log.status.Leader = ""
			case 'm':
				log.status.Members = nil
			}
			p := &Part{Member: m, number: i}
			p.raft.set(log)
			p.caughtUp.Store(is != 's')
			m.parts = append(m.parts, p)
		}
		if got := m.Ready(); !errors.Is(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// TestAwaitOwn: readers of all partitions do not wait for one that has no
// leader. A server with one partition waits, as it has nothing else to do.
func TestAwaitOwn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		of   string // of each partition: has all, lacks something, has no leader
		want string // where the reader waits
	}{
		{"hhh", "..."},
		{"hlh", ".w."},
		{"hnl", "..w"},
		{"n", "w"},
	} {
		m, logs := &Member{}, make([]*fakeLog, len(test.of))
		m.o.Cluster.Log = membership.Raft
		for i, is := range test.of {
			logs[i] = &fakeLog{status: raft.Status{Leader: "a:1"}, lacks: is != 'h'}
			if is == 'n' {
				logs[i].status.Leader = ""
			}
			p := &Part{Member: m, number: i}
			p.raft.set(logs[i])
			m.parts = append(m.parts, p)
		}
		m.AwaitOwn(t.Context())
		var got []byte
		for _, log := range logs {
			got = append(got, map[bool]byte{true: 'w', false: '.'}[log.waited])
		}
		if string(got) != test.want {
			t.Errorf("%s: waited %s, want %s", test.of, got, test.want)
		}
	}
}

// TestCatchUp: a server catches up in all partitions, whatever keeps the log.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{membership.Raft, membership.OverKafka} {
		m := &Member{o: Options{Partitions: 3}}
		m.o.Cluster.Log, m.o.Cluster.Heartbeat = kind, time.Second
		for i := range m.o.Partitions {
			p := &Part{Member: m, number: i}
			p.raft.set(&fakeLog{status: raft.Status{ID: "a", Leader: "a:1", Members: []raft.Member{{ID: "a"}}}})
			m.parts = append(m.parts, p)
		}
		m.held = new(held.List)
		if err := m.CatchUp(t.Context()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for _, p := range m.parts {
			if !p.caughtUp.Load() {
				t.Errorf("%s: partition %d lacks something", kind, p.number)
			}
		}
	}
}

var errBegun = errors.New("a log was begun")

// TestInitAtMember: a member of a cluster with others begins no log of its own
// for a partition that they have. Alone, it goes on where it was interrupted.
func TestInitAtMember(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]error{"": errBegun, "a": errBegun, "ab": raft.ErrMember} {
		m := &Member{o: Options{Partitions: 2}}
		m.o.Cluster.Log = membership.Raft
		for i := range m.o.Partitions {
			log := &fakeLog{status: raft.Status{ID: "a"}}
			for _, id := range members {
				if i == 0 {
					log.status.Members = append(log.status.Members, raft.Member{ID: string(id)})
				}
			}
			p := &Part{Member: m, number: i}
			p.raft.set(log)
			m.parts = append(m.parts, p)
		}
		if err := m.Init(); !errors.Is(err, want) {
			t.Errorf("members %q: got %v, want %v", members, err, want)
		}
	}
}

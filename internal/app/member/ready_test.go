package member

import (
	"context"
	"errors"
	"testing"

	"trackway/internal/config/membership"
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
func (f *fakeLog) Behind() bool        { return f.behind }
func (f *fakeLog) HasOwn() bool        { return !f.lacks }

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

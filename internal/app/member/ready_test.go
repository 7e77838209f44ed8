package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
	abouts []json.RawMessage
	waited bool // for that
}

func (f *fakeLog) Abouts() []json.RawMessage { return f.abouts }

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

// TestReady: a server goes on if some partitions have no leader, or if it
// cannot serve some of those that others have, too. It says which they are.
func TestReady(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		// of each partition: leads, has no leader, is behind, starts without a
		// leader, has no members, is not served; a point after them: the server
		// serves the others
		of    string
		want  error
		text  string
		notes string
	}{
		{"all is well", "lll.", nil, "", ""},
		{"one has no leader", "lnl.", nil, "", "partition p01: no server leads the cluster"},
		{"none has a leader", "nnn.", errNoLeader, "no server leads the cluster", ""},
		{"one partition without a leader", "n.", errNoLeader, "no server leads the cluster", ""},
		{"it is behind in one", "lnb.", nil, "", "partition p02: this server does not have what the others have yet"},
		{"it is behind in the first", "bnb.", errBehind, "partition p00: this server does not have what the others have yet; partition p01: no server leads the cluster; " +
			"partition p02: this server does not have what the others have yet", ""},
		{"it does not serve one yet", "lal.", nil, "", "partition p01: other servers answer for this one: this server is not a member of the cluster yet"},
		{"it has just started", "lsl", errNoLeader, "partition p01: no server leads the cluster", ""},
		{"it has not joined", "llm", errNoMember, "partition p02: this server is not a member", ""},
	} {
		of, serving := strings.CutSuffix(test.of, ".")
		m := &Member{o: Options{Partitions: len(of)}}
		m.o.Cluster.Log = membership.Raft
		for i, is := range of {
			log := &fakeLog{status: raft.Status{ID: "a", Leader: "a:1", Members: []raft.Member{{ID: "a"}}}, behind: is == 'b'}
			switch is {
			case 'n', 's':
				log.status.Leader = ""
			case 'm', 'a':
				log.status.Members = nil
			}
			p := &Part{Member: m, number: i}
			p.raft.set(log)
			p.caughtUp.Store(is != 's')
			p.serves.Store(serving && is != 'a')
			m.parts = append(m.parts, p)
		}
		got := m.Ready()
		if !errors.Is(got, test.want) || (got == nil) != (test.want == nil) || got != nil && !strings.Contains(got.Error(), test.text) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
		if notes := fmt.Sprint(m.Notes()); !strings.Contains(notes, test.notes) || test.notes == "" && got == nil && notes != "[]" {
			t.Errorf("%s: got the notes %s, want %q", test.name, notes, test.notes)
		}
	}
}

// TestHolders: during an election, calls wait at a server that holds the
// partition, though another one has told that it leads: that may be the one
// that has failed. If the server cannot serve the partition, calls are passed
// on.
func TestHolders(t *testing.T) {
	t.Parallel()
	const project = 1<<24 + 1 // in the second partition
	for _, test := range []struct {
		name       string
		change     func(s *raft.Status)
		leaderless time.Duration
		here       bool
	}{
		{"it is led", func(*raft.Status) {}, 0, true},
		{"an election", func(s *raft.Status) { s.Leader = "" }, 9 * time.Second, true},
		{"no leader for long", func(s *raft.Status) { s.Leader = "" }, 11 * time.Second, false},
		{"it was removed", func(s *raft.Status) { s.Members = s.Members[:1] }, 0, false},
	} {
		m := &Member{o: Options{Partitions: 2}}
		m.o.Cluster.Log, m.o.Cluster.Heartbeat = membership.Raft, 2*time.Second
		for i := range m.o.Partitions {
			log := &fakeLog{status: raft.Status{ID: "a", Leader: "b:1", Members: []raft.Member{{ID: "b", Address: "b:1", Heard: true}, {ID: "a"}}}}
			log.abouts = []json.RawMessage{json.RawMessage(`{"claim": {"address": "b:1", "id": "b", "holds": [1], "leads": [1]}}`)}
			if i == 1 {
				test.change(&log.status)
			}
			p := &Part{Member: m, number: i}
			p.raft.set(log)
			p.caughtUp.Store(true)
			p.serves.Store(true)
			p.troubled.Store(p.inTrouble(test.leaderless))
			m.parts = append(m.parts, p)
		}
		if to, here := m.Holders(project); here != test.here || !here && len(to) != 1 {
			t.Errorf("%s: got %d others, here %v", test.name, len(to), here)
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
		m := &Member{o: Options{Partitions: 2}, held: new(held.List)}
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

package member

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"trackway/internal/log/raft/peer"
)

// electing is a log that has no leader for a while.
type electing struct {
	sharedLog

	until time.Time
}

func (*electing) Leader() (peer.Target, bool) { return peer.Target{}, false }
func (*electing) Self() peer.ID               { return peer.ID{} }

func (e *electing) Latest(context.Context) (uint64, error) {
	if time.Now().Before(e.until) {
		return 0, errors.New("no server leads the cluster")
	}
	return 7, nil
}

func (*electing) Reach(context.Context, uint64) bool { return true }

// TestLatest: what needs everything waits for an election, and not for ever.
func TestLatest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &Member{o: Options{Partitions: 1}}
		m.o.Cluster.Heartbeat = 2 * time.Second
		p := &Part{Member: m}
		m.parts = []*Part{p}
		for elects, sure := range map[time.Duration]bool{0: true, 6 * time.Second: true, time.Hour: false} {
			began := time.Now()
			p.raft.set(&electing{until: began.Add(elects)})
			err := m.Latest(t.Context(), 0)
			if took := time.Since(began); (err == nil) != sure || took > 15*time.Second {
				t.Errorf("an election of %v: got %v after %v", elects, err, took)
			}
		}
	})
}

// TestIndex: a reader may name positions of several partitions. Each partition
// takes its own, and refuses what no server of the cluster can have sent.
func TestIndex(t *testing.T) {
	t.Parallel()
	m := &Member{o: Options{Partitions: 3}, parts: make([]*Part, 3)}
	for i := range m.parts {
		m.parts[i] = &Part{Member: m, number: i}
		m.parts[i].serves.Store(true)
	}
	for at, want := range map[string][3]uint64{
		"0.7":                    {7, 0, 0},
		"2.18446744073709551615": {0, 0, 1<<64 - 1},
		"0.7,1.9":                {7, 9, 0},
		"1.9, 0.7, 1.12":         {7, 12, 0},
	} {
		for i, p := range m.parts {
			if got, err := p.index(at); got != want[i] || err != nil {
				t.Errorf("%q in partition %d: got %d, %v, want %d", at, i, got, err, want[i])
			}
		}
	}
	for _, at := range []string{"3.1", "0", "0.", ".1", "0.7,", "x", "0.7 1.9", "-1.2", "0.18446744073709551616", "256.1"} {
		if _, err := m.parts[0].index(at); err == nil {
			t.Errorf("%q: got no error", at)
		}
	}
	for number, want := range map[uint32]int{1: 0, 2<<24 | 1: 2} {
		if got := m.Of(number); got != m.parts[want] {
			t.Errorf("project %d: got %v", number, got)
		}
	}
	if m.Of(0) != nil || m.Of(9<<24|1) != nil {
		t.Error("no project: got a partition")
	}
}

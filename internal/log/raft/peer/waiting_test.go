package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

// TestAway: messages to a server that cannot be reached wait for it, while they
// are wanted. Heartbeats do not wait.
func TestAway(t *testing.T) {
	t.Parallel()
	n := &names{at: make(map[string]string)}
	a, b := n.start(t, "", nil), n.start(t, "", nil)
	var away atomic.Bool
	tried := make(chan struct{})
	connect := a.o.Connect
	a.o.Connect = func(ctx context.Context, address string) (net.Conn, error) {
		select {
		case tried <- struct{}{}:
		default:
		}
		if away.Load() {
			return nil, errors.New("it is away")
		}
		return connect(ctx, address)
	}
	quiet := hclog.NewNullLogger()
	from, to := a.Transport(0, ID{1}, 10*time.Second, quiet), b.Transport(0, ID{2}, 10*time.Second, quiet)
	defer func() { _ = errors.Join(from.Close(), to.Close()) }()
	var wanted atomic.Bool
	from.Await(func(id hraft.ServerID, term uint64) bool { return id == "b" && term == 3 && wanted.Load() }, nil)
	send := func(previous uint64) error {
		return from.AppendEntries("b", to.LocalAddr(), &hraft.AppendEntriesRequest{Term: 3, PrevLogEntry: previous}, new(hraft.AppendEntriesResponse))
	}
	away.Store(true)
	if err := send(1); err == nil {
		t.Error("a message that is not wanted has reached a server that is away")
	}
	wanted.Store(true)
	if err := send(0); err == nil {
		t.Error("a heartbeat has reached a server that is away")
	}
	for _, returns := range []bool{false, true} {
		sent := make(chan error, 1)
		go func() { sent <- send(1) }()
		for range 3 {
			<-tried
		}
		if !returns {
			wanted.Store(false)
			if err := <-sent; err == nil {
				t.Error("a message that is not wanted any more has reached a server that is away")
			}
			wanted.Store(true)
			continue
		}
		away.Store(false)
		rpc := <-to.Consumer()
		rpc.Respond(new(hraft.AppendEntriesResponse), nil)
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

// TestRefuses: entries for a server that refuses them wait until it says that
// it takes them again, and a snapshot that has failed is closed meanwhile.
func TestRefuses(t *testing.T) {
	t.Parallel()
	n := &names{at: make(map[string]string)}
	a, b := n.start(t, "", nil), n.start(t, "", nil)
	quiet := hclog.NewNullLogger()
	from, to := a.Transport(0, ID{1}, 10*time.Second, quiet), b.Transport(0, ID{2}, 10*time.Second, quiet)
	defer func() { _ = errors.Join(from.Close(), to.Close()) }()
	var wanted, ready atomic.Bool
	asked := make(chan struct{}, 100)
	from.Await(func(hraft.ServerID, uint64) bool { return wanted.Load() }, func(hraft.ServerID, hraft.ServerAddress) bool {
		asked <- struct{}{}
		return ready.Load()
	})
	entries := &hraft.AppendEntriesRequest{Term: 3, PrevLogEntry: 1, Entries: []*hraft.Log{{Index: 2}}}
	send := func() error {
		return from.AppendEntries("b", to.LocalAddr(), entries, new(hraft.AppendEntriesResponse))
	}
	to.Refuse(true)
	if err := send(); err == nil || err.Error() != errRefuses.Error() {
		t.Errorf("entries that are not wanted: got %v", err)
	}
	wanted.Store(true)
	sent := make(chan error, 1)
	go func() { sent <- send() }()
	<-asked
	to.Refuse(false)
	<-asked
	select {
	case err := <-sent:
		t.Fatalf("it was not ready, and got the entries: %v", err)
	default:
	}
	ready.Store(true)
	rpc := <-to.Consumer()
	rpc.Respond(new(hraft.AppendEntriesResponse), nil)
	if err := <-sent; err != nil {
		t.Error(err)
	}

	to.Refuse(true)
	ready.Store(false)
	data := &closed{Reader: strings.NewReader("state"), done: make(chan struct{})}
	go func() {
		args := &hraft.InstallSnapshotRequest{Term: 3, Size: 5}
		sent <- from.InstallSnapshot("b", to.LocalAddr(), args, new(hraft.InstallSnapshotResponse), data)
	}()
	<-data.done
	for len(asked) > 0 {
		<-asked
	}
	<-asked
	select {
	case err := <-sent:
		t.Fatalf("it was not ready, and the sender goes on: %v", err)
	default:
	}
	ready.Store(true)
	if err := <-sent; err == nil {
		t.Error("a snapshot was sent to a server that refuses it")
	}
}

// closed notes when it is closed.
type closed struct {
	io.Reader

	done chan struct{}
}

func (c *closed) Close() error {
	close(c.done)
	return nil
}

package peer

import (
	"context"
	"errors"
	"fmt"
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
	_, _, from, to := two(t)
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

// TestAbandon: the transfer of a snapshot ends when either server stops,
// although the other one goes on.
func TestAbandon(t *testing.T) {
	t.Parallel()
	for _, sender := range []bool{true, false} {
		t.Run(fmt.Sprint("the sender stops: ", sender), func(t *testing.T) {
			t.Parallel()
			abandon(t, sender)
		})
	}
}

func abandon(t *testing.T, sender bool) {
	t.Helper()
	n := &names{at: make(map[string]string)}
	a, b := n.start(t, "", nil), n.start(t, "", nil)
	quiet := hclog.NewNullLogger()
	from, to := a.Transport(0, ID{1}, time.Minute, quiet), b.Transport(0, ID{2}, time.Minute, quiet)
	defer func() { _ = errors.Join(from.Close(), to.Close()) }()
	stops := to
	if sender {
		stops = from
	}
	sent := make(chan error, 1)
	data := &slow{took: make(chan struct{})}
	send := func() {
		args := &hraft.InstallSnapshotRequest{Size: 1 << 40}
		sent <- from.InstallSnapshot("b", to.LocalAddr(), args, new(hraft.InstallSnapshotResponse), data)
	}
	go send()
	rpc := <-to.Consumer()
	received := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, rpc.Reader)
		received <- err
	}()
	for range 100 { // it is on its way
		<-data.took
	}
	go func() {
		for {
			select {
			case <-data.took:
			case <-t.Context().Done():
				return
			}
		}
	}()
	stops.Abandon()
	for _, ended := range []chan error{sent, received} {
		select {
		case err := <-ended:
			if err == nil && ended == sent {
				t.Error("a snapshot without an end was sent")
			}
		case <-time.After(stall / 2):
			t.Fatal("the transfer goes on")
		}
	}
	go send() // the library may try again
	select {
	case err := <-sent:
		if err == nil {
			t.Error("another snapshot without an end was sent")
		}
	case <-time.After(stall / 2):
		t.Fatal("another transfer has begun")
	}
}

// slow is data without an end.
type slow struct{ took chan struct{} }

func (s *slow) Read(b []byte) (int, error) {
	s.took <- struct{}{}
	return len(b), nil
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

package peer

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

// TestEndedConnections: messages to a server that ends connections, because it
// is starting or stopping, wait until it answers. The library would pause for
// seconds after them. An answer that says no is passed on.
func TestEndedConnections(t *testing.T) {
	t.Parallel()
	n := &names{at: make(map[string]string)}
	a, b := n.start(t, "", nil), n.start(t, "", nil)
	quiet := hclog.NewNullLogger()
	from := a.Transport(0, ID{1}, 10*time.Second, quiet)
	defer func() { _ = from.Close() }()
	from.Await(func(hraft.ServerID, uint64) bool { return true }, nil)
	target := hraft.ServerAddress(Target{b.Advertise(), ID{2}}.String())
	ended := make(chan struct{})
	b.Handle(Raft, 0, ID{2}, func(net.Conn) { ended <- struct{}{} })
	send := func(previous uint64) error {
		return from.AppendEntries("b", target, &hraft.AppendEntriesRequest{Term: 3, PrevLogEntry: previous}, new(hraft.AppendEntriesResponse))
	}
	sent := make(chan error, 1)
	go func() { sent <- send(1) }()
	for range 3 {
		select {
		case <-ended:
		case err := <-sent:
			t.Fatalf("the message has not waited: %T %[1]v", err)
		}
	}
	go func() { <-ended }()
	if err := send(0); err == nil {
		t.Error("a heartbeat has got an answer")
	}
	go func() { // the message may have come once more
		for {
			select {
			case <-ended:
			case <-t.Context().Done():
				return
			}
		}
	}()
	to := b.Transport(0, ID{2}, 10*time.Second, quiet)
	defer func() { _ = to.Close() }()
	rpc := <-to.Consumer()
	rpc.Respond(new(hraft.AppendEntriesResponse), nil)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	go func() { sent <- send(1) }()
	rpc = <-to.Consumer()
	rpc.Respond(nil, errors.New("no"))
	if err := <-sent; err == nil || err.Error() != "no" {
		t.Errorf("got %v", err)
	}
}

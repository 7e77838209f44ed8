package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

// stall is how long the transfer of a snapshot may make no progress.
const stall = 30 * time.Second

// Transport carries the messages of one partition's Raft. Snapshots have
// connections of their own kind, and a server takes one at a time.
type Transport struct {
	*hraft.NetworkTransport

	snapshots *hraft.NetworkTransport // sends them
	messages  chan hraft.RPC          // that have arrived
	refuses   atomic.Bool
	receives  sync.Mutex // held while there is a connection with a snapshot for this server
	awaits    atomic.Pointer[awaits]
	matched   matched
	closed    <-chan struct{}
	abandon   func()
}

// Abandon ends the transfers of snapshots from and to this server, for good. It
// is for a server that stops: the library waits for them, and they may take as
// long as there is data.
func (t *Transport) Abandon() { t.abandon() }

// Refuse has this server refuse all entries and snapshots, or take them again.
// Heartbeats and questions for votes are answered all the same, so the leader
// counts it as present, and tries again later.
func (t *Transport) Refuse(refuse bool) { t.refuses.Store(refuse) }

// Consumer implements [hraft.Transport].
func (t *Transport) Consumer() <-chan hraft.RPC { return t.messages }

var errRefuses = errors.New("this server takes no entries at the moment")

// pass passes on what arrives, except for what this server refuses.
func (t *Transport) pass(closed <-chan struct{}) {
	for {
		var rpc hraft.RPC
		select {
		case rpc = <-t.NetworkTransport.Consumer():
		case <-closed:
			return
		}
		if entries, ok := rpc.Command.(*hraft.AppendEntriesRequest); ok && t.refuses.Load() && len(entries.Entries) > 0 {
			rpc.Respond(nil, errRefuses)
			continue
		}
		select {
		case t.messages <- rpc:
		case <-closed:
			return
		}
	}
}

// Transport returns the transport of a partition, for this server's id in it. A
// message may take as long as timeout. The library's addresses are [Target]s.
// The transport ends with Close, or with the network.
func (n *Network) Transport(partition byte, id ID, timeout time.Duration, log hclog.Logger) *Transport {
	at := Target{n.o.Advertise, id}
	in := &stream{network: n, at: at, kind: Raft, partition: partition, accepted: make(chan net.Conn), closed: make(chan struct{})}
	out := &stream{network: n, at: at, kind: Snapshot, partition: partition, closed: make(chan struct{})}
	n.Handle(Raft, partition, id, in.take)
	transfers, abandon := context.WithCancel(context.Background())
	out.abandoned = func(end func()) (forget func() bool) { return context.AfterFunc(transfers, end) }
	t := &Transport{messages: make(chan hraft.RPC), closed: in.closed, abandon: abandon, matched: matched{of: make(map[hraft.ServerID]match)}}
	n.Handle(Snapshot, partition, id, func(conn net.Conn) {
		if t.refuses.Load() || !t.receives.TryLock() {
			return // the sender tries again later
		}
		defer t.receives.Unlock()
		defer out.abandoned(func() { _ = conn.Close() })()
		in.take(&receiving{conn})
	})
	const pooled = 3
	of := func(s *stream) *hraft.NetworkTransport {
		return hraft.NewNetworkTransportWithConfig(&hraft.NetworkTransportConfig{
			Stream: s, MaxPool: pooled, Timeout: timeout, Logger: log, MsgpackUseNewTimeFormat: true,
		})
	}
	t.NetworkTransport, t.snapshots = of(in), of(out)
	go t.pass(in.closed)
	return t
}

// InstallSnapshot implements [hraft.Transport]. After a failure it closes data,
// because others may wait for it to end, and returns once the server answers
// and takes entries, see [Transport.Await]. Then the library sends another
// snapshot at once, and does not pause for up to 10 s.
func (t *Transport) InstallSnapshot(
	id hraft.ServerID, target hraft.ServerAddress, args *hraft.InstallSnapshotRequest, resp *hraft.InstallSnapshotResponse, data io.Reader,
) error {
	err := t.snapshots.InstallSnapshot(id, target, args, resp, data)
	if err == nil {
		return nil
	}
	if c, ok := data.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	t.awaitReady(id, target, args.Term)
	return err
}

// AwaitSender waits until the sender of a snapshot has its answer and closes
// the connection, or the connection ends in another way. A sender that has
// stopped costs as long as [stall].
func (t *Transport) AwaitSender() {
	t.receives.Lock()
	defer t.receives.Unlock()
}

// awaits says how long messages to a server wait.
type awaits struct {
	wanted func(id hraft.ServerID, term uint64) bool
	ready  func(id hraft.ServerID, target hraft.ServerAddress) bool
}

// Await has messages to a follower wait until the server answers and takes
// entries, as long as wanted says that this server still has entries for it in
// the term. A server that has refused entries is asked by ready whether it
// takes them again.
func (t *Transport) Await(wanted func(id hraft.ServerID, term uint64) bool, ready func(id hraft.ServerID, target hraft.ServerAddress) bool) {
	t.awaits.Store(&awaits{wanted, ready})
}

// retry is how long a message waits between two attempts to reach a server. If
// the server takes connections and ends them, because it is starting or
// stopping, or is another one by now, the message waits longer each time.
const (
	retry     = 100 * time.Millisecond
	mostRetry = time.Second
	asking    = 500 * time.Millisecond // between two questions whether it is ready
)

// awaitReady returns once a server is ready, or has no need to be in the term.
func (t *Transport) awaitReady(id hraft.ServerID, target hraft.ServerAddress, term uint64) {
	for t.rest(asking, id, term) {
		if t.awaits.Load().ready(id, target) {
			return
		}
	}
}

// rest waits a while. It returns false if the server has no need of entries in
// the term meanwhile.
func (t *Transport) rest(while time.Duration, id hraft.ServerID, term uint64) bool {
	for ; while > 0; while -= retry {
		if a := t.awaits.Load(); a == nil || !a.wanted(id, term) {
			return false
		}
		select {
		case <-time.After(min(while, retry)):
		case <-t.closed:
			return false
		}
	}
	return true
}

// AppendEntries implements [hraft.Transport]. A heartbeat fails if the server
// does not answer. Other messages wait, see [Transport.Await]. The library
// would pause after each failure, up to 10 s, and a server that has come back,
// or has room on its disk again, would have to wait for the end of the last
// pause. Meanwhile, nothing could be stored if the others need it.
func (t *Transport) AppendEntries(
	id hraft.ServerID, target hraft.ServerAddress, args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse,
) error {
	heartbeat := args.PrevLogEntry == 0 && args.LeaderCommitIndex == 0 && len(args.Entries) == 0
	for pause := retry; ; {
		err := t.NetworkTransport.AppendEntries(id, target, args, resp)
		switch {
		case err == nil:
			t.matched.note(id, args, resp)
			return nil
		case heartbeat:
			return err
		case unanswered(err):
			if !t.rest(pause, id, args.Term) {
				return err
			}
			if away := (*unreachable)(nil); !errors.As(err, &away) {
				pause = min(2*pause, mostRetry)
			}
		case err.Error() == errRefuses.Error(): // the library sends the text
			t.awaitReady(id, target, args.Term)
			if !t.rest(retry, id, args.Term) {
				return err
			}
		default:
			return err
		}
	}
}

// unanswered reports whether a message has got no answer. To send it again is
// safe. The library's decoder says in its own way why it could not read one.
func unanswered(err error) bool {
	if coded, is := err.(interface{ Cause() error }); is {
		err = coded.Cause()
	}
	away, broken := (*unreachable)(nil), net.Error(nil)
	return errors.As(err, &away) || errors.As(err, &broken) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// unreachable is the error of a server to which no connection can be made.
type unreachable struct{ error }

// Unwrap returns why.
func (u *unreachable) Unwrap() error { return u.error }

// AppendEntriesPipeline implements [hraft.Transport].
func (t *Transport) AppendEntriesPipeline(id hraft.ServerID, target hraft.ServerAddress) (hraft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	patient := &pipeline{AppendPipeline: p, repeat: repeatAfter, answers: make(chan hraft.AppendFuture), closed: make(chan struct{})}
	patient.note = func(answer hraft.AppendFuture) { t.matched.note(id, answer.Request(), answer.Response()) }
	go patient.run()
	return patient, nil
}

// pipeline keeps answers until they are read. The library stops reading after a
// refusal, before it stops sending. Its own pipeline blocks a sender whose
// answers nobody reads, for ever: the follower would get no entries any more,
// and the leader could not stop.
//
// It also leaves out most messages that say nothing new. The library sends one
// each few milliseconds, so that the follower learns soon what is committed.
// While nothing happens, both servers would spend a twentieth of a processor on
// that. The library's heartbeats, which have connections of their own, show
// that the servers are there. But they do not say what is committed. So a
// message is repeated after a while: if the follower was started again, that
// finds the connection broken, and the next one tells the follower.
type pipeline struct {
	hraft.AppendPipeline

	repeat time.Duration // after which a message is repeated

	// Only the sender uses these.
	told told      // what the last message has said
	sent time.Time // when

	note    func(hraft.AppendFuture) // notes an answer
	answers chan hraft.AppendFuture
	end     sync.Once
	closed  chan struct{}
}

// repeatAfter is how long a message that says nothing new is left out. For so
// much longer, a follower that was started again in a group with nothing to do
// does not know what is committed.
const repeatAfter = 100 * time.Millisecond

// told is what a message without entries says.
type told struct {
	term, commit, previous uint64
	any                    bool
}

// AppendEntries implements [hraft.AppendPipeline]. The future is nil if the
// message is left out.
func (p *pipeline) AppendEntries(args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) (hraft.AppendFuture, error) {
	now := told{args.Term, args.LeaderCommitIndex, args.PrevLogEntry, true}
	if len(args.Entries) == 0 && now == p.told && time.Since(p.sent) < p.repeat {
		return nil, nil // the library does not use it
	}
	p.told, p.sent = now, time.Now()
	return p.AppendPipeline.AppendEntries(args, resp)
}

// run passes answers on until Close is called. Few of them wait: the library
// soon notices that it does not read any more.
func (p *pipeline) run() {
	var waiting []hraft.AppendFuture
	for {
		var first hraft.AppendFuture
		var to chan<- hraft.AppendFuture // nil: nothing can be passed on
		if len(waiting) > 0 {
			first, to = waiting[0], p.answers
		}
		select {
		case answer := <-p.AppendPipeline.Consumer():
			p.note(answer)
			waiting = append(waiting, answer)
		case to <- first:
			waiting = waiting[1:]
		case <-p.closed:
			return
		}
	}
}

// Consumer implements [hraft.AppendPipeline].
func (p *pipeline) Consumer() <-chan hraft.AppendFuture { return p.answers }

// Close implements [hraft.AppendPipeline].
func (p *pipeline) Close() error {
	p.end.Do(func() { close(p.closed) })
	return p.AppendPipeline.Close()
}

// Close implements [hraft.WithClose].
func (t *Transport) Close() error {
	t.abandon()
	t.CloseStreams()
	t.snapshots.CloseStreams()
	_ = t.snapshots.Close() // neither returns an error
	return t.NetworkTransport.Close()
}

// stream is a [hraft.StreamLayer]: the connections of one kind.
type stream struct {
	network   *Network
	at        Target // this server
	kind      Kind
	partition byte
	accepted  chan net.Conn // nil: none are accepted

	// abandoned has end called when snapshots are abandoned, see
	// [Transport.Abandon], unless forget is called before.
	abandoned func(end func()) (forget func() bool) // nil: not a stream of snapshots

	end    sync.Once
	closed chan struct{}
}

// take hands a connection to the library and waits until it is closed.
func (s *stream) take(conn net.Conn) {
	c := &closing{Conn: conn, closed: make(chan struct{})}
	select {
	case s.accepted <- c:
	case <-s.closed:
		return
	}
	select {
	case <-c.closed:
	case <-s.closed:
	}
}

// Accept implements [net.Listener].
func (s *stream) Accept() (net.Conn, error) {
	select {
	case c := <-s.accepted:
		return c, nil
	case <-s.closed:
		return nil, errClosed
	}
}

// Close implements [net.Listener].
func (s *stream) Close() error {
	s.end.Do(func() { close(s.closed) })
	return nil
}

// Addr implements [net.Listener].
func (s *stream) Addr() net.Addr { return address(s.at.String()) }

// Dial implements [hraft.StreamLayer].
func (s *stream) Dial(to hraft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	target, err := ParseTarget(string(to))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := s.network.Dial(ctx, target, s.kind, s.partition)
	if err != nil {
		return nil, &unreachable{err}
	}
	if s.kind == Snapshot {
		return &sending{conn, s.abandoned(func() { _ = conn.Close() })}, nil
	}
	return conn, nil
}

// address is the text of a [Target].
type address string

// Network implements [net.Addr].
func (address) Network() string { return "tcp" }

// String implements [net.Addr].
func (a address) String() string { return string(a) }

// closing tells when it is closed.
type closing struct {
	net.Conn

	once   sync.Once
	closed chan struct{}
}

// Close implements [net.Conn].
func (c *closing) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// sending is the sender's end of a connection for a snapshot. It fails if it
// makes no progress, however large the snapshot is. The library would allow the
// time that the whole may take, which is hours.
type sending struct {
	net.Conn

	forget func() bool // see [stream]
}

// Close implements [net.Conn].
func (s *sending) Close() error {
	s.forget()
	return s.Conn.Close()
}

// Write implements [net.Conn].
func (s *sending) Write(b []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}

// receiving is the receiver's end. The receiver does nothing else meanwhile,
// and does not vote, so it must not wait for a sender that has stopped.
type receiving struct{ net.Conn }

// Read implements [net.Conn].
func (r *receiving) Read(b []byte) (int, error) {
	if err := r.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return r.Conn.Read(b)
}

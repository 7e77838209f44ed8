// Package kafka is the log of several servers in a topic of Kafka, or of what
// speaks its protocol. An entry is a record of one partition. Each server reads
// all records in their order and applies them to its own machine. Append
// returns when the brokers have acknowledged the record and this server has
// applied it.
//
// DESIGN.md gives the reasons.
package kafka

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/destination/kafka/brokers"
	"trackway/internal/entry"
	"trackway/internal/log/compare"
	"trackway/internal/log/group"
	"trackway/internal/log/health"
	"trackway/internal/log/progress"
	"trackway/internal/log/raft"
	"trackway/internal/log/raft/peer"
)

// Machine is the state of one server.
type Machine = raft.Machine

// Options configures a log. The zero value of each field is usable, unless it
// says otherwise.
type Options struct {
	Dir       string          // required; for this log only
	Network   *peer.Network   // required
	Brokers   brokers.Options // required
	Topic     string          // required; the members are in another one: see [Members]
	Name      string          // of the cluster; a topic of another one is refused
	Partition byte            // of the topic, and of the data
	// how many partitions the data has: the topic has one for each; 0: 1
	Partitions int
	Heartbeat  time.Duration // how often a server tells the others of itself; 0: 2 s
	Log        *slog.Logger  // nil: nothing is logged

	Version string                 // of the program: servers of the same one compare their states
	About   func() json.RawMessage // for the others; the log has no use for it; at most 2 KiB; nil: nothing
	MaxSkew time.Duration          // a server whose clock is off by more takes no commands; 0: clocks are not compared
	Reserve uint64                 // a server with fewer bytes free takes no commands and applies nothing
	Free    func() (uint64, error) // how many there are; nil: Dir's file system says so

	// Fatal is called if this server cannot go on: it could not apply an entry,
	// or the topic is not the one that its state is of. If it returns, the log
	// refuses everything from then on.
	//
	// If the error is [raft.ErrRestart], nothing is wrong. Fatal must return,
	// and the log and its machine must be closed and opened again.
	Fatal func(error)

	// Joined is called when this server is about to take part in a log that
	// another one has begun; nil: nothing is called.
	Joined func() error

	// For tests: how many entries stay in the topic; 0: the usual number.
	trailing int64
	// how often a server asks the others for their digests; 0: as usual
	askEach time.Duration
	digests compare.Pace
}

// The usual settings.
const (
	usualHeartbeat = 2 * time.Second
	usualTrailing  = 100_000
	usualAsk       = 5 * time.Second

	closeTime = 3 * time.Second // for entries that are under way when the log is closed
)

// Members returns the name of the topic with the members of a log's topic.
func Members(topic string) string { return topic + ".members" }

// Log is one server's part of a log. It is safe for concurrent use.
type Log struct {
	o       Options
	machine Machine
	client  *kgo.Client // appends, and asks the brokers
	admin   *kadm.Client
	mark    *mark

	origin  peer.ID
	counter atomic.Uint64
	groups  *group.Groups
	singles chan struct{} // holds a value for each other entry under way
	waiting waiting

	strangers uint64 // records of others; only follow uses it

	progress progress.Progress // of the machine
	end      atomic.Uint64     // index of the last record that is known to be in the topic
	latest   progress.Questions
	lag      progress.Lag // behind the topic; only look notes
	lagAt    time.Time    // when it has noted last

	ctx    context.Context //nolint:containedctx // of what runs until the log is closed
	cancel context.CancelFunc

	failure *health.Failure // why this server cannot go on

	// mu guards the fields below, and adding to running.
	mu      sync.Mutex
	closed  bool
	closing chan struct{} // closed when closed is set
	hurry   chan struct{} // closed when entries that are under way are not waited for any more
	running sync.WaitGroup
	kept    kept   // as it is on the disk
	why     error  // why no entries are applied at the moment; nil: they are
	durable string // how durable an acknowledged entry is; empty: unknown

	group   members
	fitness health.Fitness
	states  *compare.States
	others  others
	sending chan struct{} // holds a value while the state is sent

	// The clock of a broker less that of this server, and how exact that is.
	offsetOf, marginOf atomic.Int64
}

// Errors of [Log.Ready], beside those that the brokers cause.
var (
	// ErrNotBegun says that the log was not begun yet.
	ErrNotBegun = errors.New("the log was not begun yet: see trackway cluster init")

	errConnecting = errors.New("the brokers of the log have not acknowledged anything of this server yet")
	errSilent     = errors.New("the brokers of the log do not answer")
)

// Open opens the log of a machine. The brokers need not be there: until they
// are, [Log.Ready] says so.
func Open(m Machine, o Options) (*Log, error) {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	o.Heartbeat, o.trailing = cmp.Or(o.Heartbeat, usualHeartbeat), cmp.Or(o.trailing, usualTrailing)
	o.Partitions, o.askEach, o.digests = cmp.Or(o.Partitions, 1), cmp.Or(o.askEach, usualAsk), cmp.Or(o.digests, compare.Usual)
	if o.Free == nil {
		o.Free = func() (uint64, error) {
			var s syscall.Statfs_t
			err := syscall.Statfs(o.Dir, &s)
			return s.Bavail * uint64(s.Bsize), err
		}
	}
	l := &Log{
		o: o, machine: m, failure: health.NewFailure(o.Fatal), closing: make(chan struct{}), hurry: make(chan struct{}), singles: make(chan struct{}, maxOthers),
		sending: make(chan struct{}, 1), why: errConnecting, states: compare.New(m, o.digests, o.Log),
	}
	l.groups = group.New(func(c *entry.Commands) error { return l.send(c) }, raft.ErrUnknown)
	if err := compare.Check(nil, o.Dir); err != nil {
		return nil, err
	}
	if err := l.identify(); err != nil {
		return nil, err
	}
	dial, err := o.Brokers.Dial()
	if err != nil {
		return nil, err
	}
	l.client, err = kgo.NewClient(append(dial,
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0), kgo.ProducerBatchMaxBytes(batchBytes), kgo.MaxBufferedBytes(bufferBytes),
		kgo.MaxBufferedRecords(bufferRecords), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()), kgo.ProduceRequestTimeout(produceTime),
	)...)
	if err != nil {
		return nil, errors.Join(err, l.mark.close())
	}
	l.admin = kadm.NewClient(l.client)
	l.progress.Reach(m.Applied())
	l.ctx, l.cancel = context.WithCancel(context.Background())
	o.Network.Handle(peer.Snapshot, o.Partition, l.origin, l.serveState)
	o.Network.Handle(peer.Digests, o.Partition, l.origin, l.serveDigests)
	for _, run := range []func(){l.follow, l.watchMembers, l.beat, l.look, l.check, l.compare} {
		l.running.Go(run)
	}
	return l, nil
}

// ID returns this server's id.
func (l *Log) ID() string { return idText(l.origin) }

// Self returns this server's id.
func (l *Log) Self() peer.ID { return l.origin }

// fatal says that this server cannot go on.
func (l *Log) fatal(err error) { l.failure.Fail(err) }

// broken returns why this server cannot go on, or nil.
func (l *Log) broken() error { return l.failure.Err() }

// Ready returns why this server can neither store anything nor show what
// others have stored, or nil.
func (l *Log) Ready() error {
	if err := l.broken(); err != nil {
		return err
	}
	l.mu.Lock()
	why := l.why
	l.mu.Unlock()
	switch {
	case why != nil:
		return why
	case l.group.contact(3 * l.o.Heartbeat):
		return nil
	case l.group.never():
		return errConnecting
	}
	return errSilent
}

// wait notes why no entries are applied; nil: they are.
func (l *Log) wait(why error) {
	l.mu.Lock()
	before := l.why
	l.why = why
	l.mu.Unlock()
	switch {
	case why == nil && before != nil:
		l.o.Log.Info("this server applies the log's entries", "topic", l.o.Topic)
	case why != nil && (before == nil || before.Error() != why.Error()):
		l.o.Log.Info("this server applies none of the log's entries", "why", why)
	}
}

// Close ends this server's part. It lets entries end that are under way, and
// refuses others.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.closing)
	l.mu.Unlock()
	hurry := time.AfterFunc(closeTime, func() { close(l.hurry) })
	l.waiting.using.Wait()
	hurry.Stop()
	l.leave()
	l.o.Network.Handle(peer.Snapshot, l.o.Partition, l.origin, nil)
	l.o.Network.Handle(peer.Digests, l.o.Partition, l.origin, nil)
	l.cancel()
	l.running.Wait()
	l.client.Close()
	return l.mark.close()
}

// begin notes that something uses the log, until end is called. It returns
// false if the log is closed.
func (l *Log) begin() (end func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	l.waiting.using.Add(1)
	return l.waiting.using.Done, true
}

// refusal is an error that another attempt does not cure.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

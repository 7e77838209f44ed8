// Package raft is the log of several servers. An entry that any of them appends
// is on the disks of most of them, and applied, when Append returns. Each
// server applies the entries in the same order to its own machine.
//
// The library hashicorp/raft agrees on the order. This package keeps what a
// server has promised (logstore), connects the servers (peer), sends the state
// of one to another (parcel), and sees to it that an entry takes effect once.
// DESIGN.md gives the reasons.
package raft

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	hraft "github.com/hashicorp/raft"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/log/compare"
	"trackway/internal/log/group"
	"trackway/internal/log/health"
	"trackway/internal/log/progress"
	"trackway/internal/log/raft/logstore"
	"trackway/internal/log/raft/peer"
)

// Machine is the state of one server. Apply is never called by two goroutines
// at once, nor while Replace runs.
type Machine interface { //nolint:interfacebloat // a store, in all that a log needs of it
	// Apply carries out the entry with this index, writes its results into it,
	// and commits its effects together with the index. It need not wait for the
	// disk. Indexes rise, with gaps. After an error the server cannot go on,
	// because the others may have carried out the entry.
	Apply(index uint64, e entry.Entry) error

	// Applied returns the index of the last entry that was applied.
	Applied() uint64

	// Sync returns when everything that was applied before the call is on the
	// disk.
	Sync() error

	// Checkpoint writes the state as files into dir, which it creates. The
	// files cover all entries that were applied before the call. Others may be
	// applied meanwhile.
	Checkpoint(dir string) error

	// CheckFile reads a file of a checkpoint. Others may be missing so far, and
	// several may be read at the same time. An error means that the file is
	// damaged.
	CheckFile(name string) error

	// Check opens a checkpoint, whose files CheckFile has read, and returns the
	// index of the last entry that it covers. An error means that the
	// checkpoint is damaged.
	Check(dir string) (index uint64, err error)

	// Replace replaces the state by a checkpoint, which it moves away from dir.
	// On return the new state is on the disk. After an error or a crash, the
	// state is the old one or the new one. If the error is [ErrRestart], the
	// new state is in its place when the machine is opened again.
	Replace(dir string) error

	// Keyed reports whether only programs that read [version.Keys] can go on
	// with the state.
	Keyed() bool

	compare.Machine
}

// Errors of [Log.Append]. The first two are for the caller of the API, who may
// try again: the answer is 503.
var (
	// ErrUnavailable says that the entry was not stored: no server could take
	// it.
	ErrUnavailable error = &trackway.Error{
		Code: trackway.Overloaded, Msg: "The servers of the cluster cannot store anything at the moment, and have not stored this. Try again.",
	}

	// ErrUnknown says that the entry may or may not be stored.
	ErrUnknown error = &trackway.Error{
		Code: trackway.Overloaded, Msg: "The servers of the cluster do not know whether they have stored this. Send it again: an event that has a time of its own is stored once.",
	}

	// ErrClosed says that this server is stopping, and the entry was not
	// stored.
	ErrClosed = errors.New("the log is closed")

	// ErrTooLarge says that a single request is too large for an entry.
	ErrTooLarge = errors.New("the request is too large for the log")
)

// Options configures a log. The zero value of each field is usable, unless it
// says otherwise.
type Options struct {
	FS        vfs.FS        // nil: the operating system's
	Dir       string        // required; on the file system of the machine's files, and for this log only
	Network   *peer.Network // required
	Name      string        // of the cluster; servers of another one cannot join
	Partition byte
	Heartbeat time.Duration // without one for so long, a server wants to become the leader; 0: 2 s
	Log       *slog.Logger  // nil: nothing is logged
	Files     uint64        // most files that the process may open; 0: the operating system's limit
	Logs      int           // how many logs the process has, which share its memory; 0: 1

	// Sending bounds how many states are sent at the same time, by all logs
	// that have the same channel. nil: one by this log.
	Sending chan struct{}

	Version string           // of the program: servers of the same one compare their states
	Now     func() time.Time // nil: the system's clock
	MaxSkew time.Duration    // a server whose clock is off by more takes no commands; 0: clocks are not compared

	// A server that has less than Reserve bytes free takes no commands and no
	// entries. 0: it takes them until the disk is full. Free returns how many
	// there are; nil: FS says so.
	Reserve uint64
	Free    func() (uint64, error)

	// About returns what this server tells the others, for which the log has no
	// use itself, in at most 2 KiB; nil: nothing.
	About func() json.RawMessage

	// Fatal is called if this server cannot go on: it could not write what it
	// promised, or its state may no longer be that of the others. It should end
	// the process. If it returns, the log refuses everything from then on.
	//
	// If the error is [ErrRestart], nothing is wrong. Fatal must return, and
	// the log and its machine must be closed and opened again.
	Fatal func(error)

	// For tests: how many entries lie between two snapshots, and how many stay
	// in the log; 0: the usual number.
	snapshotAfter, trailing uint64
	// how long an entry waits for a leader; 0: the usual time
	patience time.Duration
	// how often a server looks after itself, and asks the others; 0: as usual
	lookEach, askEach time.Duration
	digests           compare.Pace
}

// The usual settings.
const (
	usualHeartbeat     = 2 * time.Second
	usualSnapshotAfter = 50_000
	usualTrailing      = 100_000
	trailingBytes      = 1 << 30
	commitTimeout      = 5 * time.Millisecond
	snapshotInterval   = 30 * time.Second
	// Entries in one message to a follower. With entries of 256 KiB, that is 4
	// MiB. Each server has few entries under way, so more would not help.
	maxAppend = 16
)

// Log is one server's part of a log. It is safe for concurrent use.
type Log struct {
	o         Options
	machine   Machine
	store     *logstore.Store
	snapshots *snapshots
	transport *peer.Transport
	raft      *hraft.Raft
	forwarder forwarder

	origin  peer.ID
	counter atomic.Uint64

	acknowledged atomic.Uint64     // index of the last entry that was acknowledged to an appender here
	progress     progress.Progress // of the machine
	latest       progress.Questions

	handing   atomic.Bool    // leadership is being handed over
	applying  atomic.Int64   // entries that were given to the library, and have not ended
	asking    sync.WaitGroup // servers that are asked to lead
	releasing sync.Mutex     // held while a member is removed
	stop      sync.Once      // closes stopping
	stopping  chan struct{}  // see [Log.Stopping]

	readers  atomic.Uint64 // the version of entries that all members can read
	encoding atomic.Uint64 // the highest version of entries that the log may have
	noting   sync.Mutex    // held while encoding changes
	groups   *group.Groups
	singles  chan struct{} // holds a value for each other entry under way

	failure *health.Failure // why this server cannot go on

	// mu guards closed, and adding to running.
	mu      sync.Mutex
	closed  bool
	closing chan struct{} // closed when closed is set
	running sync.WaitGroup

	leaders *leaders

	fitness health.Fitness
	looking sync.Mutex   // held by look
	lag     progress.Lag // behind other servers; only look notes
	others  others
	states  *compare.States
}

// Open opens the log of a machine in a directory, and creates it if it does not
// exist. A new log takes part in nothing until it is bootstrapped, or added by
// the leader of an existing cluster. Errors: [logstore.ErrDamaged]; a machine
// that lacks entries that the log no longer has; any error of the disk.
func Open(m Machine, o Options) (*Log, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Free == nil {
		o.Free = func() (uint64, error) {
			usage, err := o.FS.GetDiskUsage(o.Dir)
			return usage.AvailBytes, err
		}
	}
	o.lookEach, o.askEach, o.digests = cmp.Or(o.lookEach, usualLook), cmp.Or(o.askEach, usualAsk), cmp.Or(o.digests, compare.Usual)
	o.Heartbeat = cmp.Or(o.Heartbeat, usualHeartbeat)
	if o.Sending == nil {
		o.Sending = make(chan struct{}, 1)
	}
	o.snapshotAfter, o.trailing = cmp.Or(o.snapshotAfter, usualSnapshotAfter), cmp.Or(o.trailing, usualTrailing)
	l := &Log{
		o: o, machine: m, failure: health.NewFailure(o.Fatal), closing: make(chan struct{}), stopping: make(chan struct{}),
		singles: make(chan struct{}, maxOthers), states: compare.New(m, o.digests, o.Log),
	}
	l.groups = group.New(func(c *entry.Commands) error {
		l.carry(c)
		_, err := l.send(c)
		return err
	}, ErrUnknown)
	var err error
	l.store, err = logstore.Open(o.FS.PathJoin(o.Dir, "log"), logstore.Options{FS: o.FS, Log: o.Log, Files: o.Files, Logs: o.Logs, Fatal: l.fatal})
	if err != nil {
		return nil, err
	}
	if err := compare.Check(o.FS, o.Dir); err != nil {
		return nil, errors.Join(err, l.store.Close())
	}
	if err := l.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the log in %s: %w", o.Dir, err), l.store.Close())
	}
	return l, nil
}

func (l *Log) start() error {
	id, err := l.identify()
	if err != nil {
		return err
	}
	if err := l.beginEntries(); err != nil {
		return err
	}
	at, err := l.store.Snapshot()
	if err != nil {
		return err
	}
	if applied := l.machine.Applied(); applied < at.Index {
		return fmt.Errorf("the state covers the entries up to %d only, and the log begins after %d: the state's files are not those of this log", applied, at.Index)
	}
	l.progress.Reach(l.machine.Applied())
	if l.snapshots, err = newSnapshots(l); err != nil {
		return err
	}
	logger := libraryLogger(l.o.Log)
	timeout := max(5*l.o.Heartbeat/2, time.Second)
	l.transport = l.o.Network.Transport(l.o.Partition, l.origin, timeout, logger)
	config := hraft.DefaultConfig()
	config.LocalID, config.Logger = hraft.ServerID(id), logger
	config.HeartbeatTimeout, config.ElectionTimeout = l.o.Heartbeat, l.o.Heartbeat
	config.LeaderLeaseTimeout = l.o.Heartbeat / 2
	config.CommitTimeout = commitTimeout
	config.MaxAppendEntries = maxAppend
	config.SnapshotInterval = snapshotInterval
	config.SnapshotThreshold, config.TrailingLogs = l.o.snapshotAfter, l.o.trailing
	config.NoSnapshotRestoreOnStart = true // the machine keeps its own state
	config.NoLegacyTelemetry = true
	config.ShutdownOnRemove = false // a removed server still answers its operator
	l.raft, err = hraft.NewRaft(config, &fsm{l}, l.store, l.store, l.snapshots, l.transport)
	if err != nil {
		return errors.Join(err, l.transport.Close())
	}
	l.transport.Await(l.sends, l.ready)
	l.leaders = watchLeaders(l.raft)
	l.forwarder = forwarder{network: l.o.Network, partition: l.o.Partition}
	l.o.Network.Handle(peer.Forward, l.o.Partition, l.origin, l.serveForwards)
	l.o.Network.Handle(peer.Change, l.o.Partition, peer.ID{}, l.serveChanges)
	l.watch()
	return nil
}

// Names of what the log keeps beside the library's own promises.
const (
	keyID     = ".id"
	keyStarts = ".starts"
)

// startBits is how many bits of a counter count the entries since a start.
const startBits = 40

// identify returns the id of this server, which is drawn with a new directory:
// an empty one is a new server, or it could vote twice. It counts the starts,
// so that no counter of this server comes again.
func (l *Log) identify() (string, error) {
	origin, err := l.store.Get([]byte(keyID))
	if err != nil {
		return "", err
	}
	if origin == nil {
		origin = make([]byte, len(l.origin))
		_, _ = rand.Read(origin) // never fails
		if err := l.store.Set([]byte(keyID), origin); err != nil {
			return "", err
		}
	}
	if len(origin) != len(l.origin) {
		return "", fmt.Errorf("the id of this server has %d bytes: %w", len(origin), logstore.ErrDamaged)
	}
	copy(l.origin[:], origin)
	starts, err := l.store.GetUint64([]byte(keyStarts))
	if err != nil {
		return "", err
	}
	if err := l.store.SetUint64([]byte(keyStarts), starts+1); err != nil {
		return "", err
	}
	l.counter.Store((starts + 1) << startBits)
	return hex.EncodeToString(origin), nil
}

// ID returns this server's id.
func (l *Log) ID() string { return hex.EncodeToString(l.origin[:]) }

// fatal says that this server cannot go on.
func (l *Log) fatal(err error) { l.failure.Fail(err) }

// broken returns why this server cannot go on, or nil.
func (l *Log) broken() error { return l.failure.Err() }

// Add makes another server a member. It first gets the log without a vote, and
// the vote once voter is true. Only the leader can do that.
func (l *Log) Add(id, address string, voter bool) error {
	target, err := peer.ParseTarget(address + "#" + id)
	if err != nil {
		return err
	}
	add := l.raft.AddNonvoter
	if voter {
		add = l.raft.AddVoter
	}
	return add(hraft.ServerID(id), hraft.ServerAddress(target.String()), 0, l.patience()).Error()
}

// Remove ends the membership of a server. Only the leader can do that.
func (l *Log) Remove(id string) error {
	return l.raft.RemoveServer(hraft.ServerID(id), 0, l.patience()).Error()
}

// patience is how long an entry waits for a leader: an election may have to be
// repeated.
func (l *Log) patience() time.Duration { return cmp.Or(l.o.patience, 5*l.o.Heartbeat) }

// Close ends this server's part. It hands leadership over if it can, lets
// entries end that are under way, and refuses others. States that are on their
// way from or to this server have to be sent again.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.closing)
	l.mu.Unlock()
	if l.raft.State() == hraft.Leader && l.broken() == nil {
		within(2*l.o.Heartbeat, func() bool { return !l.handing.Load() }) // it may be under way already
		if err := l.Transfer(""); err != nil && !errors.Is(err, hraft.ErrNotLeader) {
			l.o.Log.Info("leadership was not handed over", "error", err)
		} else {
			l.awaitSuccessor()
		}
	}
	l.transport.Abandon()
	l.o.Network.Handle(peer.Forward, l.o.Partition, l.origin, nil)
	l.o.Network.Handle(peer.Change, l.o.Partition, peer.ID{}, nil)
	l.running.Wait()
	err := l.raft.Shutdown().Error() // it closes the transport
	l.leaders.stop()
	l.forwarder.close()
	l.asking.Wait()
	return errors.Join(err, l.store.Close())
}

// sends reports whether this server has entries for another one: it leads in
// the term, and the other is a member.
func (l *Log) sends(id hraft.ServerID, term uint64) bool {
	return l.raft.State() == hraft.Leader && l.raft.CurrentTerm() == term &&
		slices.ContainsFunc(l.raft.GetConfiguration().Configuration().Servers, func(s hraft.Server) bool { return s.ID == id })
}

// awaitSuccessor waits a while until another server leads. It may need the vote
// of this one: its connections to others may have ended since it used them
// last.
func (l *Log) awaitSuccessor() {
	end := time.NewTimer(l.o.Heartbeat)
	defer end.Stop()
	for {
		changed := l.leaders.next()
		if address, id := l.raft.LeaderWithID(); address != "" && string(id) != l.ID() {
			return
		}
		select {
		case <-changed:
		case <-end.C:
			return
		case <-l.failure.Done():
			return
		}
	}
}

// begin notes that something uses the log, until end is called. It returns
// false if the log is closed.
func (l *Log) begin() (end func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	l.running.Add(1)
	return l.running.Done, true
}

// whileOpen returns a context that ends when the log is closed or has failed.
func (l *Log) whileOpen() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-l.closing:
		case <-l.failure.Done():
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}

// leaders tells when another server has become the leader.
type leaders struct {
	raft     *hraft.Raft
	observer *hraft.Observer
	seen     chan hraft.Observation
	done     sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
}

func watchLeaders(r *hraft.Raft) *leaders {
	w := &leaders{raft: r, seen: make(chan hraft.Observation, 16), changed: make(chan struct{})}
	w.observer = hraft.NewObserver(w.seen, false, func(o *hraft.Observation) bool {
		_, ok := o.Data.(hraft.LeaderObservation)
		return ok
	})
	r.RegisterObserver(w.observer)
	w.done.Go(func() {
		for range w.seen {
			w.mu.Lock()
			close(w.changed)
			w.changed = make(chan struct{})
			w.mu.Unlock()
		}
	})
	return w
}

// next returns a channel that is closed at the next change.
func (w *leaders) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

func (w *leaders) stop() {
	w.raft.DeregisterObserver(w.observer)
	close(w.seen)
	w.done.Wait()
}

// trailingTo removes entries from the log that a snapshot covers, if they have
// too many bytes. The library counts entries only.
func (l *Log) trailingTo(snapshot uint64) error { return l.store.Trim(snapshot, trailingBytes) }

// nextCounter returns the counter of the next entry.
func (l *Log) nextCounter() uint64 { return l.counter.Add(1) }

// appendLength appends the length of what follows.
func appendLength(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }

package raft

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	hraft "github.com/hashicorp/raft"

	"trackway/internal/log/raft/logstore"
	"trackway/internal/log/raft/parcel"
)

// The ids of the two snapshots that there may be.
const (
	ownID      = "own"
	receivedID = "received"
)

// snapshotBytes is after how many bytes of entries a snapshot is noted, however
// few entries they are. An opening reads what was logged since the last one.
const snapshotBytes = 512 << 20

// snapshots is the [hraft.SnapshotStore]. It stores no states. The machine's
// state is the snapshot, so taking one notes how far that state goes for good.
// To send it, the machine makes a checkpoint of the moment, which may go
// further than the snapshot says. That does no harm: the receiver's machine
// skips entries that it has.
type snapshots struct {
	log                *Log
	incoming, outgoing string // directories

	// sending holds a value while a state is sent, so that a server that leads
	// several groups or serves several new servers sends one at a time: see
	// [Options.Sending].
	sending chan struct{}

	receiving atomic.Int32 // states that are on their way to this server

	since int // bytes of entries since the last snapshot was asked for; the machine's goroutine

	// mu guards received. Nothing else is done under it.
	mu       sync.Mutex
	received *logstore.Snapshot // is whole in incoming; nil: none
}

func newSnapshots(l *Log) (*snapshots, error) {
	fs := l.o.FS
	s := &snapshots{
		log: l, incoming: fs.PathJoin(l.o.Dir, "incoming"), outgoing: fs.PathJoin(l.o.Dir, "outgoing"), sending: l.o.Sending,
	}
	// A crash may have left them.
	return s, errors.Join(fs.RemoveAll(s.incoming), fs.RemoveAll(s.outgoing))
}

// grown counts the bytes of an applied entry.
func (s *snapshots) grown(n int) {
	if s.since += n; s.since < snapshotBytes {
		return
	}
	s.since = 0
	end, ok := s.log.begin()
	if !ok {
		return
	}
	go func() { // the library asks the machine's goroutine, which waits here
		defer end()
		if err := s.log.raft.Snapshot().Error(); err != nil {
			s.log.o.Log.Warn("no snapshot could be noted", "error", err)
		}
	}()
}

func meta(id string, at logstore.Snapshot, size int64) *hraft.SnapshotMeta {
	return &hraft.SnapshotMeta{
		Version: hraft.SnapshotVersionMax, ID: id, Index: at.Index, Term: at.Term, Size: size,
		Configuration: at.Configuration, ConfigurationIndex: at.ConfigurationIndex,
	}
}

// List implements [hraft.SnapshotStore].
func (s *snapshots) List() ([]*hraft.SnapshotMeta, error) {
	at, err := s.log.store.Snapshot()
	if err != nil || at.Index == 0 {
		return nil, err
	}
	return []*hraft.SnapshotMeta{meta(ownID, at, 0)}, nil
}

// Create implements [hraft.SnapshotStore].
func (s *snapshots) Create(
	_ hraft.SnapshotVersion, index, term uint64, configuration hraft.Configuration, configurationIndex uint64, _ hraft.Transport,
) (hraft.SnapshotSink, error) {
	known, err := s.log.store.Snapshot()
	if err != nil {
		return nil, err
	}
	if index < known.Index {
		return nil, fmt.Errorf("a snapshot of %d is older than this server's own of %d", index, known.Index)
	}
	return &sink{snapshots: s, at: logstore.Snapshot{
		Index: index, Term: term, Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}, nil
}

// Open implements [hraft.SnapshotStore]. The stream of this server's own state
// must be closed before the next one is opened.
func (s *snapshots) Open(id string) (*hraft.SnapshotMeta, io.ReadCloser, error) {
	if id == receivedID {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.received == nil {
			return nil, nil, errors.New("no state was received")
		}
		return meta(receivedID, *s.received, 0), io.NopCloser(new(bytes.Reader)), nil
	}
	select {
	case s.sending <- struct{}{}:
	case <-s.log.closing:
		return nil, nil, ErrClosed
	}
	at, out, err := s.open()
	if err != nil {
		<-s.sending
		return nil, nil, err
	}
	return meta(ownID, at, out.Size()), out, nil
}

func (s *snapshots) open() (at logstore.Snapshot, out *outgoing, err error) {
	if at, err = s.log.store.Snapshot(); err != nil { // before the checkpoint, which may go further
		return at, nil, err
	}
	fs := s.log.o.FS
	if err := fs.RemoveAll(s.outgoing); err != nil {
		return at, nil, err
	}
	if err := s.log.machine.Checkpoint(s.outgoing); err != nil {
		return at, nil, errors.Join(fmt.Errorf("make a checkpoint of the state: %w", err), fs.RemoveAll(s.outgoing))
	}
	r, err := parcel.Open(fs, s.outgoing)
	if err != nil {
		return at, nil, errors.Join(err, fs.RemoveAll(s.outgoing))
	}
	return at, &outgoing{Reader: r, snapshots: s}, nil
}

// outgoing is this server's state on its way to another one.
type outgoing struct {
	*parcel.Reader

	snapshots *snapshots
	once      sync.Once
}

// Close implements [io.Closer].
func (o *outgoing) Close() (err error) {
	o.once.Do(func() {
		err = errors.Join(o.Reader.Close(), o.snapshots.log.o.FS.RemoveAll(o.snapshots.outgoing))
		<-o.snapshots.sending
	})
	return err
}

// sink is a [hraft.SnapshotSink]: of this server's own snapshot, or of another
// server's state.
type sink struct {
	snapshots *snapshots
	at        logstore.Snapshot
	own       bool
	in        *parcel.Writer // receives a state; nil: nothing was received yet
}

// ID implements [hraft.SnapshotSink].
func (s *sink) ID() string {
	if s.own {
		return ownID
	}
	return receivedID
}

// Write implements [hraft.SnapshotSink].
func (s *sink) Write(b []byte) (n int, err error) {
	if s.in == nil {
		if s.in, err = parcel.Receive(s.snapshots.log.o.FS, s.snapshots.incoming, s.snapshots.log.machine.CheckFile); err != nil {
			return 0, err
		}
		s.snapshots.receiving.Add(1)
	}
	return s.in.Write(b)
}

// Close implements [hraft.SnapshotSink]. It notes this server's own snapshot,
// or checks the whole state that was received.
func (s *sink) Close() error {
	l := s.snapshots.log
	if s.own {
		return errors.Join(l.store.SetSnapshot(s.at), l.trailingTo(s.at.Index))
	}
	if s.in == nil {
		return fmt.Errorf("receive a state: %w", parcel.ErrDamaged)
	}
	defer s.snapshots.receiving.Add(-1)
	err := s.in.Close()
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("receive a state: %w", err), l.o.FS.RemoveAll(s.snapshots.incoming))
	}
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	s.snapshots.received = &s.at
	return nil
}

// check opens what was received. Each file was read when it was whole. The
// checksum of the stream only covers what the sender has read, and the sender's
// disk may be damaged.
func (s *sink) check() error {
	index, err := s.snapshots.log.machine.Check(s.snapshots.incoming)
	if err != nil {
		return err
	}
	if index < s.at.Index {
		return fmt.Errorf("it covers the entries up to %d, not %d: %w", index, s.at.Index, parcel.ErrDamaged)
	}
	return nil
}

// Cancel implements [hraft.SnapshotSink].
func (s *sink) Cancel() error {
	if s.in == nil {
		return nil
	}
	s.snapshots.receiving.Add(-1)
	_ = s.in.Close() // it is not whole
	return s.snapshots.log.o.FS.RemoveAll(s.snapshots.incoming)
}

// Receiving reports whether the state of another server is on its way to this
// one.
func (l *Log) Receiving() bool { return l.snapshots.receiving.Load() > 0 }

// install replaces this server's state by the one that was received, and notes
// that. A crash in between leaves the new state with the old log, of which the
// machine skips what it has.
func (s *snapshots) install() error {
	s.mu.Lock()
	at := s.received
	s.received = nil
	s.mu.Unlock()
	if at == nil {
		return errors.New("no state was received")
	}
	l := s.log
	if l.machine.Applied() >= at.Index {
		if err := l.o.FS.RemoveAll(s.incoming); err != nil { // this server's own goes as far
			return err
		}
	} else if err := l.machine.Replace(s.incoming); errors.Is(err, ErrRestart) {
		return s.restart(*at)
	} else if err != nil {
		return fmt.Errorf("replace the state: %w", err)
	}
	if err := l.noteState(); err != nil {
		return err
	}
	l.progress.Reach(l.machine.Applied())
	return l.store.Install(*at)
}

// restart notes a state that is put aside for the next start, and asks for that
// start when the sender has its answer: that this server has the state. Without
// the answer, the sender would send it again. Until then, entries go into the
// log, and wait there.
func (s *snapshots) restart(at logstore.Snapshot) error {
	l := s.log
	report := l.failure.Stop(ErrRestart) // first, so that no entry is applied to the old state
	err := l.store.Install(at)
	if !report || l.o.Fatal == nil {
		return err
	}
	go func() {
		l.transport.AwaitSender()
		select {
		case <-l.closing: // it starts again, or ends, anyway
		default:
			l.o.Fatal(ErrRestart)
		}
	}()
	return err
}

// Swap durably replaces a directory by another one, on the same file system. It
// is for machines whose state is a directory. After a crash, [Settle] decides
// which of the two is there.
func Swap(fs vfs.FS, dir, by string) error {
	replaced := dir + replacedSuffix
	if err := fs.RemoveAll(replaced); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return fs.Rename(dir, replaced) },
		func() error { return syncDir(fs, fs.PathDir(dir)) },
		func() error { return fs.Rename(by, dir) },
		func() error { return syncDir(fs, fs.PathDir(dir)) },
		func() error { return syncDir(fs, fs.PathDir(by)) },
		func() error { return fs.RemoveAll(replaced) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Stage durably puts a directory aside, for [Settle] to swap it for another one
// on the same file system. It is for machines whose directory is in use until
// the server starts again. fs may be nil, for the operating system's files.
func Stage(fs vfs.FS, dir, by string) error {
	fs = orDefault(fs)
	next := dir + nextSuffix
	return errors.Join(fs.RemoveAll(next), fs.Rename(by, next), syncDir(fs, fs.PathDir(dir)), syncDir(fs, fs.PathDir(by)))
}

// The ends of the names of directories, beside the one that is in use.
const (
	replacedSuffix = ".replaced" // is being replaced
	nextSuffix     = ".next"     // takes its place at the next opening
)

// Settle finishes or undoes what a crash has interrupted in a [Swap], and swaps
// in what [Stage] has put aside. fs may be nil, for the operating system's
// files.
func Settle(fs vfs.FS, dir string) error {
	fs = orDefault(fs)
	if err := settle(fs, dir); err != nil {
		return err
	}
	if _, err := fs.Stat(dir + nextSuffix); err != nil {
		return nil //nolint:nilerr // nothing was put aside
	}
	return Swap(fs, dir, dir+nextSuffix)
}

func orDefault(fs vfs.FS) vfs.FS {
	if fs == nil {
		return vfs.Default
	}
	return fs
}

// settle undoes a swap that was interrupted before the new directory was in its
// place, and otherwise removes what it left.
func settle(fs vfs.FS, dir string) error {
	replaced := dir + replacedSuffix
	if _, err := fs.Stat(replaced); err != nil {
		return nil //nolint:nilerr // there is nothing to settle
	}
	if _, err := fs.Stat(dir); err == nil {
		return fs.RemoveAll(replaced)
	}
	return errors.Join(fs.Rename(replaced, dir), syncDir(fs, fs.PathDir(dir)))
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Package logstore keeps what one server of a group has promised in Raft: the
// group's log, the server's term and vote, and where its last snapshot ends. It
// is the LogStore and the StableStore of hashicorp/raft, in files that only
// grow at their end: see [frame].
//
// Everything that a method has returned survives a power cut. If a write fails,
// or if something that was written cannot be read, the process has to end: the
// library logs such an error and goes on, but the server could then break what
// it has promised to the others.
package logstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	hraft "github.com/hashicorp/raft"

	"trackway/internal/sleep"
	"trackway/internal/store/engine"
	"trackway/internal/store/journal"
)

// keySnapshot is where the last snapshot ends. The library's own names do not
// begin with a dot.
const keySnapshot = ".snapshot"

// The two halves of a vote. The library writes them one after the other.
const (
	keyVoteTerm      = "LastVoteTerm"
	keyVoteCandidate = "LastVoteCand"
)

// Sizes.
const (
	usualRecent = 16 << 20
	mostBuffer  = 8 << 20 // of what was written that stays in memory
)

// filesPause is how long a reader waits if no file can be opened.
const filesPause = 20 * time.Millisecond

// Errors.
var (
	// ErrDamaged is the error of [Open] if the directory lacks something that
	// was synced to it, or cannot be read.
	ErrDamaged = errors.New("the Raft log of this server is damaged: it must not vote with it. Remove the server from its cluster, empty its data directory, and let it join again")

	// ErrGap is the error of [Store.StoreLogs] for entries that do not follow
	// the last one. Only a bug causes it.
	ErrGap = errors.New("entries do not follow the last one")
)

// Options configures a store. The zero value of each field but Fatal is usable.
type Options struct {
	FS     vfs.FS       // nil: the operating system's
	Log    *slog.Logger // nil: nothing is logged
	Recent int          // bytes of the last entries that stay in memory; 0: 16 MiB
	Logs   int          // how many logs share the memory that one would have; 0: 1
	Files  uint64       // most files that the process may open; 0: the operating system's limit

	// Fatal is called if something could not be written, or cannot be read any
	// more. It must end the process and not return.
	Fatal func(error)
}

// share returns this log's share of an amount of memory, but at least a
// mebibyte.
func (o *Options) share(bytes int) int { return max(bytes/max(o.Logs, 1), 1<<20) }

// Store is the log and the promises of one server in one group. Its methods are
// safe for concurrent use.
type Store struct {
	fs     vfs.FS
	dir    string
	log    *slog.Logger
	fatal  func(error)
	lock   io.Closer
	synced vfs.File // holds how far the newest segment is synced

	// voteTerm is the first half of a vote, until the second half comes.
	// Otherwise a crash between the two would combine the new term with the
	// candidate of an old one, and the server would vote for that candidate
	// without looking at its log (hashicorp/raft, issue 661). Only the
	// library's main goroutine votes. Others set the current term meanwhile.
	voteTerm []byte

	// writing is held while something is written, so that mu need not be held
	// while the disk is synced. It guards the fields below, and changes of the
	// state.
	writing sync.Mutex
	active  active
	oldest  uint32 // number of the first segment that may exist
	buffer  []byte // of what is written
	mark    [journal.MarkLen]byte

	// mu guards the fields below. Nothing is written or read under it.
	mu sync.Mutex
	state
	recent recent

	reading sync.Mutex // guards reader
	reader  reader
}

// reader is the segment that was read last.
type reader struct {
	segment
	file vfs.File // nil: none
}

// Open opens the store in dir, and creates it if it does not exist. Errors:
// [ErrDamaged]; any error of the disk.
func Open(dir string, o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if err := upgrade(dir, &o); err != nil {
		return nil, fmt.Errorf("open the Raft log in %s: %w", dir, err)
	}
	s, err := open(dir, &o)
	if err != nil {
		return nil, fmt.Errorf("open the Raft log in %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, o *Options) (s *Store, err error) {
	if err := makeDir(o.FS, dir); err != nil {
		return nil, err
	}
	s = &Store{fs: o.FS, dir: dir, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)), fatal: o.Fatal, recent: recent{most: cmp.Or(o.Recent, o.share(usualRecent))}}
	if s.lock, err = s.fs.Lock(s.fs.PathJoin(dir, lockName)); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// begin reads what there is, and begins the next segment, because the last one
// may have a torn end.
func (s *Store) begin() (err error) {
	if err := s.load(); err != nil {
		return err
	}
	if s.meta == nil {
		s.meta = make(map[string][]byte)
	}
	at, err := s.Snapshot()
	if err != nil {
		return damaged(err)
	}
	if s.first > at.Index+1 {
		return damaged(fmt.Errorf("it begins with entry %d, after a snapshot of %d", s.first, at.Index))
	}
	if s.synced, err = s.fs.OpenReadWrite(s.fs.PathJoin(s.dir, syncedName), category); err != nil {
		return err
	}
	if err := s.keepOthersOut(); err != nil {
		return err
	}
	if _, err := s.roll(); err != nil {
		return err
	}
	s.pruneSoon()
	return nil
}

// damagedError is [ErrDamaged] with its cause.
type damagedError struct{ cause error }

func damaged(cause error) error { return &damagedError{cause} }

func (e *damagedError) Error() string { return ErrDamaged.Error() + ": " + e.cause.Error() }

func (e *damagedError) Unwrap() []error { return []error{ErrDamaged, e.cause} }

// Close closes the store, which must not be used afterwards.
func (s *Store) Close() (err error) {
	for _, f := range []io.Closer{s.reader.file, s.active.file, s.synced, s.lock} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// FirstIndex implements [hraft.LogStore].
func (s *Store) FirstIndex() (uint64, error) {
	first, _ := s.ends()
	return first, nil
}

// LastIndex implements [hraft.LogStore].
func (s *Store) LastIndex() (uint64, error) {
	_, last := s.ends()
	return last, nil
}

// GetLog implements [hraft.LogStore]. An entry that cannot be read ends the
// process.
func (s *Store) GetLog(index uint64, log *hraft.Log) error {
	s.mu.Lock()
	known := s.recent.get(index)
	s.mu.Unlock()
	if known != nil {
		*log = *known
		return nil
	}
	r, err := s.record(index)
	if errors.Is(err, hraft.ErrLogNotFound) {
		return s.endOfSnapshot(index, log)
	} else if err != nil {
		return err
	}
	*log = r.log
	return nil
}

// record reads an entry. Errors: [hraft.ErrLogNotFound]; any other error has
// been fatal.
func (s *Store) record(index uint64) (r record, err error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for before := (place{}); ; {
		s.mu.Lock()
		at, ok := s.place(index)
		s.mu.Unlock()
		if !ok {
			return r, hraft.ErrLogNotFound
		}
		if r, err = s.frame(at, index); err == nil {
			return r, nil
		}
		if engine.NoFiles(err) { // others close theirs, and the log is not damaged
			_ = sleep.For(context.Background(), filesPause)
			continue
		}
		if at == before { // else its segment may just have been removed
			err = damaged(fmt.Errorf("entry %d: %w", index, err))
			s.fatal(err)
			return r, err
		}
		before = at
	}
}

// frame reads an entry from its place. REQUIRES: reading is held.
func (s *Store) frame(at place, index uint64) (r record, err error) {
	if s.reader.file == nil || s.reader.number != at.segment {
		if err := s.openReader(at.segment); err != nil {
			return r, err
		}
	}
	// As if the segment began there: parse needs no more of it.
	b := make([]byte, at.size)
	if _, err := s.reader.file.ReadAt(b, int64(at.offset)); err != nil {
		return r, err
	}
	f, ok := parseAt(s.reader.salt, b, at.offset)
	if !ok || len(f.content) < 8 || binary.LittleEndian.Uint64(f.content) != index {
		return r, errRecord
	}
	if r, err = decode(f.content[8:]); err != nil {
		return r, err
	}
	r.log.Index = index
	return r, nil
}

// openReader opens a segment for reading instead of the one before.
func (s *Store) openReader(number uint32) error {
	if s.reader.file != nil {
		_ = s.reader.file.Close() // it was read only
		s.reader.file = nil
	}
	f, err := s.fs.Open(s.fs.PathJoin(s.dir, segmentName(number)))
	if err != nil {
		return err
	}
	var b [prologueBytes]byte
	_, err = f.ReadAt(b[:], 0)
	salt, ok := prologue(b[:])
	if err == nil && !ok {
		err = errRecord
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.reader = reader{segment{number: number, salt: salt}, f}
	return nil
}

// StoreLog implements [hraft.LogStore].
func (s *Store) StoreLog(log *hraft.Log) error { return s.StoreLogs([]*hraft.Log{log}) }

// StoreLogs implements [hraft.LogStore]. The entries must follow the last one.
// They are on the disk on return. A failed write ends the process.
func (s *Store) StoreLogs(logs []*hraft.Log) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	b, err := s.batch()
	if err != nil {
		return err
	}
	last, end := s.last, s.end
	for _, l := range logs {
		if last > 0 && l.Index != last+1 {
			return fmt.Errorf("%w: %d after %d", ErrGap, l.Index, last)
		}
		r := record{log: *l, before: end}
		b.entry(kindEntry, &r)
		last, end = l.Index, end+r.size()
	}
	if err := s.commit(b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range logs {
		s.recent.add(l)
	}
	return nil
}

// batch returns an empty batch, in the segment in which it will be written. An
// error has been fatal. REQUIRES: writing is held until the batch is committed.
func (s *Store) batch() (*batch, error) {
	if s.active.bytes >= segmentBytes {
		begun, err := s.roll()
		if err != nil && (begun || !engine.NoFiles(err) || s.active.bytes >= mostBytes) { // else this one goes on
			err = fmt.Errorf("write the Raft log: %w", err)
			s.fatal(err)
			return nil, err
		}
	}
	return &batch{salt: s.active.salt, base: uint32(s.active.bytes), buf: s.buffer[:0]}, nil
}

// commit makes a batch durable, and carries it out. An error has been fatal.
func (s *Store) commit(b *batch) error {
	if len(b.changes) == 0 {
		return nil
	}
	err := s.writeSynced(b.finish())
	if cap(b.buf) <= mostBuffer {
		s.buffer = b.buf
	}
	if err != nil {
		err = fmt.Errorf("write the Raft log: %w", err)
		s.fatal(err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.changes {
		c := &b.changes[i]
		c.at.segment = s.active.number
		if err := s.apply(c); err != nil {
			s.fatal(err)
			return err
		}
	}
	return nil
}

func (s *Store) writeSynced(content []byte) error {
	if _, err := s.active.file.WriteAt(content, int64(s.active.bytes)); err != nil {
		return err
	}
	if err := s.active.file.SyncData(); err != nil {
		return err
	}
	s.active.bytes += len(content)
	return s.noteSynced()
}

// DeleteRange implements [hraft.LogStore]. The range must begin at the first
// entry or before, or end at the last one or after, because the log has no
// gaps.
//
// If entries stay that follow the last snapshot, the snapshot's last entry
// stays as well. A leader that sends what follows the snapshot asks for that
// entry first, and would otherwise send the snapshot again.
func (s *Store) DeleteRange(from, to uint64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if first, last := s.ends(); from <= first && to < last {
		at, err := s.Snapshot()
		if err != nil {
			return err
		}
		if at.Index == 0 {
			return fmt.Errorf("%w: remove up to %d, without a snapshot", ErrGap, to)
		}
		to = min(to, at.Index-1)
	}
	b, err := s.batch()
	if err != nil {
		return err
	}
	if err := s.remove(b, from, to); err != nil {
		return err
	}
	if err := s.commit(b); err != nil {
		return err
	}
	s.forget()
	s.pruneSoon()
	return nil
}

// forget drops from memory what the log does not have any more.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent.keep(s.first, s.last)
}

func (s *Store) ends() (first, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, s.last
}

// remove stages the removal of a range. REQUIRES: writing is held.
func (s *Store) remove(b *batch, from, to uint64) error {
	first, last := s.ends()
	from, to = max(from, first), min(to, last)
	switch {
	case first == 0 || from > to:
	case from == first && to == last:
		b.empty()
	case from == first:
		b.before(to + 1)
	case to == last:
		r, err := s.record(from)
		if err != nil {
			return err
		}
		b.after(from, r.before)
	default:
		return fmt.Errorf("%w: remove %d to %d of %d to %d", ErrGap, from, to, first, last)
	}
	return nil
}

// Trim removes entries that a snapshot covers until the log holds at most most
// bytes. Entries after the snapshot stay, however large they are.
func (s *Store) Trim(snapshot, most uint64) error {
	s.mu.Lock()
	e := struct{ first, last, end uint64 }{s.first, s.last, s.end}
	s.mu.Unlock()
	low, high := e.first, min(snapshot, e.last)+1 // of the index to keep from
	for low < high {
		middle := low + (high-low)/2
		r, err := s.record(middle)
		if err != nil {
			return err
		}
		if e.end-r.before <= most {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if low <= e.first {
		return nil
	}
	return s.DeleteRange(e.first, low-1)
}

// Bytes returns how many bytes the entries after an index have together.
func (s *Store) Bytes(after uint64) (uint64, error) {
	s.mu.Lock()
	e := struct{ first, last, end uint64 }{s.first, s.last, s.end}
	s.mu.Unlock()
	if e.first == 0 || after >= e.last {
		return 0, nil
	}
	r, err := s.record(max(after+1, e.first))
	if err != nil {
		return 0, err
	}
	return e.end - r.before, nil
}

// Set implements [hraft.StableStore]. The value is on the disk on return.
func (s *Store) Set(key, value []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	b, err := s.batch()
	if err != nil {
		return err
	}
	b.set(string(key), value)
	if string(key) == keyVoteCandidate && s.voteTerm != nil {
		b.set(keyVoteTerm, s.voteTerm)
		s.voteTerm = nil
	}
	return s.commit(b)
}

// Get implements [hraft.StableStore].
func (s *Store) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.meta[string(key)]), nil
}

// SetUint64 implements [hraft.StableStore]. The term of a vote is written
// together with its candidate, by the next [Store.Set]: until then, the vote is
// not given.
func (s *Store) SetUint64(key []byte, value uint64) error {
	encoded := binary.BigEndian.AppendUint64(nil, value)
	if string(key) == keyVoteTerm {
		s.voteTerm = encoded
		return nil
	}
	return s.Set(key, encoded)
}

// GetUint64 implements [hraft.StableStore].
func (s *Store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != 8 {
		err := damaged(fmt.Errorf("%s has %d bytes", key, len(value)))
		s.fatal(err)
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}

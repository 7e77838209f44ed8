// Package logstore keeps what one server of a group has promised in Raft: the
// group's log, the server's term and vote, and where its last snapshot ends. It
// is the LogStore and the StableStore of hashicorp/raft, in one database.
//
// Everything that a method has returned survives a power cut. If a write fails,
// or if something that was written cannot be read, the process has to end: the
// library logs such an error and goes on, but the server could then break what
// it has promised to the others.
package logstore

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	hraft "github.com/hashicorp/raft"

	"trackway/internal/store/engine"
	"trackway/internal/store/scrub"
)

// The tables, by the first byte of a key. The engine keeps each of them in
// files of its own, and moves the log's files without rewriting them.
const (
	tableLog  = 'l' // index → record
	tableMeta = 'm' // name → value
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
	memTable    = 16 << 20
	memTables   = 8 // so that a burst does not wait for flushes
	blockCache  = 4 << 20
)

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

// share returns this log's share of an amount of memory. Below a mebibyte, it
// would write all the time.
func (o *Options) share(bytes int) int { return max(bytes/max(o.Logs, 1), 1<<20) }

// Store is the log and the promises of one server in one group. Its methods are
// safe for concurrent use.
type Store struct {
	db    *engine.Database
	dir   string
	fatal func(error)

	files    *scrub.Files
	readers  scrub.Readers // none: no reader outlives a call
	alone    sync.Mutex    // nothing else replaces files
	cleaning sync.Mutex    // held by Clean

	// voteTerm is the first half of a vote, until the second half comes.
	// Otherwise a crash between the two would combine the new term with the
	// candidate of an old one, and the server would vote for that candidate
	// without looking at its log (hashicorp/raft, issue 661). Only the
	// library's main goroutine votes. Others set the current term meanwhile.
	voteTerm []byte

	// writing is held while the log changes, so that mu need not be held while
	// the disk is synced.
	writing sync.Mutex

	// mu guards the fields below. Nothing is written or read under it.
	mu          sync.Mutex
	first, last uint64 // indexes; 0: the log is empty
	end         uint64 // bytes of all entries up to the last one, since the log began
	recent      recent
}

// Open opens the store in dir, and creates it if it does not exist. Errors:
// [ErrDamaged]; any error of the disk.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{dir: dir, fatal: o.Fatal, recent: recent{most: cmp.Or(o.Recent, o.share(usualRecent))}}
	eo := engine.Options{
		FS: o.FS, Log: o.Log, Cache: int64(o.share(blockCache)), MemTable: o.share(memTable), Files: o.Files, Fatal: o.Fatal,
		Plain: true, // entries leave the log soon: compressing them costs more than it saves
	}
	var opened atomic.Bool
	eo.Damaged = func(path string, err error) { // in a goroutine of Pebble's, too
		if opened.Load() { // Open returns what it finds
			o.Fatal(damaged(fmt.Errorf("%s: %w", path, err)))
		}
	}
	db, err := engine.Open(dir, eo, func(po *pebble.Options) {
		po.MemTableStopWritesThreshold = memTables
		s.files = scrub.NewFiles(po)
	})
	if err != nil {
		if errors.Is(err, engine.ErrDamagedLog) || pebble.IsCorruptionError(err) {
			err = damaged(err)
		}
		return nil, fmt.Errorf("open the Raft log in %s: %w", dir, err)
	}
	s.db = db
	err = s.load()
	opened.Store(true)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the Raft log in %s: %w", dir, err), db.Close())
	}
	return s, nil
}

// damagedError is [ErrDamaged] with its cause. Its text leaves out what the
// cause says about repairs, which are those of a store.
type damagedError struct{ cause error }

func damaged(cause error) error { return &damagedError{cause} }

func (e *damagedError) Error() string {
	cause := e.cause.Error()
	if errors.Is(e.cause, engine.ErrDamagedLog) {
		cause = "its write-ahead log lacks what was synced to it"
	}
	return ErrDamaged.Error() + ": " + cause
}

func (e *damagedError) Unwrap() []error { return []error{ErrDamaged, e.cause} }

// load finds the ends of the log. The entries between them must be there, and
// follow the last snapshot.
func (s *Store) load() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableLog}, UpperBound: []byte{tableLog + 1}})
	if err != nil {
		return err
	}
	if it.First() {
		s.first, err = indexOf(it.Key())
		if err == nil && it.Last() {
			if s.last, err = indexOf(it.Key()); err == nil {
				var r record
				if r, err = decode(it.Value()); err == nil {
					s.end = r.before + r.size()
				}
			}
		}
	}
	if err := errors.Join(err, it.Error(), it.Close()); err != nil {
		return damaged(err)
	}
	snapshot, err := s.Snapshot()
	if err != nil {
		return damaged(err)
	}
	if s.first > snapshot.Index+1 {
		return damaged(fmt.Errorf("it begins with entry %d, after a snapshot of %d", s.first, snapshot.Index))
	}
	return nil
}

// Close closes the store, which must not be used afterwards.
func (s *Store) Close() error { return s.db.Close() }

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
	if err != nil {
		return err
	}
	*log = r.log
	log.Index = index
	return nil
}

// record reads an entry. Errors: [hraft.ErrLogNotFound]; any other error has
// been fatal.
func (s *Store) record(index uint64) (r record, err error) {
	value, closer, err := s.db.Get(appendKey(nil, index))
	if errors.Is(err, pebble.ErrNotFound) {
		return r, hraft.ErrLogNotFound
	}
	if err == nil {
		r, err = decode(value)
		err = errors.Join(err, closer.Close())
	}
	if err != nil {
		err = damaged(fmt.Errorf("entry %d: %w", index, err))
		s.fatal(err)
	}
	return r, err
}

// StoreLog implements [hraft.LogStore].
func (s *Store) StoreLog(log *hraft.Log) error { return s.StoreLogs([]*hraft.Log{log}) }

// StoreLogs implements [hraft.LogStore]. The entries must follow the last one.
// They are on the disk on return. A failed write ends the process.
func (s *Store) StoreLogs(logs []*hraft.Log) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	first, last, end := s.first, s.last, s.end
	s.mu.Unlock()
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }()
	var key, value []byte
	for _, l := range logs {
		if last > 0 && l.Index != last+1 {
			return fmt.Errorf("%w: %d after %d", ErrGap, l.Index, last)
		}
		r := record{log: *l, before: end}
		key, value = appendKey(key[:0], l.Index), r.append(value[:0])
		if err := b.Set(key, value, nil); err != nil {
			return err
		}
		if last, end = l.Index, end+r.size(); first == 0 {
			first = l.Index
		}
	}
	if err := s.commit(b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first, s.last, s.end = first, last, end
	for _, l := range logs {
		s.recent.add(l)
	}
	return nil
}

// commit makes a batch durable. An error has been fatal.
func (s *Store) commit(b *pebble.Batch) error {
	// The mark tells damage from a torn end: see package journal.
	err := b.LogData(s.db.Synced().Append(nil), nil)
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	if err != nil {
		err = fmt.Errorf("write the Raft log: %w", err)
		s.fatal(err)
	}
	return err
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
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }()
	after, err := s.remove(b, from, to)
	if err != nil || b.Empty() {
		return err
	}
	if err := s.commit(b); err != nil {
		return err
	}
	s.set(after)
	return nil
}

func (s *Store) ends() (first, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, s.last
}

// extent is the ends of a log.
type extent struct{ first, last, end uint64 }

func (s *Store) set(e extent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first, s.last, s.end = e.first, e.last, e.end
	s.recent.keep(e.first, e.last)
}

// remove stages the removal of a range, and returns the ends that the log then
// has. REQUIRES: writing is held.
func (s *Store) remove(b *pebble.Batch, from, to uint64) (extent, error) {
	s.mu.Lock()
	e := extent{s.first, s.last, s.end}
	s.mu.Unlock()
	from, to = max(from, e.first), min(to, e.last)
	if e.first == 0 || from > to {
		return e, nil
	}
	if from != e.first && to != e.last {
		return e, fmt.Errorf("%w: remove %d to %d of %d to %d", ErrGap, from, to, e.first, e.last)
	}
	if err := b.DeleteRange(appendKey(nil, from), appendKey(nil, to+1), nil); err != nil {
		return e, err
	}
	switch {
	case from == e.first && to == e.last:
		e = extent{}
	case from == e.first:
		e.first = to + 1
	default:
		r, err := s.record(from)
		if err != nil {
			return e, err
		}
		e.last, e.end = from-1, r.before
	}
	return e, nil
}

// Trim removes entries that a snapshot covers until the log holds at most most
// bytes. Entries after the snapshot stay, however large they are.
func (s *Store) Trim(snapshot, most uint64) error {
	s.mu.Lock()
	e := extent{s.first, s.last, s.end}
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
	e := extent{s.first, s.last, s.end}
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
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }()
	err := b.Set(metaKey(string(key)), value, nil)
	if string(key) == keyVoteCandidate && s.voteTerm != nil {
		err = errors.Join(err, b.Set(metaKey(keyVoteTerm), s.voteTerm, nil))
		s.voteTerm = nil
	}
	if err != nil {
		return err
	}
	return s.commit(b)
}

// Get implements [hraft.StableStore].
func (s *Store) Get(key []byte) ([]byte, error) {
	value, closer, err := s.db.Get(metaKey(string(key)))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		value = append([]byte{}, value...)
		err = closer.Close()
	}
	if err != nil {
		err = damaged(fmt.Errorf("%s: %w", key, err))
		s.fatal(err)
	}
	return value, err
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

func metaKey(name string) []byte { return append([]byte{tableMeta}, name...) }

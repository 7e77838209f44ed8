// Package store keeps customers and events in one directory, so that everything
// it has acknowledged survives a power cut.
//
// Under a lock, it commits each change to the write-ahead log, in order and
// without waiting for the disk. Then, outside the lock, the caller waits at a
// barrier, whose fsync it shares with all other waiting callers. The log of
// events is the primary copy; everything else is a small index into it.
// DESIGN.md gives the reasons, docs/format.md every byte.
//
// The store is a function of the commands that it receives, in order: it reads
// no clock and knows no configuration. It draws one random number, the key of
// its hashes, before there are commands. It does not validate commands;
// internal/ingest does.
package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/log/local"
	"trackway/internal/query"
	"trackway/internal/store/cache"
	"trackway/internal/store/counts"
	"trackway/internal/store/damage"
	"trackway/internal/store/digest"
	"trackway/internal/store/engine"
	"trackway/internal/store/follow"
	"trackway/internal/store/format"
	"trackway/internal/store/journal"
	"trackway/internal/store/overlay"
	"trackway/internal/store/prepared"
	"trackway/internal/store/reading"
	"trackway/internal/store/registry"
	"trackway/internal/store/scrub"
	"trackway/internal/store/stuck"
	"trackway/internal/store/totals"
)

// FormatVersion is the newest version of the layout of keys and records. A
// store of a version that this program does not read is refused.
const FormatVersion = format.Keyed

// ErrInUse is the error of [Open] if another process has the directory open.
var ErrInUse = errors.New("the data directory is in use by another process")

// Options configures a store. The zero value of each field but Fatal is usable.
type Options struct {
	FS       vfs.FS                // nil: the operating system's
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: no metrics
	Cache    int64                 // size of the cache of decompressed blocks in bytes; 0: 64 MiB
	Known    int64                 // size of the cache of recent customers in bytes; 0: 64 MiB
	MemTable int                   // size of each memtable in bytes, of which there are at most four; 0: 16 MiB
	Files    uint64                // most files that the process may open; 0: the operating system's limit

	Name string // random and unique, for a store without a name; empty: the store stays without one

	// Open opens the log that orders the changes of the store; nil: a log of
	// this store alone. The store can be used already. Close closes the log.
	Open func(Replica) (Log, error)

	// Fatal is called if the disk has failed to keep what was written, above
	// all after a failed fsync. From then on no write can be trusted to last,
	// so Fatal must end the process and not return.
	Fatal func(error)

	salvage  bool // leave out what follows damage in the write-ahead log
	readOnly bool
	plain    bool // do not compress tables, so that a test can search them
}

func pebbleOptions(o Options) *pebble.Options {
	return engine.Pebble(engineOptions(o))
}

func engineOptions(o Options) engine.Options {
	return engine.Options{
		FS: o.FS, Log: o.Log, Cache: o.Cache, MemTable: o.MemTable, Fatal: o.Fatal, Files: o.Files, Plain: o.plain, Salvage: o.salvage, ReadOnly: o.readOnly,
	}
}

// Log orders the changes of stores and has the stores apply them. If it keeps
// entries, it has a method Clean, which removes those from its files that were
// applied before: they may hold erased data.
type Log interface {
	// Append returns when the entry is applied and its effects are durable,
	// unless a crash may forget its kind. The entry then holds its results.
	Append(e entry.Entry) error

	// Close ends the log: it refuses whatever is appended from then on.
	Close()
}

// Store is a directory of customers and events. Its methods are safe for
// concurrent use.
type Store struct {
	machine // the state; changes to it go through log
	follow.Feed

	log    Log
	engine *engine.Database // db with the layer between it and its files
	fs     *scrub.Files
	dir    string
	name   string // empty: not known
	stuck  *stuck.State
	copies follow.Copies

	prepared prepared.Room

	// upkeep is held by work on the files as a whole: a backup, or the end of a
	// clean-up.
	upkeep  sync.Mutex
	readers scrub.Readers

	// rewriting serializes erasures, and the removal of expired events.
	rewriting sync.Mutex
}

// Open opens the store in dir, and creates it if it does not exist. It recovers
// everything that was acknowledged before a crash. Errors: [ErrInUse];
// [ErrDamagedLog]; a store of an unknown format; a limit of open files that is
// too low (see [Descriptors]); any error of the disk.
func Open(dir string, o Options) (*Store, error) {
	logger := cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	s := &Store{dir: dir, stuck: stuck.New(logger.With("dir", dir))}
	s.cache, s.damaged = cache.New(cmp.Or(o.Known, cache.Usual)), damage.New(logger)
	s.used = cache.NewUsed(cmp.Or(o.Known, cache.Usual))
	s.mostMoved, s.mostKept = maxMoved, maxKept
	eo := engineOptions(o)
	eo.Damaged, eo.Stuck = func(path string, err error) { s.damaged.Note(damage.File, path, err) }, s.stuck.Set
	db, err := engine.Open(dir, eo, func(po *pebble.Options) { s.fs = scrub.NewFiles(po) })
	if err != nil {
		return nil, inUse(dir, err)
	}
	s.db, s.engine = db.DB, db
	s.staged, s.Ledger = overlay.New(s.db), digest.New(s.readers.Enter)
	s.usage = totals.NewTally(s.db, func(what string, err error) { s.damaged.Note(damage.Usage, what, err) })
	s.counts = counts.New(s.db, func(err error) { s.damaged.Note(damage.Count, err.Error(), err) })
	s.Feed = follow.New(s.db, &s.synced, s.noteEvent)
	marks := sync.Pool{New: func() any { return new([journal.MarkLen]byte) }}
	s.sync = func() error {
		mark, _ := marks.Get().(*[journal.MarkLen]byte)
		defer marks.Put(mark)
		return db.LogData(db.Synced().Append(mark[:0]), pebble.Sync)
	}
	err = s.fs.RemoveAll(s.staging()) // an interrupted backup left it, with everything erased since
	if err == nil {
		err = s.prepare()
	}
	if err == nil {
		s.name, err = engine.Name(s.db, o.Name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store in %s: %w", dir, err), db.Close())
	}
	s.committed.Store(s.nextSeq - 1)
	s.synced.Raise(s.nextSeq - 1) // opening has synced what it found in the write-ahead log
	s.used.Learn(s.db, format.TableIDs, &s.mu, s.readers.Enter())
	if s.log, err = s.openLog(o); err != nil {
		s.used.Stop()
		return nil, errors.Join(err, s.counts.Close(), db.Close())
	}
	if o.Registry != nil {
		o.Registry.MustRegister(newCollector(s), db.Collector())
	}
	return s, nil
}

// openLog opens the log. From then on, the store may change.
func (s *Store) openLog(o Options) (Log, error) {
	if o.Open == nil {
		return local.Open(&s.machine), nil
	}
	return o.Open(s.Replica())
}

// inUse wraps the error of a failed opening. It is [ErrInUse] if another
// process has the store open.
func inUse(dir string, err error) error {
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	return fmt.Errorf("open store in %s: %w", dir, err)
}

// prepare loads what the store needs before it can be used.
func (s *Store) prepare() error {
	version, err := engine.CheckFormat(s.db)
	if err != nil {
		return err // above all, write nothing into a store of an unknown format
	}
	if version == 0 { // it may get a key later
		if err := s.db.Set([]byte(format.KeyFormat), strconv.AppendInt(nil, format.Unkeyed, 10), pebble.Sync); err != nil {
			return err
		}
	}
	key, err := registry.HashKey(s.db)
	if err != nil {
		return err
	}
	s.key.Store(key)
	for _, step := range []func() error{s.findNext, s.findApplied, s.findErasures, s.recount} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Name returns the store's name, which only its restored backups share. It is
// empty if the store has no name and [Options] gave it none.
func (s *Store) Name() string { return s.name }

// Close waits for background work and closes the store, which must not be used
// afterwards. Acknowledged data is safe without a Close; Close only saves the
// next Open some work.
func (s *Store) Close() error {
	s.log.Close()
	s.Stop()
	s.used.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.counts.Close(), s.engine.Close())
}

// findNext finds the next sequence number and customer number. No number is
// assigned twice: removing the last event or another change adds a later
// change, and a customer's record is never deleted.
func (s *Store) findNext() error {
	seq, err := engine.Last(s.db, []byte{format.TableLog})
	if err != nil {
		return fmt.Errorf("find the log's last event: %w", err)
	}
	last, err := engine.Last(s.db, []byte{format.TableChanges})
	if err != nil {
		return fmt.Errorf("find the last change: %w", err)
	}
	noted, err := s.number(format.KeyNextSeq)
	if err != nil {
		return fmt.Errorf("find the log's next number: %w", err)
	}
	s.nextSeq = max(seq+1, last+1, noted)
	for project := uint32(1); ; project++ {
		last, err := engine.Last(s.db, format.CustomersPrefix(project))
		if err != nil {
			return fmt.Errorf("find the last customer of project %d: %w", project, err)
		}
		s.nextCustomer = max(s.nextCustomer, trackway.Customer(last)+1)
		if known, err := registry.Count(s.db); err != nil || project >= known {
			return err
		}
	}
}

// findApplied loads the index of the last applied entry.
func (s *Store) findApplied() error {
	index, err := s.number(format.KeyApplied)
	s.applied.Store(index)
	return err
}

// number reads the number at a key, or 0 if the key does not exist.
func (m *machine) number(key string) (uint64, error) {
	value, closer, err := m.db.Get([]byte(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	if len(value) != 8 {
		return 0, errors.Join(fmt.Errorf("%s: %w", key, format.ErrCorrupt), closer.Close())
	}
	n := binary.BigEndian.Uint64(value)
	return n, closer.Close()
}

// Snapshot implements [query.Store].
func (s *Store) Snapshot() query.Snapshot {
	// taken before the snapshot exists, so that waiting for readers includes it
	left := s.readers.Enter()
	return reading.New(s.db.NewSnapshot(), s.counts, left)
}

// Version implements [query.Store].
func (s *Store) Version(project uint32) change.Version { return s.versions.Of(project) }

// Descriptors returns the most files that a store opens if the process may open
// up to limit files (the soft RLIMIT_NOFILE). The rest of the limit is for
// connections and other files of the process. If the limit is too low for a
// store, the error says how many files it needs. [Open] returns the same error.
func Descriptors(limit uint64) (files int, err error) { return engine.Descriptors(limit) }

// ErrDamagedLog is the error of [Open] if the write-ahead log lacks something
// that was acknowledged. See [Salvage].
var ErrDamagedLog = engine.ErrDamagedLog

// Ready returns nil while the store can write, and otherwise the reason it
// cannot. It does not access the disk: it reports the result of the last write.
func (s *Store) Ready() error { return s.stuck.Why() }

// Package store keeps customers and events in one directory, so that what it has acknowledged survives a power cut.
//
// Its one idea: a change is committed to the write-ahead log without waiting, under a lock, in order; and then, outside the
// lock, waits at a barrier whose fsync it shares with all others that wait. The log of events is the primary copy; all the
// rest are small indexes into it. DESIGN.md argues, docs/format.md gives every byte.
//
// The store is a function of the commands it was given, in order: it reads no clock, draws no random numbers and knows no
// configuration. It validates nothing: that is internal/ingest's.
package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/cache"
	"trackway/internal/store/counts"
	"trackway/internal/store/damage"
	"trackway/internal/store/engine"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/journal"
	"trackway/internal/store/reading"
	"trackway/internal/store/scrub"
	"trackway/internal/store/stuck"
	"trackway/internal/store/totals"
)

// FormatVersion is the version of the layout of keys and records. A store of
// any other version is refused, not guessed at.
const FormatVersion = 3

// ErrInUse is returned by [Open] when another process has the directory open.
var ErrInUse = errors.New("the data directory is in use by another process")

// Options configures a store. The zero value of each field but Fatal is usable.
type Options struct {
	FS       vfs.FS                // nil: the operating system's
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: no metrics
	Cache    int64                 // bytes of decompressed blocks kept in memory; 0: 128 MiB
	MemTable int                   // bytes of each table in memory, of which there are four at most; 0: 32 MiB
	Files    uint64                // how many files the process may have open; 0: as the operating system says

	Name string // for a store that has none yet: random, so that no other store has it; empty: it gets none

	// Fatal is called when the disk has failed to keep what was written (a failed fsync, above all). After that nothing that
	// is written can be trusted to last, so it must end the process and not return.
	Fatal func(error)

	salvage  bool // what follows damage in the write-ahead log is left out
	readOnly bool
	plain    bool // tables are not compressed, so that a test finds what is in them
}

func pebbleOptions(o Options) *pebble.Options {
	return engine.Pebble(engineOptions(o))
}

func engineOptions(o Options) engine.Options {
	return engine.Options{
		FS: o.FS, Log: o.Log, Cache: o.Cache, MemTable: o.MemTable, Fatal: o.Fatal, Files: o.Files, Plain: o.plain, Salvage: o.salvage, ReadOnly: o.readOnly,
	}
}

// Store is a directory of customers and events. Its methods are safe for concurrent use.
type Store struct {
	db     *pebble.DB
	engine *engine.Database // db, and what stands between it and its files
	fs     *scrub.Files
	dir    string
	name   string       // empty: not known
	sync   func() error // see barrier; a test takes it away, to show that it is what keeps things

	synced watermark

	gathering gathering // takes in requests while others are applied

	// upkeep is held by what works on the files as a whole: a backup, the end of a clean-up. It is taken before mu.
	upkeep  sync.Mutex
	readers scrub.Readers

	// rewriting is held by whoever rewrites or removes events of the log: an erasure, or what makes them expire. It is taken
	// before mu, and for much longer, so that they can read outside mu what only they change.
	rewriting sync.Mutex

	// mu makes resolving an identity, which reads and then writes, one step, and puts commits in order. It guards what
	// follows. Reads of the database and a commit that does not wait for the disk are done under it; an fsync only where a
	// project is registered, which is at a start or a reload.
	mu           sync.Mutex
	nextSeq      uint64
	nextCustomer trackway.Customer
	cache        cache.Cache
	usage        map[totals.Day]query.Usage
	nextErasure  uint64
	scratch      scratch

	// Bounds, which a test makes small: see maxMoved and maxKept.
	mostMoved, mostKept int
	held                func(moved int) // a test is told how much moved under one hold; nil: nobody is

	log      *slog.Logger
	counts   *counts.Counter
	damaged  *damage.Ledger
	pending  erased.Schedule // erasures whose bytes may still be in files
	stuck    *stuck.State
	versions cache.Versions
}

// Open opens the store in dir, creating it if there is none. It recovers whatever was acknowledged before a crash.
// Errors: [ErrInUse]; [ErrDamagedLog]; a store of an unknown format; a limit of
// open files that is too low (see [Descriptors]); any error of the disk.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{
		dir: dir, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)), cache: cache.New(cache.Size), usage: make(map[totals.Day]query.Usage),
		mostMoved: maxMoved, mostKept: maxKept,
	}
	s.damaged, s.stuck = damage.New(s.log), stuck.New(s.log.With("dir", dir))
	eo := engineOptions(o)
	eo.Damaged, eo.Stuck = func(path string, err error) { s.damaged.Note(damage.File, path, err) }, s.stuck.Set
	db, err := engine.Open(dir, eo, func(po *pebble.Options) { s.fs = scrub.NewFiles(po) })
	if err != nil {
		return nil, inUse(dir, err)
	}
	s.db, s.engine = db.DB, db
	s.counts = counts.New(s.db, func(err error) { s.damaged.Note(damage.Count, err.Error(), err) })
	marks := sync.Pool{New: func() any { return new([journal.MarkLen]byte) }}
	s.sync = func() error {
		mark, _ := marks.Get().(*[journal.MarkLen]byte)
		defer marks.Put(mark)
		return db.LogData(db.Synced().Append(mark[:0]), pebble.Sync)
	}
	err = s.fs.RemoveAll(s.staging()) // a backup that was cut off has left it, with all that was erased since
	if err == nil {
		err = s.prepare()
	}
	if err == nil {
		s.name, err = engine.Name(s.db, o.Name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store in %s: %w", dir, err), db.Close())
	}
	s.synced.raise(s.nextSeq - 1) // opening has put on the disk what it found in the write-ahead log
	if o.Registry != nil {
		o.Registry.MustRegister(newCollector(s))
	}
	return s, nil
}

// inUse says that an opening failed, and whether for another process.
func inUse(dir string, err error) error {
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	return fmt.Errorf("open store in %s: %w", dir, err)
}

// prepare reads what has to be known before the store can be used.
func (s *Store) prepare() error {
	known, err := s.checkFormat()
	if err != nil {
		return err // above all, nothing is written into a store of an unknown format
	}
	if !known {
		if err := s.db.Set([]byte(format.KeyFormat), strconv.AppendInt(nil, FormatVersion, 10), pebble.Sync); err != nil {
			return err
		}
	}
	for _, step := range []func() error{s.findNext, s.findErasures, s.recount} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Name tells this store from all others, a restored backup aside; empty where [Options] gave it none.
func (s *Store) Name() string { return s.name }

// Close waits for background work and closes the store. It must not be used after that. What was acknowledged needs no Close
// to be kept; it spares the next Open some work.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.counts.Close(), s.engine.Close())
}

// checkFormat reports whether the store has a format version, which a new one
// has not, and refuses all but this program's. It writes nothing.
func (s *Store) checkFormat() (known bool, err error) {
	value, closer, err := s.db.Get([]byte(format.KeyFormat))
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	found := string(value)
	if err := closer.Close(); err != nil {
		return false, err
	}
	if found != strconv.Itoa(FormatVersion) {
		return false, fmt.Errorf("the store has format version %q, this program reads version %d only: "+
			"export it with the build that wrote it (trackway export --raw), then import", found, FormatVersion)
	}
	return true, nil
}

// findNext finds the sequence number and the customer number to go on with. No number is given out twice: whoever deletes the
// log's last record notes its number, and a customer's record is never deleted.
func (s *Store) findNext() error {
	seq, err := s.last([]byte{format.TableLog})
	if err != nil {
		return fmt.Errorf("find the log's last event: %w", err)
	}
	noted, err := s.savedNextSeq()
	if err != nil {
		return fmt.Errorf("find the log's next number: %w", err)
	}
	s.nextSeq = max(seq+1, noted)
	for project := uint32(1); ; project++ {
		last, err := s.last(format.CustomersPrefix(project))
		if err != nil {
			return fmt.Errorf("find the last customer of project %d: %w", project, err)
		}
		s.nextCustomer = max(s.nextCustomer, trackway.Customer(last)+1)
		if known, err := s.projects(); err != nil || project >= known {
			return err
		}
	}
}

// last returns the number that ends the last key under prefix, 0 where there is none.
func (s *Store) last(prefix []byte) (uint64, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: format.After(prefix)})
	if err != nil {
		return 0, err
	}
	var n uint64
	if it.Last() {
		key := it.Key()
		if len(key) < len(prefix)+8 {
			return 0, errors.Join(fmt.Errorf("key %x: %w", key, format.ErrCorrupt), it.Close())
		}
		n = binary.BigEndian.Uint64(key[len(key)-8:])
	}
	return n, errors.Join(it.Error(), it.Close())
}

// Project returns the store's number of the project with this token, giving it one if it has none. Durable on return.
func (s *Store) Project(token string) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := format.Key(nil).Project(token)
	value, closer, err := s.db.Get(key)
	if err == nil {
		if len(value) != 4 {
			return 0, errors.Join(fmt.Errorf("number of a project: %w", format.ErrCorrupt), closer.Close())
		}
		n := binary.BigEndian.Uint32(value)
		return n, closer.Close()
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return 0, err
	}
	n, err := s.projects()
	if err != nil {
		return 0, err
	}
	return n + 1, s.db.Set(key, binary.BigEndian.AppendUint32(nil, n+1), pebble.Sync)
}

// Identifiers notes which identifiers of the projects are hard and which soft: all of it or, with an error, nothing. A name
// keeps its kind for ever, for the customers' records and the index are made by it: the error names one that is configured
// to be of the other.
func (s *Store) Identifiers(projects []trackway.Project) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // gives memory back
	for i := range projects {
		p := &projects[i]
		for i, name := range slices.Concat(p.Hard, p.Soft) {
			kind := byte(0)
			if i < len(p.Hard) {
				kind = format.FlagHard
			}
			if err := s.noteIdentifier(b, p.Number, name, kind); err != nil {
				return fmt.Errorf("project %q: %w", p.Name, err)
			}
		}
	}
	return b.Commit(pebble.Sync)
}

func (s *Store) noteIdentifier(b *pebble.Batch, project uint32, name string, kind byte) error {
	key := format.Key(nil).Identifier(project, name)
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return b.Set(key, []byte{kind}, nil)
	} else if err != nil {
		return err
	}
	same := bytes.Equal(value, []byte{kind})
	if err := closer.Close(); err != nil || same {
		return err
	}
	return fmt.Errorf("identifier %q: a hard one cannot become soft, nor a soft one hard: use a new name", name)
}

// projects returns how many projects have a number; they are numbered from 1.
func (s *Store) projects() (n uint32, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte(format.PrefixProject), UpperBound: format.After([]byte(format.PrefixProject))})
	if err != nil {
		return 0, err
	}
	for it.First(); it.Valid(); it.Next() {
		n++
	}
	return n, errors.Join(it.Error(), it.Close())
}

// barrier returns when all that was committed before it is on the disk. What
// counts is the place of its record in the write-ahead log, and that Pebble
// shares one fsync among all who wait. The record says how far the log was synced
// before, so that damage is told from a torn end: see package journal. A failed
// fsync does not return: see [Options].
func (s *Store) barrier() error { return s.sync() }

// Snapshot implements [query.Store].
func (s *Store) Snapshot() query.Snapshot {
	left := s.readers.Enter() // before the snapshot is there: who waits for readers waits for it
	return reading.New(s.db.NewSnapshot(), s.counts, left)
}

// Version implements [query.Store].
func (s *Store) Version(project uint32) uint64 {
	return s.versions.Of(project).Load()
}

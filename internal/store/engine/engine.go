// Package engine says how Pebble is set up for a store. Each of the store's
// tables has files of its own, so below level 0 nothing rewrites the log, which
// only grows at its end.
package engine

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/format"
	"trackway/internal/store/journal"
)

// Sizes and thresholds, as docs/adr/0001-log-primary-layout.md measured them.
const (
	defaultCache = 128 << 20
	defaultTable = 32 << 20 // in memory
	blockSize    = 32 << 10
	tableSize    = 32 << 20 // of the upper levels: below level 0 tables of the log are moved as they are
)

// Options is what a store is opened with.
type Options struct {
	FS       vfs.FS                       // nil: the operating system's
	Log      *slog.Logger                 // nil: nothing is logged
	Cache    int64                        // bytes of decompressed blocks kept in memory; 0: 128 MiB
	MemTable int                          // bytes of each table in memory; 0: 32 MiB
	Fatal    func(error)                  // is told what Pebble cannot go on after
	Damaged  func(path string, err error) // is told of a part of a file that cannot be read, as is whoever wanted to read it; nil: nobody
	Stuck    func(error)                  // is told why tables cannot be written, and nil when they can be again; nil: nobody is
	Plain    bool                         // tables are not compressed, so that a test finds what is in them
	Files    uint64                       // how many files the process may have open; 0: as the operating system says

	// Salvage has [Open] leave out what follows damage in the write-ahead log.
	Salvage bool
	// ReadOnly has [Open] change nothing but the lock's file.
	ReadOnly bool
}

// Pebble returns the options of a database that is no store in use, such as a
// backup.
func Pebble(o Options) *pebble.Options {
	po, _ := prepare("", o)
	return po
}

// Database is a database with what stands between it and its files.
type Database struct {
	*pebble.DB

	disk *disk
	lost *Lost
}

// Synced returns how far the write-ahead log was synced.
func (d *Database) Synced() journal.Mark { return d.disk.synced.latest() }

// Lost returns what an opening with Salvage has left out, nil if nothing.
func (d *Database) Lost() *Lost { return d.lost }

// Close closes the database.
func (d *Database) Close() error { return errors.Join(d.DB.Close(), d.disk.synced.close()) }

// Open opens the database in dir, and makes it if there is none. use is called
// with the options before they are used. Errors: [ErrDamagedLog]; a limit of
// open files that is too low; those of Pebble.
func Open(dir string, o Options, use func(*pebble.Options)) (*Database, error) {
	limit := o.Files
	if limit == 0 {
		var err error
		if limit, err = openFiles(); err != nil {
			return nil, fmt.Errorf("look how many files may be open: %w", err)
		}
	}
	if _, err := Descriptors(limit); err != nil {
		return nil, err
	}
	o.Files = limit
	if !o.ReadOnly {
		if err := begin(dir, o); err != nil {
			return nil, err
		}
	}
	return open(dir, o, use)
}

func open(dir string, o Options, use func(*pebble.Options)) (*Database, error) {
	po, d := prepare(dir, o)
	use(po)
	watch := &opening{salvage: o.Salvage, torn: func(name string, at int64) {
		if o.Log != nil {
			o.Log.Info("the write-ahead log has a torn end, as after a power cut: what is behind it was not acknowledged", "log", name, "byte", at)
		}
	}}
	d.opening.Store(watch)
	if err := d.synced.load(); err != nil {
		return nil, err
	}
	if err := watch.look(d); err != nil {
		return nil, err
	}
	db, err := pebble.Open(dir, po)
	if watch.refused != nil {
		return nil, watch.refused // without what Pebble was doing
	} else if err != nil {
		return nil, err
	}
	d.opening.Store(nil)
	return &Database{DB: db, disk: d, lost: watch.lost}, nil
}

func prepare(dir string, o Options) (*pebble.Options, *disk) {
	if o.Cache == 0 {
		o.Cache = defaultCache
	}
	o.MemTable = cmp.Or(o.MemTable, defaultTable)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Damaged == nil {
		o.Damaged = func(string, error) {}
	}
	if o.Stuck == nil {
		o.Stuck = func(error) {}
	}
	d := &disk{dir: dir, fatal: o.Fatal, stuck: o.Stuck, pause: retryPause, failures: &failures{log: o.Log, now: time.Now}}
	po := &pebble.Options{
		FS:                          o.FS,
		CacheSize:                   o.Cache + 2*int64(o.MemTable), // Pebble takes memtables off the cache
		FormatMajorVersion:          pebble.FormatValueSeparation,  // raising it is a step that cannot be undone: not with each upgrade
		MemTableSize:                uint64(o.MemTable),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       40,
		LBaseMaxBytes:               256 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		ReadOnly:                    o.ReadOnly,
		MaxManifestFileSize:         1, // a new one as soon as it is worth it: see package scrub
		Logger:                      logger{o.Log, o.Fatal},
		EventListener: &pebble.EventListener{
			FlushEnd:        d.flushed,
			CompactionEnd:   d.compacted,
			BackgroundError: d.failures.met,
			// Without this Pebble ends the process: one block that nobody but a reader of old events needs would stop all tracking.
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				o.Damaged(info.Path, info.Details)
				d.rest()
			},
		},
	}
	po.TargetFileSizes[0], po.TargetFileSizes[1] = tableSize, tableSize
	po.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		if o.Plain {
			return pebble.UniformDBCompressionSettings(sstable.NoCompression)
		}
		return pebble.UniformDBCompressionSettings(sstable.BalancedCompression)
	})
	po.Experimental.SpanPolicyFunc = spanPolicy
	for i := range po.Levels {
		po.Levels[i].BlockSize = blockSize
		po.Levels[i].IndexBlockSize = 256 << 10
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	if o.Files >= leastFiles {
		po.MaxOpenFiles = pebbleFiles + tablesOpen(o.Files)
	}
	po.EnsureDefaults() // so that FS is there to be used
	d.FS, po.FS = po.FS, d
	d.synced = &synced{fs: d.FS, name: d.PathJoin(dir, syncedName), report: o.Damaged}
	return po, d
}

// begin makes an empty database in dir if there is none, and closes it. Pebble
// writes the first write-ahead log of a database in an older form, in which
// damage in the midst looks as if the log ended there. The next opening begins
// another one.
func begin(dir string, o Options) error {
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	if found, err := pebble.Peek(dir, fs); err == nil && found.Exists {
		return nil
	}
	db, err := open(dir, o, func(*pebble.Options) {}) // it says what keeps it from being looked at
	if err != nil {
		return err
	}
	return db.Close()
}

// spanPolicy keeps each of our tables in files of its own. Below level 0 Pebble
// moves files of the log and rewrites none, because the log only grows at its
// end. A compaction of level 0 does rewrite them: it also takes in tables beside
// those that it is about if that costs it no further table below, and the log's
// new tables lie beside those of small tables that always change. So each event
// is compressed twice.
//
// A file that is moved stays compressed as it was written, at any level. So the
// log is compressed well from the start, and the indexes, which gain nothing by
// it, fast.
func spanPolicy(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	if len(start) == 0 {
		return pebble.SpanPolicy{}, []byte{format.TableAbsorbed}, nil
	}
	return pebble.SpanPolicy{PreferFastCompression: start[0] != format.TableLog}, []byte{start[0] + 1}, nil
}

// logger passes Pebble's messages on: what it does in the background only to those who debug.
type logger struct {
	log   *slog.Logger
	fatal func(error)
}

func (l logger) Infof(text string, args ...any) {
	l.log.Debug("store", "detail", fmt.Sprintf(text, args...))
}

func (l logger) Errorf(text string, args ...any) {
	l.log.Error("store", "detail", fmt.Sprintf(text, args...))
}
func (l logger) Fatalf(text string, args ...any) { l.fatal(fmt.Errorf(text, args...)) }

// Name returns the name of the store in db, by which its backups are told from those of others. One that has none gets fresh, durably.
func Name(db *pebble.DB, fresh string) (string, error) {
	value, closer, err := db.Get([]byte(format.KeyStore))
	if errors.Is(err, pebble.ErrNotFound) {
		if fresh == "" {
			return "", nil
		}
		return fresh, db.Set([]byte(format.KeyStore), []byte(fresh), pebble.Sync)
	} else if err != nil {
		return "", err
	}
	name := string(value)
	return name, closer.Close()
}

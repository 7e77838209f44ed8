// Package engine configures Pebble for a store. The log has files of its own.
// So nothing rewrites it, because it only grows at its end.
package engine

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/format"
	"trackway/internal/store/journal"
)

// Sizes and thresholds. docs/adr/0001-log-primary-layout.md has the
// measurements.
const (
	defaultCache = 64 << 20
	defaultTable = 16 << 20 // of a memtable
	blockSize    = 32 << 10
	// of the largest table that comes from memory, and of one that comes from a
	// compaction: a look-up reads the filter of a table as a whole, so tables
	// with many entries make it expensive
	newTableSize, tableSize = 32 << 20, 8 << 20
	// layers of level 0 at which Pebble asks for a compaction, which may have
	// to wait until there are more: see [patience]
	mostLayers = 8
	// layers of level 0 at which writers wait
	stopLayers = 2 * patient
	// Tables of level 0 at which Pebble asks for a compaction as well. They are
	// more than there can be: layers cost look-ups, tables do not.
	mostNew = 1 << 14
	// of the level below level 0, which each of its compactions rewrites: what
	// is more goes further down
	baseSize = 64 << 20
)

// Options configures a store's database.
type Options struct {
	FS       vfs.FS       // nil: the operating system's
	Log      *slog.Logger // nil: nothing is logged
	Cache    int64        // size of the cache of decompressed blocks in bytes; 0: 64 MiB
	MemTable int          // size of a memtable in bytes; 0: 16 MiB
	Fatal    func(error)  // receives errors from which Pebble cannot recover
	// receives a part of a file that cannot be read, which the reader learns as
	// well; nil: not reported
	Damaged func(path string, err error)
	// receives why tables cannot be written, and nil when they can be again;
	// nil: not reported
	Stuck func(error)
	Plain bool   // do not compress tables, so that a test can search them
	Files uint64 // most files that the process may open; 0: the operating system's limit

	// Salvage makes [Open] leave out everything after damage in the write-ahead
	// log.
	Salvage bool
	// ReadOnly makes [Open] change nothing but the lock file.
	ReadOnly bool
}

// Pebble returns the options for a database that is not a running store, such
// as a backup.
func Pebble(o Options) *pebble.Options {
	po, _ := prepare("", o)
	return po
}

// Database is a Pebble database with the layer between it and its files.
type Database struct {
	*pebble.DB

	disk        *disk
	compactions *scheduler
	lost        *Lost

	// of the calls of Compact: it ends when no more compactions begin
	life   context.Context //nolint:containedctx // that of the database
	end    context.CancelFunc
	asking sync.WaitGroup
}

// Synced returns how far the write-ahead log was synced.
func (d *Database) Synced() journal.Mark { return d.disk.synced.latest() }

// Lost returns what an opening with Salvage left out, or nil.
func (d *Database) Lost() *Lost { return d.lost }

// Hurry lets no compaction wait for more to do, until done is called.
func (d *Database) Hurry() (done func()) { return d.disk.patience.hurry() }

// Compact compacts a range of keys. If ctx ends, it does not wait for the
// result.
//
// Pebble's own method panics if a context ends while a compaction has been
// picked and has not begun. So it gets one that ends after the scheduler.
func (d *Database) Compact(ctx context.Context, start, end []byte) error {
	done := make(chan error, 1)
	d.asking.Go(func() { done <- d.DB.Compact(d.life, start, end, false) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close closes the database.
func (d *Database) Close() error {
	d.compactions.stop()
	d.end()
	d.asking.Wait()
	d.disk.mover.stop()
	return errors.Join(d.DB.Close(), d.disk.synced.close())
}

// Open opens the database in dir, and creates it if it does not exist. It calls
// use with the options before it applies them. Errors: [ErrDamagedLog]; a limit
// of open files that is too low; those of Pebble.
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
			o.Log.Info("the write-ahead log has a torn end, as after a power cut: what follows it was not acknowledged", "log", name, "byte", at)
		}
	}}
	d.opening.Store(watch)
	compactions := newScheduler(&d.patience)
	po.Experimental.CompactionScheduler = compactions
	if err := d.synced.load(); err != nil {
		return nil, err
	}
	if err := watch.look(d); err != nil {
		return nil, err
	}
	db, err := pebble.Open(dir, po)
	if watch.refused != nil {
		return nil, watch.refused // omits what Pebble was doing
	} else if err != nil {
		return nil, err
	}
	d.opening.Store(nil)
	compactions.begin(db.Metrics)
	if !o.ReadOnly {
		d.mover.start(db)
	}
	opened := &Database{DB: db, disk: d, compactions: compactions, lost: watch.lost}
	opened.life, opened.end = context.WithCancel(context.Background())
	return opened, nil
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
	d := &disk{dir: dir, fatal: o.Fatal, stuck: o.Stuck, pause: retryPause, failures: &failures{log: o.Log, now: time.Now}, mover: newMover()}
	po := &pebble.Options{
		FS: o.FS,
		// Pebble subtracts memtables from the cache
		CacheSize: o.Cache + 2*int64(o.MemTable),
		// raising it cannot be undone: not with each upgrade
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                uint64(o.MemTable),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2 * mostLayers, // Pebble counts each layer twice
		L0CompactionFileThreshold:   mostNew,
		L0StopWritesThreshold:       stopLayers,
		LBaseMaxBytes:               baseSize,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		ReadOnly:                    o.ReadOnly,
		MaxManifestFileSize:         1, // starts a new one as soon as possible: see package scrub
		Logger:                      logger{o.Log, o.Fatal},
		EventListener: &pebble.EventListener{
			FlushEnd:        d.flushed,
			CompactionEnd:   d.compacted,
			BackgroundError: d.failures.met,
			// Without this, Pebble ends the process: one bad block that only
			// readers of old events need would stop all tracking.
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				o.Damaged(info.Path, info.Details)
				d.rest()
			},
		},
	}
	po.TargetFileSizes[0] = newTableSize
	for i := range po.TargetFileSizes[1:] {
		po.TargetFileSizes[1+i] = tableSize
	}
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
	po.EnsureDefaults() // sets FS
	d.FS, po.FS = po.FS, d
	d.synced = &synced{fs: d.FS, name: d.PathJoin(dir, syncedName), report: o.Damaged}
	return po, d
}

// begin creates an empty database in dir if there is no database, and closes
// it. Pebble writes the first write-ahead log of a database in an older form,
// in which damage in the middle looks like the end of the log. The next opening
// starts a log in the newer form.
func begin(dir string, o Options) error {
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	if found, err := pebble.Peek(dir, fs); err == nil && found.Exists {
		return nil
	}
	// its error says why dir could not be inspected
	db, err := open(dir, o, func(*pebble.Options) {})
	if err != nil {
		return err
	}
	return db.Close()
}

// spanPolicy keeps the log in files of its own. So they are moved from level to
// level and not rewritten, because the log only grows at its end. In level 0
// this is the work of [mover].
//
// All other tables of the store share files. If each had its own, each memtable
// would leave a file of some KB for each of those that only grow at their end
// as well, which nothing would ever put together.
//
// Each of the keys without a meaning has a file of its own. The clean-up makes
// many files come and go with them: see package scrub.
//
// A moved file keeps its compression at every level. So the log is compressed
// well from the start, and the indexes, which would gain nothing, are
// compressed fast.
func spanPolicy(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	fast := pebble.SpanPolicy{PreferFastCompression: true}
	switch {
	case len(start) == 0 || start[0] < format.TableLog:
		return fast, []byte{format.TableLog}, nil
	case start[0] == format.TableLog:
		return pebble.SpanPolicy{}, []byte{format.TableLog + 1}, nil
	case start[0] < format.ScratchKeys:
		return fast, []byte{format.ScratchKeys}, nil
	default:
		return fast, append(slices.Clone(start), 0), nil // the next key there can be
	}
}

// logger passes on Pebble's messages. Messages about background work have level
// debug.
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

// Name returns the name of the store in db, which tells its backups from those
// of other stores. If the store has no name, Name durably stores fresh as its
// name.
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

// Last returns the number at the end of the last key under prefix, or 0 if no
// such key exists.
func Last(db *pebble.DB, prefix []byte) (uint64, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: format.After(prefix)})
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

// Package engine says how Pebble is set up for a store. Its one idea: each of the store's tables has files of its own, so that the log,
// which only grows at its end, is never rewritten for the sake of the others.
package engine

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/format"
)

// Sizes and thresholds, as docs/adr/0001-log-primary-layout.md measured them.
const (
	defaultCache = 128 << 20
	defaultTable = 32 << 20 // in memory
	blockSize    = 32 << 10
	tableSize    = 32 << 20 // of the upper levels: tables of the log are moved down as they are
)

// Options is what a store is opened with.
type Options struct {
	FS       vfs.FS                       // nil: the operating system's
	Log      *slog.Logger                 // nil: nothing is logged
	Cache    int64                        // bytes of decompressed blocks kept in memory; 0: 128 MiB
	MemTable int                          // bytes of each table in memory; 0: 32 MiB
	Fatal    func(error)                  // is told what Pebble cannot go on after
	Damaged  func(path string, err error) // is told of a part of a file that cannot be read, as is whoever wanted to read it; nil: nobody
	Full     func(bool)                   // is told when the disk becomes full, and when it has room again; nil: nobody
	Plain    bool                         // tables are not compressed, so that a test finds what is in them
}

// Pebble returns the options of the database.
func Pebble(o Options) *pebble.Options {
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
	if o.Full == nil {
		o.Full = func(bool) {}
	}
	d := &disk{fatal: o.Fatal, tell: o.Full, pause: fullPause}
	po := &pebble.Options{
		FS:                          o.FS,
		CacheSize:                   o.Cache + 2*int64(o.MemTable), // Pebble takes memtables off the cache
		FormatMajorVersion:          pebble.FormatValueSeparation,  // raising it is a step that cannot be undone: not with each upgrade
		MemTableSize:                uint64(o.MemTable),            //nolint:gosec // G115: a size
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       40,
		LBaseMaxBytes:               256 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		MaxOpenFiles:                4000,
		MaxManifestFileSize:         1, // a new one as soon as it is worth it: see package scrub
		Logger:                      logger{o.Log, o.Fatal},
		EventListener: &pebble.EventListener{
			FlushEnd:      d.flushed,
			CompactionEnd: d.compacted,
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
	po.EnsureDefaults() // so that FS is there to be used
	d.FS, po.FS = po.FS, d
	return po
}

// Begin makes an empty database in dir if there is none, and closes it. For Pebble writes the first write-ahead log of a database in an older
// form, in which what is damaged in the midst looks as if the log ended there, and all that was acknowledged after it would be lost
// without a word. The next opening begins another one.
func Begin(dir string, o Options) error {
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	if found, err := pebble.Peek(dir, fs); err == nil && found.Exists {
		return nil
	}
	db, err := pebble.Open(dir, Pebble(o)) // whatever keeps it from being looked at is said by this
	if err != nil {
		return err
	}
	return db.Close()
}

// spanPolicy keeps each of our tables in files of its own, so that files of the log, which only grows at its end, are moved
// down the levels and not rewritten. Such a file stays compressed as it was first written; so the log is compressed well from
// the start, and the indexes, which gain nothing by it, fast.
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

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("store", "detail", fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("store", "detail", fmt.Sprintf(format, args...))
}
func (l logger) Fatalf(format string, args ...any) { l.fatal(fmt.Errorf(format, args...)) }

// keyStore is where a store's name is.
var keyStore = []byte("mstore")

// Name returns the name of the store in db, by which its backups are told from those of others. One that has none gets fresh, durably.
func Name(db *pebble.DB, fresh string) (string, error) {
	value, closer, err := db.Get(keyStore)
	if errors.Is(err, pebble.ErrNotFound) {
		if fresh == "" {
			return "", nil
		}
		return fresh, db.Set(keyStore, []byte(fresh), pebble.Sync)
	} else if err != nil {
		return "", err
	}
	name := string(value)
	return name, closer.Close()
}

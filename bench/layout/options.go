package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// variant is one way to keep the events: a layout of keys with the options that go with it.
type variant struct {
	name     string
	customer bool // the payload lies under the customer's key; else in the log
	blockKB  int
	zstd     zstdFrom
	plain    bool  // neither spans nor large L0 files: what Pebble does when it is told nothing about the tables
	blobs    bool  // Pebble's value separation
	noFilter bool  // no Bloom filter for the log's keys
	l0       int   // L0CompactionThreshold, twice the number of flushes after which L0 is compacted; 0 is 4
	lbaseMB  int64 // LBaseMaxBytes; 0 is 256
	memMB    int64 // of a memtable; 0 is 32
}

// zstdFrom is the first level whose tables are compressed with zstd; those above get the fastest algorithm (MinLZ).
type zstdFrom int

const (
	everyLevel zstdFrom = 0
	belowL0    zstdFrom = 1
	lastLevel  zstdFrom = 6
)

var variants = []variant{
	{name: "log", blockKB: 64, zstd: everyLevel},
	{name: "log-mem64", blockKB: 64, zstd: everyLevel, memMB: 64},
	{name: "log-mem16", blockKB: 64, zstd: everyLevel, memMB: 16},
	{name: "log-l0-16", blockKB: 32, zstd: everyLevel, l0: 16},
	{name: "log-l0-16-lbase64", blockKB: 32, zstd: everyLevel, l0: 16, lbaseMB: 64},
	{name: "log-lbase64", blockKB: 32, zstd: everyLevel, lbaseMB: 64},
	{name: "log-l0-2-lbase64", blockKB: 32, zstd: everyLevel, l0: 2, lbaseMB: 64},
	{name: "log-32k", blockKB: 32, zstd: everyLevel},
	{name: "log-16k", blockKB: 16, zstd: everyLevel},
	{name: "log-belowl0", blockKB: 64, zstd: belowL0},
	{name: "log-last", blockKB: 64, zstd: lastLevel},
	{name: "log-plain", blockKB: 64, zstd: lastLevel, plain: true},
	{name: "customer", customer: true, blockKB: 64, zstd: lastLevel},
	{name: "customer-32k", customer: true, blockKB: 32, zstd: lastLevel},
	{name: "customer-plain", customer: true, blockKB: 64, zstd: lastLevel, plain: true},
	{name: "customer-zstd", customer: true, blockKB: 64, zstd: everyLevel},
	{name: "customer-blobs", customer: true, blockKB: 64, zstd: lastLevel, blobs: true},
}

func variantByName(name string) (variant, error) {
	for _, v := range variants {
		if v.name == name {
			return v, nil
		}
	}
	return variant{}, fmt.Errorf("there is no variant %q", name)
}

const cachedBlocks = 128 << 20 // bytes that the block cache has for blocks

func (v variant) memtable() int64 {
	if v.memMB == 0 {
		return 32 << 20
	}
	return v.memMB << 20
}

// cacheBytes is what the cache of a writer must have so that cachedBlocks are left. Pebble takes the memtables' bytes off its
// block cache, one in use and one being flushed: of 128 MB with memtables of 64 MB nothing is left, and each Get would
// read the filter block from disk (measured: 72 µs an event instead of 20).
func (v variant) cacheBytes() int64 { return cachedBlocks + 2*v.memtable() }

// options are the same for all variants but for what the variant names.
func (v variant) options(cacheBytes int64, stalls *stalls) *pebble.Options {
	o := &pebble.Options{
		CacheSize:                   cacheBytes,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(v.memtable()),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       cmp.Or(v.l0, 4),
		L0StopWritesThreshold:       40,
		LBaseMaxBytes:               cmp.Or(v.lbaseMB, 256) << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		MaxOpenFiles:                4000,
		WALBytesPerSync:             1 << 20,
		Logger:                      quiet{},
		EventListener:               stalls.listener(),
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = v.blockKB << 10
		o.Levels[i].IndexBlockSize = 256 << 10
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].Compression = func() *sstable.CompressionProfile {
			if i >= int(v.zstd) {
				return sstable.BalancedCompression
			}
			return sstable.FastestCompression
		}
	}
	if v.plain {
		o.FlushSplitBytes = 2 << 20
	} else {
		o.TargetFileSizes[0] = 32 << 20
		o.TargetFileSizes[1] = 32 << 20
		o.Experimental.SpanPolicyFunc = v.span
	}
	if v.blobs {
		o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
			return pebble.ValueSeparationPolicy{
				Enabled: true, MinimumSize: 128, MaxBlobReferenceDepth: 10,
				RewriteMinimumAge: time.Minute, TargetGarbageRatio: 0.2,
			}
		}
	}
	return o
}

// span ends a table of Pebble's at the end of each of ours, so that no file holds both log and index: a file that holds the
// log only overlaps nothing below it, and is moved down instead of being written again. Where zstd begins at the top, the
// indexes, which are compacted again and again, keep the fast algorithm.
func (v variant) span(start []byte) (pebble.SpanPolicy, []byte, error) {
	if len(start) == 0 {
		return pebble.SpanPolicy{}, []byte{tableEvents}, nil
	}
	payload := start[0] == tableLog
	if v.customer {
		payload = start[0] == tableEvents
	}
	return pebble.SpanPolicy{PreferFastCompression: v.zstd == everyLevel && !payload}, []byte{start[0] + 1}, nil
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

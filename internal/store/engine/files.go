package engine

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/journal"
)

// table is a file written by a flush or a compaction.
//
// Pebble writes a block at a time, in pieces that begin and end anywhere in a
// page of memory. Such a write costs 2.5 times the processor time of one of
// whole pages, so a table collects them.
type table struct {
	vfs.File

	name   string
	disk   *disk
	out    *bufio.Writer // nil: closed
	failed bool          // a write has failed
}

// tableWrite is the size in bytes of the writes to a table.
const tableWrite = 256 << 10

var tableWriters = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, tableWrite) }}

func newTable(f vfs.File, name string, d *disk) *table {
	out := tableWriters.Get().(*bufio.Writer) // of this pool
	out.Reset(f)
	return &table{File: f, name: name, disk: d, out: out}
}

// Write implements [vfs.File].
func (t *table) Write(b []byte) (int, error) {
	n, err := t.out.Write(b)
	t.failed = t.failed || err != nil
	return n, t.disk.written(err)
}

// Sync implements [vfs.File].
func (t *table) Sync() error { return t.sync(t.File.Sync) }

// SyncData implements [vfs.File].
func (t *table) SyncData() error { return t.sync(t.File.SyncData) }

// sync writes what is left and syncs the file.
//
// Pebble gives up a table that it could not write or sync. It syncs it once
// more before it closes it, and if that failed as well, the file would stay
// open for ever and keep its place on the disk. So a sync does not repeat the
// error of a write. If it cannot write what is left, it closes the file.
func (t *table) sync(do func() error) error {
	if !t.failed {
		if err := t.out.Flush(); err != nil {
			_ = t.Close()
			return t.disk.written(err)
		}
	}
	return t.disk.dead("sync", t.name, persistently(do))
}

// Close implements [vfs.File].
func (t *table) Close() error {
	if t.out == nil {
		return nil
	}
	err := t.out.Flush() // nothing, or an error that is known: Pebble syncs first
	t.out.Reset(nil)
	tableWriters.Put(t.out)
	t.out = nil
	return errors.Join(err, t.File.Close())
}

// SyncTo implements [vfs.File].
func (t *table) SyncTo(length int64) (full bool, err error) {
	full, err = t.File.SyncTo(length)
	return full && t.out.Buffered() == 0, t.disk.dead("sync", t.name, err)
}

// persistently retries a sync that a signal interrupted.
func persistently(do func() error) error {
	for {
		if err := do(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// directory is the store's directory.
type directory struct {
	vfs.File

	name string
	disk *disk
}

// Sync implements [vfs.File].
func (f *directory) Sync() error { return f.disk.dead("sync", f.name, persistently(f.File.Sync)) }

// logFile is a write-ahead log open for writing.
type logFile struct {
	vfs.File

	name string
	disk *disk
	mark journal.Mark // how far it is written
	room uint64       // space is reserved up to this offset
}

// logStep is the number of bytes to reserve at a time for a write-ahead log.
// Pebble would reserve 110 % of a full memtable, 37 MB, for each log. But the
// first logs of a store are short, because its memtables start small, and
// Pebble keeps up to six of them for reuse.
const logStep = 1 << 20

// Preallocate implements [vfs.File]. It ignores Pebble's request: see logStep.
func (l *logFile) Preallocate(_, _ int64) error { return nil }

// reserve reserves space for a write of n bytes, so that the following sync
// need not find blocks. It ignores errors, because some file systems cannot
// reserve space.
func (l *logFile) reserve(n int) {
	for l.mark.Offset+uint64(n) > l.room {
		_ = l.File.Preallocate(int64(l.room), logStep)
		l.room += logStep
	}
}

// log wraps a created or reused file for its purpose. An error for a
// write-ahead log ends the process, because Pebble would panic.
func (d *disk) log(f vfs.File, name string, category vfs.DiskWriteCategory, err error) (vfs.File, error) {
	if category != "pebble-wal" {
		return f, err
	}
	if err != nil {
		return nil, d.dead("begin", name, err)
	}
	l := &logFile{File: f, name: name, disk: d}
	l.mark.Log, _ = logNumber(name)
	return l, nil
}

// logNumber returns the number of a write-ahead log.
func logNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(path.Base(name), ".log")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// Write implements [vfs.File].
func (l *logFile) Write(b []byte) (int, error) {
	l.reserve(len(b))
	n, err := l.File.Write(b)
	l.mark.Offset += uint64(n)
	return n, l.disk.dead("write", l.name, err)
}

// Sync implements [vfs.File].
func (l *logFile) Sync() error { return l.done(persistently(l.File.Sync)) }

// SyncData implements [vfs.File].
func (l *logFile) SyncData() error { return l.done(persistently(l.File.SyncData)) }

// SyncTo implements [vfs.File].
func (l *logFile) SyncTo(length int64) (full bool, err error) {
	if full, err = l.File.SyncTo(length); full {
		return full, l.done(err)
	}
	return full, l.disk.dead("sync", l.name, err)
}

// done records a sync before the callers that wait for it return.
func (l *logFile) done(err error) error {
	if err != nil {
		return l.disk.dead("sync", l.name, err)
	}
	l.disk.synced.set(l.mark)
	return nil
}

// Stat implements [vfs.File].
func (l *logFile) Stat() (vfs.FileInfo, error) {
	info, err := l.File.Stat()
	return info, l.disk.dead("look at", l.name, err)
}

// Close implements [vfs.File].
func (l *logFile) Close() error { return l.disk.dead("close", l.name, l.File.Close()) }

// tableFile is a table open for reading.
//
// It compares the checksum of each block before Pebble does. Pebble would
// search for the flipped bit, which takes up to ten seconds for each read of a
// damaged block.
type tableFile struct {
	vfs.File

	disk *disk
	size int64

	failed atomic.Bool // places is not empty
	mu     sync.Mutex
	places map[int64]failure // places that could not be read
}

// failure is the error of a place that could not be read.
type failure struct {
	err   error
	until time.Time // when it may be read again
}

// failureKept is how long the store does not retry a place that the disk cannot
// read. Each attempt may keep the disk busy for seconds.
const failureKept = time.Minute

func readTable(f vfs.File, d *disk) (vfs.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &tableFile{File: f, disk: d, size: info.Size()}, nil
}

// ReadAt implements [vfs.File].
func (t *tableFile) ReadAt(b []byte, offset int64) (n int, err error) {
	if t.failed.Load() {
		if err := t.known(offset); err != nil {
			return 0, err
		}
	}
	n, err = t.File.ReadAt(b, offset)
	switch {
	case errors.Is(err, io.EOF):
	case err != nil:
		t.note(offset, err)
		t.disk.rest()
	case !t.intact(b, offset):
		// Pebble reports this error, which makes its own work rest.
		return 0, fmt.Errorf("block of %d bytes at byte %d: its checksum is wrong: %w", len(b), offset, pebble.ErrCorruption)
	}
	return n, err
}

// known returns why a place could not be read a short while ago.
func (t *tableFile) known(offset int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f, ok := t.places[offset]; ok && time.Now().Before(f.until) {
		return f.err
	}
	return nil
}

func (t *tableFile) note(offset int64, err error) {
	if short(err) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 1024
	if t.places == nil || len(t.places) >= most {
		t.places = make(map[int64]failure)
	}
	t.places[offset] = failure{err, time.Now().Add(failureKept)}
	t.failed.Store(true)
}

// intact compares the checksum at the end of a block. A read that reaches the
// end of the file is the footer, which has a different checksum.
func (t *tableFile) intact(b []byte, offset int64) bool {
	const trailer = 5 // compression type and checksum
	n := len(b) - 4
	if n < trailer-4 || offset+int64(len(b)) >= t.size {
		return true
	}
	c := crc32.Checksum(b[:n], castagnoli)
	return (c>>15|c<<17)+0xa282ead8 == binary.LittleEndian.Uint32(b[n:])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

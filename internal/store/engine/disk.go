package engine

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// fullPause is how long whoever writes a table waits where the disk is full: Pebble tries again at once, for ever.
const fullPause = time.Second

// disk watches how Pebble's writing of tables goes. Without it a full disk has Pebble fill the process's log with thousands of lines
// a second, and a sync that fails only has it write the table again, though a disk that has lost one write may have lost others.
// What the write-ahead log and the manifest come to, Pebble sees to itself: it cannot go on after either.
type disk struct {
	vfs.FS

	fatal func(error)
	tell  func(full bool) // is called when it becomes full, and when it has room again
	full  atomic.Bool
	pause time.Duration
}

// Unwrap implements [vfs.FS].
func (d *disk) Unwrap() vfs.FS { return d.FS }

// Create implements [vfs.FS].
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, category)
	switch category {
	case "pebble-memtable-flush", "pebble-compaction", "pebble-blob-file-rewrite":
	default:
		return f, err // a log, a manifest, a backup that may be on another disk
	}
	if err != nil {
		return nil, d.written(err)
	}
	return &table{File: f, name: name, disk: d}, nil
}

// written looks at what became of a write, and waits where the disk is full.
func (d *disk) written(err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	if !d.full.Swap(true) {
		d.tell(true)
	}
	<-time.After(d.pause) // nobody but a flush or a compaction waits here
	return err
}

// flushed notes that there was room for what was in memory.
func (d *disk) flushed(info pebble.FlushInfo) {
	if info.Err == nil {
		d.hasRoom()
	}
}

// compacted notes that there was room for what a compaction wrote. Where the disk was full for one only, no flush may come for long.
func (d *disk) compacted(info pebble.CompactionInfo) {
	if info.Err == nil && info.Reason != "move" && info.Reason != "delete-only" { // these write no table
		d.hasRoom()
	}
}

func (d *disk) hasRoom() {
	if d.full.Swap(false) {
		d.tell(false)
	}
}

// table is a file that a flush or a compaction writes.
type table struct {
	vfs.File

	name string
	disk *disk
}

// Write implements [vfs.File].
func (t *table) Write(b []byte) (int, error) {
	n, err := t.File.Write(b)
	return n, t.disk.written(err)
}

// Sync implements [vfs.File].
func (t *table) Sync() error { return t.synced(t.File.Sync()) }

// SyncData implements [vfs.File].
func (t *table) SyncData() error { return t.synced(t.File.SyncData()) }

// SyncTo implements [vfs.File].
func (t *table) SyncTo(length int64) (full bool, err error) {
	full, err = t.File.SyncTo(length)
	return full, t.synced(err)
}

func (t *table) synced(err error) error {
	if err != nil {
		t.disk.fatal(fmt.Errorf("sync %s: %w", t.name, err))
	}
	return err
}

// rest has Pebble's own work on a table that is damaged wait: it begins a compaction, or a look at the table for statistics, again at
// once, for ever. Who reads for a request is not held up. Which of both it is only the stack tells; it is looked at where a checksum is
// wrong, and never else.
func (d *disk) rest() {
	var callers [128]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])])
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if strings.HasSuffix(f.Function, ".(*DB).compact") || strings.HasSuffix(f.Function, ".(*DB).collectTableStats") {
			<-time.After(d.pause)
			return
		}
	}
}

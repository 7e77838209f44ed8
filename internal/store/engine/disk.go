package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// retryPause is how long Pebble's own work waits after an error. Without it
// Pebble would retry at once, for ever.
const retryPause = time.Second

// disk is the file system that Pebble uses. It handles the errors of files to
// which Pebble responds badly:
//
//   - Pebble repeats a failed flush or compaction without a pause, thousands of
//     times a second. Here such work waits before the error returns.
//   - Pebble panics if it cannot rotate its write-ahead log, while its locks
//     are in a state that makes the process report a mutex instead of the
//     cause. Here the process ends first and reports the cause. If only files
//     are short, it waits.
//   - Pebble rewrites a table after a failed sync, although a disk that lost
//     one write may have lost others. Here the process ends.
//   - Pebble cannot always tell whether a log was damaged: see [journal].
type disk struct {
	vfs.FS

	dir     string // the store's directory: files elsewhere are not Pebble's own
	fatal   func(error)
	stuck   func(error) // receives why nothing can be written, and nil when writing works again
	pause   time.Duration
	synced  *synced
	opening atomic.Pointer[opening] // nil: the store is open
	reason  atomic.Pointer[error]   // last error passed to stuck

	failures *failures
	mover    *mover
	patience patience
}

// Unwrap implements [vfs.FS].
func (d *disk) Unwrap() vfs.FS { return d.FS }

// own reports whether a file lies directly in the store's directory.
func (d *disk) own(name string) bool { return d.dir != "" && d.PathDir(name) == d.PathJoin(d.dir) }

// Create implements [vfs.FS].
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	switch category {
	case "pebble-memtable-flush", "pebble-compaction", "pebble-blob-file-rewrite":
		f, err := d.FS.Create(name, category)
		if err != nil {
			return nil, d.written(err)
		}
		return newTable(f, name, d), nil
	}
	if !d.own(name) {
		return d.FS.Create(name, category) // a backup, perhaps on another disk
	}
	f, err := d.patiently(func() (vfs.File, error) { return d.FS.Create(name, category) })
	return d.log(f, name, category, err)
}

// ReuseForWrite implements [vfs.FS].
func (d *disk) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.patiently(func() (vfs.File, error) {
		// an earlier attempt renamed it but could not open it
		if _, err := d.Stat(old); err != nil {
			return d.OpenReadWrite(name, category)
		}
		return d.FS.ReuseForWrite(old, name, category)
	})
	return d.log(f, name, category, err)
}

// Open implements [vfs.FS].
func (d *disk) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	switch {
	case strings.HasSuffix(name, ".sst"), strings.HasSuffix(name, ".blob"):
		f, err := d.FS.Open(name, options...)
		if err != nil {
			d.rest()
			return nil, err
		}
		return readTable(f, d)
	case strings.HasSuffix(name, ".log") && d.own(name):
		if o := d.opening.Load(); o != nil {
			return o.log(d, name)
		}
	}
	return d.FS.Open(name, options...)
}

// OpenDir implements [vfs.FS].
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil || d.dir == "" || d.PathJoin(name) != d.PathJoin(d.dir) {
		return f, err
	}
	return &directory{File: f, name: name, disk: d}, nil
}

// patiently opens a file that Pebble needs in order to go on. It waits as long
// as the process or the system lacks descriptors or memory for the file. New
// events wait, too, and none are lost.
func (d *disk) patiently(open func() (vfs.File, error)) (vfs.File, error) {
	for {
		f, err := open()
		if !short(err) || d.opening.Load() != nil {
			if err == nil {
				d.goesOn(short)
			}
			return f, err
		}
		d.isStuck(err)
		<-time.After(d.pause / 10)
	}
}

// short reports whether an error means a temporary shortage in the system and
// no fault of the disk.
func short(err error) bool {
	return NoFiles(err) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EINTR)
}

// NoFiles reports whether an error says that the process or the system has too
// many files open.
func NoFiles(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// NoSpace reports whether an error says that the disk or a quota is full.
func NoSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// dead ends the process after an error from which Pebble cannot recover. While
// the store is being opened, the opening fails instead.
func (d *disk) dead(doing, name string, err error) error {
	if err == nil || d.opening.Load() != nil {
		return err
	}
	why := "the disk does not keep what is written"
	if NoSpace(err) {
		why = "the disk has no room for the write-ahead log"
	}
	d.fatal(fmt.Errorf("%s: %s %s: %w", why, doing, name, err))
	return err
}

// written handles the result of writing a table. It waits after an error.
func (d *disk) written(err error) error {
	if err != nil {
		d.isStuck(err)
		<-time.After(d.pause) // only flushes and compactions wait here
	}
	return err
}

func (d *disk) isStuck(err error) {
	if d.reason.Swap(&err) == nil {
		d.stuck(err)
	}
}

// goesOn notes that writing works again, if the reason it stopped is one that
// awaited accepts.
func (d *disk) goesOn(awaited func(error) bool) {
	for {
		reason := d.reason.Load()
		if reason == nil || !awaited(*reason) {
			return
		}
		if d.reason.CompareAndSwap(reason, nil) {
			d.stuck(nil)
			return
		}
	}
}

// flushed notes that a memtable was written.
func (d *disk) flushed(info pebble.FlushInfo) {
	if info.Err == nil {
		d.wrote()
		d.mover.flushed()
		d.patience.flushed.Store(time.Now().UnixNano())
	}
}

// compacted notes that a compaction could write. If only a compaction had
// failed, there may be no flush for a long time.
func (d *disk) compacted(info pebble.CompactionInfo) {
	if info.Err == nil && info.Reason != "move" && info.Reason != "delete-only" { // these write no table
		d.wrote()
		d.patience.compacted(info)
	}
}

func (d *disk) wrote() {
	d.goesOn(func(error) bool { return true })
	d.failures.over()
}

// rest delays Pebble's own work after a read error, because Pebble would retry
// a flush, a compaction or the collection of a table's statistics at once, for
// ever. It does not delay reads for requests. Only the stack shows which it is,
// so rest inspects the stack, but only after an error.
func (d *disk) rest() {
	var callers [128]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])])
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		for _, work := range []string{".(*DB).compact", ".(*DB).flush", ".(*DB).collectTableStats"} {
			if strings.HasSuffix(f.Function, work) {
				<-time.After(d.pause)
				return
			}
		}
	}
}

// failures counts errors of Pebble's own work. It logs the first one at once,
// and the number of errors from time to time.
type failures struct {
	log *slog.Logger
	now func() time.Time

	n    atomic.Int64
	said atomic.Int64 // time of the last log line, in nanoseconds
}

// failuresEvery is how often continuing failures are logged.
const failuresEvery = time.Minute

func (f *failures) met(err error) {
	n, now, said := f.n.Add(1), f.now().UnixNano(), f.said.Load()
	if n > 1 && now-said < int64(failuresEvery) || !f.said.CompareAndSwap(said, now) {
		return
	}
	// err.Error(), because Pebble's errors would print their stacks.
	f.log.Error("the store's background work fails: it is tried again each second", "failed", n, "err", err.Error())
}

// over notes that the work succeeded.
func (f *failures) over() {
	if n := f.n.Swap(0); n > 0 {
		f.log.Info("the store's background work goes on", "failed", n)
	}
}

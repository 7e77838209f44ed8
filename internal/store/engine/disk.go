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

// retryPause is how long Pebble's own work waits after an error: it tries again
// at once, for ever.
const retryPause = time.Second

// disk is the file system as Pebble gets it. It stands between the two because
// Pebble has no good answer to most errors of files:
//
//   - It repeats a failed flush or compaction without a pause: thousands of times
//     a second. Here such work waits before the error comes back.
//   - It panics where it cannot rotate its write-ahead log, with locks held that
//     are not: what the process says then is about a mutex. Here the process
//     ends before, and says why; where files are short only, it waits.
//   - It writes a table again whose sync has failed, though a disk that lost one
//     write may have lost others.
//   - It cannot always tell whether a log was damaged: see [journal].
type disk struct {
	vfs.FS

	dir     string // of the store: what is elsewhere is not Pebble's own
	fatal   func(error)
	stuck   func(error) // is told why nothing can be written, and nil when it can be again
	pause   time.Duration
	synced  *synced
	opening atomic.Pointer[opening] // nil: the store is open
	reason  atomic.Pointer[error]   // what stuck was told

	failures *failures
}

// Unwrap implements [vfs.FS].
func (d *disk) Unwrap() vfs.FS { return d.FS }

// own reports whether a file lies in the store's directory itself.
func (d *disk) own(name string) bool { return d.dir != "" && d.PathDir(name) == d.PathJoin(d.dir) }

// Create implements [vfs.FS].
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	switch category {
	case "pebble-memtable-flush", "pebble-compaction", "pebble-blob-file-rewrite":
		f, err := d.FS.Create(name, category)
		if err != nil {
			return nil, d.written(err)
		}
		return &table{File: f, name: name, disk: d}, nil
	}
	if !d.own(name) {
		return d.FS.Create(name, category) // a backup, on a disk that may be another one
	}
	f, err := d.patiently(func() (vfs.File, error) { return d.FS.Create(name, category) })
	return d.log(f, name, category, err)
}

// ReuseForWrite implements [vfs.FS].
func (d *disk) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.patiently(func() (vfs.File, error) {
		if _, err := d.Stat(old); err != nil { // it was renamed already, and could not be opened then
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

// patiently opens a file that Pebble cannot go on without. While the process, or
// the system, has no descriptor or no memory for it, it waits: what is tracked
// meanwhile waits, too, and nothing is lost.
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

// short reports whether an error says that the system is short of something for
// the moment, and nothing of the disk.
func short(err error) bool {
	return isFiles(err) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EINTR)
}

// dead ends the process after an error that Pebble cannot go on after. While the
// store is being opened, the opening fails instead.
func (d *disk) dead(doing, name string, err error) error {
	if err == nil || d.opening.Load() != nil {
		return err
	}
	why := "the disk does not keep what is written"
	if IsFull(err) {
		why = "the disk has no room for the write-ahead log"
	}
	d.fatal(fmt.Errorf("%s: %s %s: %w", why, doing, name, err))
	return err
}

// written looks at what became of writing a table, and waits after an error.
func (d *disk) written(err error) error {
	if err != nil {
		d.isStuck(err)
		<-time.After(d.pause) // nobody but a flush or a compaction waits here
	}
	return err
}

func (d *disk) isStuck(err error) {
	if d.reason.Swap(&err) == nil {
		d.stuck(err)
	}
}

// goesOn notes that something was written, if that was what was awaited.
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

// flushed notes that what was in memory could be written.
func (d *disk) flushed(info pebble.FlushInfo) {
	if info.Err == nil {
		d.wrote()
	}
}

// compacted notes that a compaction could write. If only one could not, no flush
// may come for long.
func (d *disk) compacted(info pebble.CompactionInfo) {
	if info.Err == nil && info.Reason != "move" && info.Reason != "delete-only" { // these write no table
		d.wrote()
	}
}

func (d *disk) wrote() {
	d.goesOn(func(error) bool { return true })
	d.failures.over()
}

// rest has Pebble's own work wait after an error of reading: it begins a flush,
// a compaction, or a look at a table for statistics, again at once, for ever.
// Readers for a request are not held up. Only the stack tells which it is; it
// is looked at after an error, and never else.
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

// failures counts errors of Pebble's own work, and logs the first of them, and
// then how many there were, now and then.
type failures struct {
	log *slog.Logger
	now func() time.Time

	n    atomic.Int64
	said atomic.Int64 // when, in nanoseconds
}

// failuresEvery is how often failures are logged while there are any.
const failuresEvery = time.Minute

func (f *failures) met(err error) {
	n, now, said := f.n.Add(1), f.now().UnixNano(), f.said.Load()
	if n > 1 && now-said < int64(failuresEvery) || !f.said.CompareAndSwap(said, now) {
		return
	}
	f.log.Error("the store's background work fails: it is tried again each second", "failed", n, "err", err.Error()) // Pebble's errors print their stacks otherwise
}

// over notes that the work was done.
func (f *failures) over() {
	if n := f.n.Swap(0); n > 0 {
		f.log.Info("the store's background work goes on", "failed", n)
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sys/unix"
)

// request is one line that the parent sends to a worker; the worker answers with one line too.
type request struct {
	Do       string // fill, settle, compact, checkpoint, close
	From, To uint64
}

// filled is what became of one slice of the events.
type filled struct {
	Events     uint64 // written, copies included
	Seconds    float64
	CPUSeconds float64 // of all threads: writing, flushing, compacting, collecting garbage
	Longest    float64 // seconds: the longest that one event had to wait
	Duplicates int
	Stalls     int
	Stalled    float64 // seconds in which Pebble refused writes
}

// sizes is what lies on disk.
type sizes struct {
	Seconds    float64 // that it took to get there
	CPUSeconds float64
	Events     uint64
	Customers  uint64
	Bytes      uint64            // live tables and blob files
	Tables     map[string]uint64 // bytes of each of our tables
	Files      int
	Levels     map[string]uint64 // bytes by table, level and compression
	WAL        uint64            // bytes written, each since the start
	Flushed    uint64
	Compacted  uint64
	Moved      uint64
	PeakRSS    uint64
}

const (
	syncEvery   = 64 // events in a group that waits for one sync, as if so many clients had sent one each
	syncsWaited = 16 // groups that may wait at a time
)

// worker fills one directory as it is told, line by line.
type worker struct {
	*store
	stalls  stalls
	dir     string
	persons uint64
	event   event
	waiting chan struct{} // one entry for each group that waits for its sync
	failed  atomic.Pointer[error]
}

func runWorker(dir string, v variant, persons uint64, in io.Reader, out io.Writer) error {
	w := &worker{dir: dir, persons: persons, waiting: make(chan struct{}, syncsWaited)}
	var err error
	if w.store, err = openStore(dir, v, v.cacheBytes(), false, &w.stalls); err != nil {
		return err
	}
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r request
		if err := requests.Decode(&r); err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		answer, err := w.do(r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Do, err)
		}
		if err := answers.Encode(answer); err != nil || r.Do == "close" {
			return err
		}
	}
}

func (w *worker) do(r request) (any, error) {
	switch r.Do {
	case "fill":
		return w.fill(r.From, r.To)
	case "settle":
		return w.measure(w.settle)
	case "compact":
		return w.measure(func() error {
			return errors.Join(w.db.Compact(context.Background(), []byte{0}, []byte{0xff}, true), w.settle())
		})
	case "checkpoint": // hard links, so that another process can read what this one has locked
		return "done", w.db.Checkpoint(filepath.Join(w.dir, "reading"))
	case "close":
		return "closed", w.db.Close()
	}
	return nil, fmt.Errorf("unknown request %q", r.Do)
}

func (w *worker) fill(from, to uint64) (*filled, error) {
	f, cpu, start := &filled{Events: to - from}, cpuSeconds(), time.Now()
	stalls, stalled := w.stalls.count.Load(), w.stalls.nanos.Load()
	for i := from; i < to; i++ {
		w.event.fill(i, w.persons)
		before := time.Now()
		duplicate, err := w.add(&w.event)
		if err != nil {
			return nil, err
		}
		if (i+1)%syncEvery == 0 {
			w.sync()
		}
		f.Longest = max(f.Longest, time.Since(before).Seconds())
		if duplicate {
			f.Duplicates++
		}
	}
	if err := w.drain(); err != nil {
		return nil, err
	}
	f.Seconds, f.CPUSeconds = time.Since(start).Seconds(), cpuSeconds()-cpu
	f.Stalls = int(w.stalls.count.Load() - stalls)
	f.Stalled = float64(w.stalls.nanos.Load()-stalled) / 1e9
	return f, nil
}

// sync starts a barrier for what was written so far: an empty synced record. It waits when too many are on their way, which
// is what makes the rate that of durable events.
func (w *worker) sync() {
	w.waiting <- struct{}{}
	go func() {
		if err := w.db.LogData(nil, pebble.Sync); err != nil {
			w.failed.Store(&err)
		}
		<-w.waiting
	}()
}

func (w *worker) drain() error {
	for range syncsWaited {
		w.waiting <- struct{}{}
	}
	for range syncsWaited {
		<-w.waiting
	}
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// settle flushes and waits until nothing is left to compact.
func (w *worker) settle() error {
	if err := w.db.Flush(); err != nil {
		return err
	}
	for quietFor := 0; quietFor < 10; time.Sleep(50 * time.Millisecond) {
		quietFor++
		if m := w.db.Metrics(); m.Compact.NumInProgress > 0 || m.Flush.NumInProgress > 0 {
			quietFor = 0
		}
	}
	return nil
}

func (w *worker) measure(do func() error) (*sizes, error) {
	start, cpu := time.Now(), cpuSeconds()
	if err := do(); err != nil {
		return nil, err
	}
	m := w.db.Metrics()
	s := &sizes{
		Seconds: time.Since(start).Seconds(), CPUSeconds: cpuSeconds() - cpu,
		Events: w.seq, Customers: w.customers,
		Bytes: m.Table.Local.LiveSize + m.BlobFiles.LiveSize,
		Files: int(m.Table.Local.LiveCount + m.BlobFiles.LiveCount),
		WAL:   m.WAL.BytesWritten, PeakRSS: peakRSS(),
		Tables: map[string]uint64{}, Levels: map[string]uint64{},
	}
	for i := range m.Levels { // not m.Total(), which counts the WAL as flushed
		l := &m.Levels[i]
		s.Flushed += l.TableBytesFlushed + l.BlobBytesFlushed
		s.Compacted += l.TableBytesCompacted + l.BlobBytesCompacted
		s.Moved += l.TableBytesMoved
	}
	for _, table := range []byte{tableEvents, tableIDs, tableLog, tableTimeline} {
		n, err := w.db.EstimateDiskUsage([]byte{table}, []byte{table + 1})
		if err != nil {
			return nil, err
		}
		s.Tables[string(table)] = n
	}
	return s, s.addLevels(w.db)
}

func (s *sizes) addLevels(db *pebble.DB) error {
	levels, err := db.SSTables(pebble.WithProperties())
	if err != nil {
		return err
	}
	for level, tables := range levels {
		for i := range tables {
			t := &tables[i]
			first, last := t.Smallest.UserKey[0], t.Largest.UserKey[0]
			name := string(first)
			if first != last {
				name += "-" + string(last)
			}
			s.Levels[fmt.Sprintf("%s L%d %s", name, level, t.Properties.CompressionName)] += t.Size
		}
	}
	return nil
}

// stalls counts the times at which Pebble refuses writes until flushes or compactions have caught up.
type stalls struct {
	begun, nanos, count atomic.Int64
}

func (s *stalls) listener() *pebble.EventListener {
	return &pebble.EventListener{
		WriteStallBegin: func(pebble.WriteStallBeginInfo) { s.count.Add(1); s.begun.Store(time.Now().UnixNano()) },
		WriteStallEnd:   func() { s.nanos.Add(time.Now().UnixNano() - s.begun.Load()) },
	}
}

func cpuSeconds() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// peakRSS is the most memory that the process ever had, in bytes.
func peakRSS() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kB uint64
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kB); err == nil {
			break
		}
	}
	return kB << 10
}

// dropPages asks the kernel to forget its copies of the files in dir. A host's cache below a virtual disk is out of reach.
func dropPages(dir string) error {
	return eachFile(dir, func(f *os.File) error {
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// loadPages reads all files in dir, so that the kernel has them.
func loadPages(dir string) error {
	return eachFile(dir, func(f *os.File) error {
		_, err := io.Copy(io.Discard, f)
		return err
	})
}

func eachFile(dir string, do func(*os.File) error) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := os.Open(name) //nolint:gosec // G304: a file of the directory that this program filled
		if err != nil {
			return err
		}
		if err := errors.Join(do(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

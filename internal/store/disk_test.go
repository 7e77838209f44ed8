package store

import (
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
)

// failing is a disk on which an operation on tables fails while an error is
// set.
type failing struct{ err atomic.Pointer[error] }

func (f *failing) on(kinds ...errorfs.OpKind) vfs.FS {
	return errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		for _, kind := range kinds {
			if err := f.err.Load(); err != nil && op.Kind == kind && strings.HasSuffix(op.Path, ".sst") {
				return *err
			}
		}
		return nil
	}))
}

func (f *failing) fail(err error) { f.err.Store(&err) }

// TestFullDisk: while the disk has no room for tables, the store reports it,
// and still acknowledges what the write-ahead log accepts. Once there is room,
// the store recovers fully.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	var f failing
	fs := f.on(errorfs.OpFileWrite, errorfs.OpCreate)
	s := mustOpen(t, fs)
	if err := s.Ready(); err != nil {
		t.Errorf("a new store is not ready: %v", err)
	}
	f.fail(syscall.ENOSPC)
	mustApply(t, s, event("e", 1, nil, cookie1))
	flushed := make(chan error)
	go func() { flushed <- s.db.Flush() }()
	for s.Ready() == nil {
		runtime.Gosched()
	}
	for i := range 100 {
		mustApply(t, s, event("e", trackway.Micros(2+i), nil, cookie1))
	}
	f.err.Store(nil)
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	if n := len(mustEvents(t, s, 1)); n != 101 {
		t.Errorf("%d events are there, want 101", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestMetricsOfStalledStore: reading the metrics does not wait for writers,
// which may wait for the disk.
func TestMetricsOfStalledStore(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	s, err := Open("data", Options{FS: vfs.NewMem(), Registry: reg, Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	s.mu.Lock()
	defer s.mu.Unlock()
	if families, err := reg.Gather(); err != nil || len(families) == 0 {
		t.Errorf("got %d metrics, %v", len(families), err)
	}
}

// TestFailedSyncOfTable: a failed sync during a flush also ends the process,
// because the disk loses writes.
func TestFailedSyncOfTable(t *testing.T) {
	t.Parallel()
	var f failing
	told := make(chan error, 1)
	s, err := Open("data", Options{FS: f.on(errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo), Fatal: func(err error) {
		select {
		case told <- err:
		default:
		}
		f.err.Store(nil) // a process would end; the test continues, so that it can close the store
	}})
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, event("e", 1, nil, cookie1))
	broken := errors.New("input/output error")
	f.fail(broken)
	if err := s.db.Flush(); err != nil {
		t.Error(err)
	}
	if err := <-told; !errors.Is(err, broken) || !strings.Contains(err.Error(), ".sst") {
		t.Errorf("got %v, want the error and the file", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

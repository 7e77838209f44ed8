package store

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/log/local"
	"trackway/internal/store/format"
)

// together applies each command as its own request, all of them in one group,
// and returns their errors.
func together(t *testing.T, s *Store, cmds ...trackway.Command) (results []trackway.Result, errs []error) {
	t.Helper()
	var e entry.Commands
	results, errs = make([]trackway.Result, len(cmds)), make([]error, len(cmds))
	for i := range cmds {
		e.Requests = append(e.Requests, entry.Request{Commands: cmds[i : i+1], Results: results[i : i+1]})
	}
	func() {
		defer func() {
			if _, ok := recover().(*local.PanicError); ok {
				t.Log("a request has panicked")
			}
		}()
		_ = s.log.Append(&e) // the requests below carry their errors
	}()
	for i := range e.Requests {
		errs[i] = e.Requests[i].Err
	}
	return results, errs
}

// TestRequestsShareABarrier: requests that arrive while others are being
// applied form one batch, and wait for the disk once.
func TestRequestsShareABarrier(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	var barriers atomic.Int32
	sync := s.sync
	s.sync = func() error { barriers.Add(1); return sync() }
	var cmds []trackway.Command
	// Two of each: the second is a duplicate of the first, which is not
	// committed yet.
	for i := range 20 {
		cmds = append(cmds, event("e", trackway.Micros(1+i/2), nil, reg1))
	}
	results, errs := together(t, s, cmds...)
	duplicates := 0
	for i, r := range results {
		if errs[i] != nil || r.Err != nil || r.Customer != results[0].Customer {
			t.Errorf("request %d: got %v, %v", i, r, errs[i])
		}
		if r.Duplicate {
			duplicates++
		}
	}
	if n := barriers.Load(); n != 1 || duplicates != 10 {
		t.Errorf("%d barriers and %d duplicates, want 1 and 10", n, duplicates)
	}
	mustBeConsistent(t, s)
}

// TestDamageIsNotShared: a request that meets a damaged record fails, but the
// other requests of its group succeed.
func TestDamageIsNotShared(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	damaged := mustApply(t, s, update(1, nil, reg1))[0].Customer
	if err := s.db.Set(format.AppendCustomerKey(nil, 1, damaged), []byte{0xff}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	s.cache.Empty()
	var cmds []trackway.Command
	for i := range 5 {
		cmds = append(cmds, event("e", 0, nil, identifierOf("cookie", strconv.Itoa(i))))
		cmds[i].TimeGiven = false // so that a second copy would be stored
	}
	cmds[2].IDs = []trackway.Identifier{reg1}
	results, errs := together(t, s, cmds...)
	for i := range cmds {
		if failed := errs[i] != nil; failed != (i == 2) {
			t.Errorf("request %d: got %v", i, errs[i])
		}
		if i == 2 {
			continue
		}
		if got := len(mustEvents(t, s, results[i].Customer)); got != 1 {
			t.Errorf("request %d: %d events are stored, want 1", i, got)
		}
	}
}

// TestPanicIsNotShared: a request that meets a bug panics in its own goroutine,
// and the panic reports its place. The other requests of the group do not fail,
// and are not stored twice.
func TestPanicIsNotShared(t *testing.T) {
	t.Parallel()
	for _, bug := range []int{0, 2} { // request 0 applies the group
		s := mustOpen(t, vfs.NewMem())
		t.Cleanup(func() { _ = s.Close() }) // the panic has left an iterator open
		mustApply(t, s, update(1, nil, reg1))
		// The value should have eight bytes.
		if err := s.db.Set(format.AppendIDKey(nil, demo, reg1), []byte{1}, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		s.cache.Empty()
		var cmds []trackway.Command
		for i := range 5 {
			cmds = append(cmds, event("e", 0, nil, identifierOf("cookie", strconv.Itoa(i))))
			cmds[i].TimeGiven = false // so that a second copy would be stored
		}
		cmds[bug].IDs = []trackway.Identifier{reg1}
		results, errs := together(t, s, cmds...)
		for i := range cmds {
			if i == bug {
				if !strings.Contains(errs[i].Error(), "holderOf") {
					t.Errorf("request %d: got %v, want a panic with its stack", i, errs[i])
				}
				continue
			}
			if errs[i] != nil {
				t.Errorf("request %d: got %v", i, errs[i])
			} else if got := len(mustEvents(t, s, results[i].Customer)); got != 1 {
				t.Errorf("request %d: %d events are stored, want 1", i, got)
			}
		}
		mustApply(t, s, event("e", 4, nil, cookie1))
	}
}

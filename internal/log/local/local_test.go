package local

import (
	"errors"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/log/logtest"
)

func TestLog(t *testing.T) {
	t.Parallel()
	logtest.Run(t, logtest.Features{NotCommitted: ErrNotCommitted}, func(m *logtest.Machine) logtest.Log { return Open(m) })
}

func requestOf(commands int) []entry.Request {
	return []entry.Request{{Commands: make([]trackway.Command, commands), Results: make([]trackway.Result, commands)}}
}

// TestGroupsAreBounded: requests go on to the next group when one is full.
func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	var g gathering
	groups := make(map[*group]int)
	for range 100 {
		joined, place := g.join(requestOf(trackway.MaxCommands))
		if place != groups[joined] {
			t.Fatalf("place %d in a group of %d", place, groups[joined])
		}
		groups[joined]++
	}
	if len(groups) != 5 {
		t.Errorf("%d groups, want 5 of %d commands at most", len(groups), maxGroup)
	}
}

// TestRequestsShareABarrier: requests that arrive while others are being
// applied become one entry and wait for the disk once. If the goroutine of the
// first of these requests ends, its end must not look like success to the
// others.
func TestRequestsShareABarrier(t *testing.T) {
	t.Parallel()
	for name, panics := range map[string]bool{"one barrier": false, "panic at the barrier": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &logtest.Machine{SyncPanics: panics}
			l := Open(m)
			release := m.Hold()
			var wg sync.WaitGroup
			wg.Go(func() { _ = l.Append(&entry.Cursor{}) })
			m.AwaitHeld()
			const requests = 20
			errs := make([]error, requests)
			led := 0
			for i := range requests {
				wg.Go(func() {
					defer func() {
						if recover() != nil {
							led++
						}
					}()
					errs[i] = errGivenUp
					c := entry.Commands{Requests: requestOf(1)}
					c.Requests[0].Commands[0].Type = strconv.Itoa(i)
					errs[i] = l.Append(&c)
				})
				for l.gathered() <= i {
					runtime.Gosched()
				}
			}
			release()
			wg.Wait()
			for i, err := range errs {
				if errors.Is(err, errGivenUp) != panics {
					t.Errorf("request %d: got %v", i, err)
				}
			}
			if panics {
				if led != 1 {
					t.Errorf("%d requests have panicked, want the one that waits for all", led)
				}
			} else if syncs, tries := m.Syncs(), m.Tries(); syncs != 1 || tries != 2 {
				t.Errorf("%d barriers and %d entries, want 1 and 2", syncs, tries)
			}
		})
	}
}

func (l *Log) gathered() int {
	l.gathering.mu.Lock()
	defer l.gathering.mu.Unlock()
	if l.gathering.now == nil {
		return 0
	}
	return len(l.gathering.now.entry.Requests)
}

// TestPanicGoesToItsRequest: a panic of the machine goes on in the goroutine of
// the request that met it, and in no other.
func TestPanicGoesToItsRequest(t *testing.T) {
	t.Parallel()
	l := Open(panicky{new(logtest.Machine)})
	for _, e := range []entry.Entry{&entry.Cursor{Name: "bug"}, &entry.Commands{Requests: requestOf(1)}} {
		func() {
			defer func() {
				if bug, ok := recover().(*PanicError); !ok || bug.Value != "bug" {
					t.Errorf("got %v", bug)
				}
			}()
			t.Errorf("got %v", l.Append(e))
		}()
	}
}

// panicky is a machine with a bug.
type panicky struct{ *logtest.Machine }

func (panicky) Apply(uint64, entry.Entry) error { return &PanicError{Value: "bug"} }

// Package logtest holds what every log of entries promises, as tests that each
// implementation runs.
package logtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"trackway"
	"trackway/internal/entry"
)

// Log is what is tested.
type Log interface {
	// Append has the machine apply an entry and writes the results into the
	// entry. On return the entry is durable, except for kinds that a crash may
	// forget.
	Append(e entry.Entry) error

	// Close ends the log. It refuses later entries.
	Close()
}

// Features are the differences between logs.
type Features struct {
	// NotCommitted is what a machine returns that cannot commit anything.
	NotCommitted error

	// Shared: the log has other machines, too. An entry is in the log before it
	// is applied. So if a machine fails, it stops, because the others may not
	// have failed.
	Shared bool
}

// Run tests the logs that open returns. It calls open with a machine that may
// have applied entries before; the log goes on after them.
func Run(t *testing.T, f Features, open func(m *Machine) Log) {
	t.Helper()
	tests := map[string]func(*testing.T, func(*Machine) Log){
		"order": order, "results": results, "durable": durable, "lazy": lazy, "goes on": goesOn, "concurrent": concurrent,
		"rest": rest, "close": closed,
		"not committed": func(t *testing.T, open func(*Machine) Log) { t.Helper(); cannotCommit(t, open, f.NotCommitted) },
	}
	if f.Shared {
		tests["stops"] = stops
	} else {
		tests["failed alone"], tests["failed"], tests["failed but stored"] = failedAlone, failed, failedButStored
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// request is the commands of a request, each an event of one type.
func request(types ...string) entry.Request {
	var r entry.Request
	for _, typ := range types {
		r.Commands = append(r.Commands, trackway.Command{Kind: trackway.AddEvent, Project: 1, Type: typ})
	}
	r.Results = make([]trackway.Result, len(types))
	return r
}

func commands(types ...string) *entry.Commands {
	return &entry.Commands{Requests: []entry.Request{request(types...)}}
}

func mustAppend(t *testing.T, l Log, e entry.Entry) {
	t.Helper()
	if err := l.Append(e); err != nil {
		t.Error(err)
	}
}

func wantApplied(t *testing.T, m *Machine, want ...string) {
	t.Helper()
	if got := m.Stored(); !slices.Equal(got, want) {
		t.Errorf("applied %q, want %q", got, want)
	}
}

func order(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	m := new(Machine)
	l := open(m)
	mustAppend(t, l, commands("a", "b"))
	mustAppend(t, l, &entry.Cursor{Name: "c", Number: 1})
	mustAppend(t, l, commands("d"))
	wantApplied(t, m, "1 a", "1 b", "2 cursor", "3 d")
}

func results(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	m := new(Machine)
	l := open(m)
	e := &entry.Commands{Requests: []entry.Request{request("a", "b"), request("c")}}
	mustAppend(t, l, e)
	for i, r := range e.Requests {
		for j, got := range r.Results {
			if want := uint64(1 + 2*i + j); got.Seq != want || r.Done != len(r.Commands) || r.Err != nil {
				t.Errorf("request %d, command %d: got %+v, done %d, %v; want number %d", i, j, got, r.Done, r.Err, want)
			}
		}
	}
	x := &entry.Expire{Events: []uint64{1, 2}}
	if mustAppend(t, l, x); x.Removed != 2 {
		t.Errorf("removed %d, want 2", x.Removed)
	}
}

// durable: after a crash, everything acknowledged is there.
func durable(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	m := new(Machine)
	l := open(m)
	for i, e := range []entry.Entry{commands("a"), &entry.Register{}, &entry.Erase{}} {
		mustAppend(t, l, e)
		if after := afterCrash(t, m, open); len(after) != i+1 {
			t.Errorf("after a crash there are %q", after)
		}
	}
}

// afterCrash lists what a machine has stored after a crash, once its log has
// gone on.
func afterCrash(t *testing.T, m *Machine, open func(*Machine) Log) []string {
	t.Helper()
	after := m.Crashed()
	mustAppend(t, open(after), &entry.Cursor{Name: "last"})
	stored := after.Stored()
	return stored[:len(stored)-1]
}

// lazy: entries that a crash may forget do not wait for the disk. They are on
// the disk together with the next entry that waits.
func lazy(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	m := new(Machine)
	l := open(m)
	kinds := []entry.Entry{
		&entry.Refused{}, &entry.Rewrite{}, &entry.Forget{}, &entry.Settle{}, &entry.Expire{}, &entry.Cursor{},
	}
	for _, e := range kinds {
		mustAppend(t, l, e)
	}
	if n := m.Syncs(); n != 0 {
		t.Errorf("waited %d times for the disk", n)
	}
	mustAppend(t, l, commands("a"))
	if n := len(afterCrash(t, m, open)); n != len(kinds)+1 {
		t.Errorf("after a crash %d entries are there, want %d", n, len(kinds)+1)
	}
}

func goesOn(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	m := new(Machine)
	mustAppend(t, open(m), commands("a"))
	after := m.Crashed()
	mustAppend(t, open(after), commands("b"))
	wantApplied(t, after, "1 a", "2 b")
}

// concurrent: if many append at once, each has its own results, and everything
// is applied once.
func concurrent(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	const writers, each = 8, 50
	m := new(Machine)
	l := open(m)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprint(w, "-", i)
				e := commands(name, name)
				mustAppend(t, l, e)
				r := e.Requests[0]
				if first := r.Results[0].Seq; m.Event(first) != name || r.Results[1].Seq != first+1 {
					t.Errorf("%s has the numbers %d and %d: the first is %s", name, first, r.Results[1].Seq, m.Event(first))
				}
				mustAppend(t, l, &entry.Refused{})
			}
		})
	}
	wg.Wait()
	if n := len(m.Stored()); n != 3*writers*each {
		t.Errorf("%d are applied, want %d", n, 3*writers*each)
	}
}

// rest: commands for which the machine has no room in one entry go into the
// next entry. If the machine carries out only a part of a request, its appender
// continues with the remaining commands.
func rest(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	m := &Machine{Most: 3}
	l := open(m)
	e := &entry.Commands{Requests: []entry.Request{request("a", "b"), request("c", "d"), request("e")}}
	mustAppend(t, l, e)
	if a, c, last := e.Requests[0].Done, e.Requests[1].Done, e.Requests[2].Done; a != 2 || c != 1 || last != 1 {
		t.Errorf("done are %d, %d and %d, want 2, 1 and 1", a, c, last)
	}
	wantApplied(t, m, "1 a", "1 b", "1 c", "2 e")
}

// failedAlone: if a request fails, the others do not fail with it, and it
// leaves nothing behind.
func failedAlone(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	m := new(Machine)
	l := open(m)
	e := &entry.Commands{Requests: []entry.Request{request("a"), request("b", fails), request("c")}}
	if err := l.Append(e); !errors.Is(err, errMachine) {
		t.Errorf("got %v, want %v", err, errMachine)
	}
	for i, r := range e.Requests {
		if failed := r.Err != nil; failed != (i == 1) {
			t.Errorf("request %d: got %v", i, r.Err)
		}
	}
	wantApplied(t, m, "1 a", "2 c")
	if n := len(m.Crashed().Stored()); n != 2 {
		t.Errorf("%d are durable, want 2", n)
	}
}

// failed: an entry that fails and is not stored does not have an index.
func failed(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	m := new(Machine)
	l := open(m)
	if err := l.Append(&entry.Cursor{Name: fails}); !errors.Is(err, errMachine) {
		t.Errorf("got %v, want %v", err, errMachine)
	}
	mustAppend(t, l, commands("a"))
	wantApplied(t, m, "1 a")
}

// stops: a machine that fails leaves nothing of the entry behind and gets no
// other one, and no caller learns that an entry is stored.
func stops(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	for _, failing := range []entry.Entry{
		&entry.Cursor{Name: fails},
		&entry.Commands{Requests: []entry.Request{request("b"), request("c", fails), request("d")}},
	} {
		m := new(Machine)
		l := open(m)
		mustAppend(t, l, commands("a"))
		if err := l.Append(failing); err == nil {
			t.Error("acknowledged")
		}
		if err := l.Append(commands("e")); err == nil {
			t.Error("it goes on")
		}
		if n := m.Tries(); n != 2 {
			t.Errorf("tried %d times", n)
		}
		wantApplied(t, m, "1 a")
	}
}

// cannotCommit: if the machine cannot commit, all requests fail, and none is
// tried again.
func cannotCommit(t *testing.T, open func(*Machine) Log, why error) {
	t.Helper()
	m := &Machine{NotCommitted: why}
	l := open(m)
	e := &entry.Commands{Requests: []entry.Request{request("a"), request("b")}}
	if err := l.Append(e); err == nil {
		t.Error("acknowledged")
	}
	if n := m.Tries(); n != 1 {
		t.Errorf("tried %d times", n)
	}
}

// failedButStored: if the disk fails, no caller learns that the entry is
// stored, but it has an index.
func failedButStored(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	m := &Machine{SyncFails: true}
	l := open(m)
	if err := l.Append(commands("a")); !errors.Is(err, errMachine) {
		t.Errorf("got %v, want %v", err, errMachine)
	}
	mustAppend(t, l, &entry.Cursor{})
	wantApplied(t, m, "1 a", "2 cursor")
}

func closed(t *testing.T, open func(*Machine) Log) {
	t.Helper()
	m := new(Machine)
	l := open(m)
	mustAppend(t, l, commands("a"))
	l.Close()
	for _, e := range []entry.Entry{commands("b"), &entry.Cursor{}} {
		if err := l.Append(e); err == nil {
			t.Error("an entry is accepted by a log that is closed")
		}
	}
	wantApplied(t, m, "1 a")
}

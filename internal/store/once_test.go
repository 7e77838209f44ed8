package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/store/format"
)

// The answers of a machine about an entry.
const (
	first = "first"
	again = "again"
	late  = "late"
)

// send applies an entry as a shared log does, and returns what the machine says
// about it.
func (s *Store) send(t *testing.T, origin byte, counter uint64, e entry.Entry) string {
	t.Helper()
	b := entry.Append(nil, &entry.Once{Origin: [16]byte{origin}, Counter: counter, Entry: e})
	decoded, err := entry.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	once, _ := decoded.(*entry.Once)
	if err := s.machine.Apply(s.Applied()+1, once); err != nil {
		t.Fatal(err)
	}
	if once.Late {
		return late
	}
	if err := entry.DecodeResults(entry.AppendResults(nil, once.Entry), e); err != nil {
		t.Fatal(err)
	}
	if once.Again {
		return again
	}
	return first
}

func visit() (*entry.Commands, *[]trackway.Result) {
	e := event("visit", 1, nil, cookie1)
	e.TimeGiven = false // without a time of its own, only its counter tells it from others
	c := &entry.Commands{Requests: []entry.Request{{Commands: []trackway.Command{e}, Results: make([]trackway.Result, 1)}}}
	return c, &c.Requests[0].Results
}

// TestOnce: an entry takes effect once for each origin and counter, and has the
// results of that time, also after a restart.
func TestOnce(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	e, want := visit()
	if seen := s.send(t, 1, 7, e); seen != first {
		t.Errorf("got %s", seen)
	}
	for i, c := range []struct {
		origin  byte
		counter uint64
		want    string
	}{
		{1, 7, again},
		{1, 8, first},
		{1, 7, again},
		{2, 7, first},
		{1, 5, first},
		{1, 5, again},
		{1, 7 + entry.Kept - 1, first},
		{1, 7, again},
		{1, 7 + entry.Kept, first},
		{1, 7, late},
		{1, 5, late},
		{1, 8, again},
		{1, 1 << 40, first},
		{1, 8, late},
		{1, 7 + entry.Kept, late},
		{2, 7, again},
	} {
		events := s.nextSeq
		e, got := visit()
		if seen := s.send(t, c.origin, c.counter, e); seen != c.want {
			t.Errorf("step %d: got %s, want %s", i, seen, c.want)
		}
		if stored := s.nextSeq - events; (stored == 1) != (c.want == first) {
			t.Errorf("step %d: %d events were stored", i, stored)
		}
		if c.counter == 7 && c.origin == 1 && c.want == again {
			if diff := cmp.Diff(*want, *got); diff != "" {
				t.Errorf("step %d: results (-want): %s", i, diff)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, fs)
	}
	left := 0
	for key := range dump(t, s) {
		if key[0] == format.TableOnce {
			left++
		}
	}
	if left != 4 { // two highest counters, and two entries
		t.Errorf("%d keys are left", left)
	}
	mustBeConsistent(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOnceForgetsOneByOne: however many entries an origin sends, the state
// keeps as many as it should.
func TestOnceForgetsOneByOne(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, vfs.NewMem())
	for i := range uint64(entry.Kept + 300) {
		s.send(t, 1, i+1, &entry.Cursor{Name: "c", Number: i})
	}
	left := 0
	for key := range dump(t, s) {
		if key[0] == format.TableOnce && len(key) == 25 {
			left++
		}
	}
	if left != entry.Kept {
		t.Errorf("%d entries are known, want %d", left, entry.Kept)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOnceKeepsNothingPersonal: the results of an erasure do not keep what it
// erased.
func TestOnceKeepsNothingPersonal(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, vfs.NewMem())
	c, results := visit()
	s.send(t, 1, 1, c)
	erase := func() *entry.Erase {
		return &entry.Erase{Project: demo, Customer: (*results)[0].Customer, IDs: []trackway.Identifier{cookie1}, Next: s.nextSeq, Log: []entry.Range{{From: 1, To: 1}}}
	}
	e, repeated := erase(), erase()
	if seen := s.send(t, 1, 2, e); seen != first || e.Outcome != entry.Done || len(e.Gone) != 1 {
		t.Fatalf("got %s, %+v", seen, e)
	}
	if seen := s.send(t, 1, 2, repeated); seen != again || repeated.Outcome != entry.Done || repeated.ID != e.ID || repeated.Erased != e.Erased || repeated.Gone != nil {
		t.Errorf("got %s, %+v", seen, repeated)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

package store

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/query"
)

// fakeCopies are destinations that a test moves.
type fakeCopies struct {
	list   []change.Copy
	missed map[string]int
}

func (f *fakeCopies) List() []change.Copy { return f.list }

func (f *fakeCopies) Missed(name string, events int) {
	if f.missed == nil {
		f.missed = make(map[string]int)
	}
	f.missed[name] += events
}

// TestErasuresWait: an erasure is done when the files are clean and each
// destination that can delete has come to its changes. It stays so after a
// restart, and the clean-up is not repeated.
func TestErasuresWait(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openPlain(t, fs)
	copies := &fakeCopies{list: []change.Copy{{Name: "bus", Deletes: false}, {Name: "hook", Deletes: true}, {Name: "warehouse", Deletes: true}}}
	s.SetCopies(copies)
	jane := identifierOf("registered", secret("jane"))
	mustApply(t, s, event("visit", 1, nil, jane))
	c := mustFind(t, s, jane)
	mustErase(t, s, c)
	last := s.Synced()
	state := func(done trackway.Micros, waitingFor ...string) {
		t.Helper()
		want := []query.Erasure{{ID: 1, Customer: c, Asked: 1000, Done: done, WaitingFor: waitingFor, Undeletable: []string{"bus"}}}
		got, err := s.Erasures(demo)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v; (-want): %s", err, diff)
		}
	}
	state(0, "hook", "warehouse")
	copies.list[1].Through = last
	copies.list[2].Through = last - 1
	mustCleanUp(t, s, 0)
	state(0, "warehouse")
	if found := traces(t, fs, []byte(jane.Value)); len(found) > 0 {
		t.Errorf("while a destination is waited for: %v", found)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openPlain(t, fs)
	s.SetCopies(copies)
	state(0, "warehouse")
	if n, _ := s.pending.Pending(); n != 1 {
		t.Errorf("%d erasures are pending, want 1", n)
	}
	written := s.db.Metrics().Total().TableBytesCompacted
	mustCleanUp(t, s, 0)
	if got := s.db.Metrics().Total().TableBytesCompacted; got != written {
		t.Errorf("the files were cleaned again: %d bytes", got-written)
	}
	copies.list[2].Through = last
	state(0)
	mustCleanUp(t, s, 1)
	state(2000)
	copies.list[2].Through = 0 // it was rewound
	state(2000)
	mustBeConsistent(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// part is a project's events of one type.
type part struct {
	project uint32
	typ     string
}

func (p part) Has(project uint32) bool { return project == p.project }

func (p part) Wants(project uint32, typ string) bool { return p.Has(project) && typ == p.typ }

// TestCopiesOfParts: an erasure has nothing to do with destinations that get
// nothing of its project. A destination does not miss the events that it does
// not get.
func TestCopiesOfParts(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	jane := identifierOf("registered", "jane")
	mustApply(t, s, event("a", 1, nil, jane), event("b", 2, nil, jane), event("b", 3, nil, jane))
	c := mustFind(t, s, jane)
	mustErase(t, s, c)
	copies := &fakeCopies{list: []change.Copy{
		{Name: "bus", Part: part{demo, "a"}},
		{Name: "bus of others", Part: part{demo + 1, "a"}},
		{Name: "hook of others", Deletes: true, Part: part{demo + 1, "a"}},
		{Name: "warehouse", Deletes: true, Through: s.Synced(), Part: part{demo, "a"}},
	}}
	s.SetCopies(copies)
	want := []query.Erasure{{ID: 1, Customer: c, Asked: 1000, Undeletable: []string{"bus"}}}
	got, err := s.Erasures(demo)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; (-want): %s", err, diff)
	}
	mustCleanUp(t, s, 1)
	for i := range copies.list {
		copies.list[i].Through = 0
	}
	mustExpire(t, s, allBefore(query.Never))
	if diff := cmp.Diff(map[string]int{"bus": 1, "warehouse": 1}, copies.missed); diff != "" {
		t.Errorf("missed (-want): %s", diff)
	}
}

// TestErasureWaitsForOthers: an erasure may rewrite events of other customers.
// If such a customer changes again before a destination has come to the change
// that says so, only the newer change tells the destination.
func TestErasureWaitsForOthers(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(s *Store, bob trackway.Identifier){
		"changed": func(s *Store, bob trackway.Identifier) { mustApply(t, s, update(5, map[string]string{"p": "1"}, bob)) },
		"absorbed": func(s *Store, bob trackway.Identifier) {
			mustApply(t, s, update(5, nil, identifierOf("cookie", "older"), bob))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openTest(t)
			jane, bob := identifierOf("registered", "jane"), identifierOf("registered", "bob")
			// One of Bob's merges names cookie1, which moves to Jane.
			mustApply(t, s, update(0, nil, identifierOf("cookie", "older")), update(1, nil, cookie1), update(2, nil, bob), update(3, nil, bob, cookie1))
			mustApply(t, s, update(4, nil, jane, cookie1))
			mustErase(t, s, mustFind(t, s, jane))
			through := s.Synced()
			then(s, bob)
			copies := &fakeCopies{list: []change.Copy{{Name: "warehouse", Deletes: true, Through: through}}}
			s.SetCopies(copies)
			mustCleanUp(t, s, 0)
			copies.list[0].Through = lastRewritten(t, s)
			mustCleanUp(t, s, 1)
		})
	}
}

// lastRewritten returns the number of the last change that tells of rewritten
// events.
func lastRewritten(t *testing.T, s *Store) (number uint64) {
	t.Helper()
	for some, err := range s.Changes(0, change.NoCursor) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range some {
			if k := some[i].Kind; k == change.Rewritten || k == change.Erased {
				number = some[i].Number
			}
		}
	}
	return number
}

// TestBoundOfHold: a destination that lags too much holds only the newest
// events. One without a cursor holds none. The events that it misses are
// counted.
func TestBoundOfHold(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	for i := range 10 {
		mustApply(t, s, event("e", trackway.Micros(i+1), nil, cookie1)) // events 1 and 3 to 11, received at 1 to 10
	}
	copies := &fakeCopies{list: []change.Copy{
		{Name: "ahead", Cursor: "a", Through: 11, Bound: math.MinInt64},
		{Name: "dead", Cursor: "d", Through: 4, Bound: 6},
		{Name: "free", Through: 1},
	}}
	s.SetCopies(copies)
	for _, c := range copies.list[:2] {
		if err := s.SetCursor(c.Cursor, c.Through); err != nil {
			t.Fatal(err)
		}
	}
	if x := mustExpire(t, s, allBefore(query.Never)); x.Removed != 5 || x.Soonest != 0 {
		t.Errorf("got %+v, want the events before 6 to go", x)
	}
	if diff := cmp.Diff(map[string]int{"dead": 2, "free": 4}, copies.missed); diff != "" {
		t.Error(diff)
	}
	copies.list[1].Bound = math.MinInt64
	if x := mustExpire(t, s, allBefore(query.Never)); x.Removed != 0 || !x.End {
		t.Errorf("got %+v, want nothing to go without a bound", x)
	}
}

// TestErasedEventStays: an event that an erasure has rewritten does not expire
// before every destination that has its old form has received the erasure. Such
// a destination would otherwise find no event, and would keep the erased data.
func TestErasedEventStays(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	jane, bob := identifierOf("registered", "jane"), identifierOf("registered", "bob")
	mustApply(t, s, event("e", 1, map[string]string{"email": `"x"`}, jane), event("e", 2, nil, bob)) // events 1 and 3
	has := s.Synced()
	mustErase(t, s, mustFind(t, s, jane), "email")
	copies := &fakeCopies{list: []change.Copy{
		{Name: "bus", Cursor: "b", Through: has, Bound: math.MinInt64},              // cannot delete
		{Name: "new", Cursor: "n", Through: 0, Bound: math.MaxInt64, Deletes: true}, // does not have the old form
		{Name: "warehouse", Cursor: "w", Through: has, Bound: math.MinInt64, Deletes: true},
	}}
	s.SetCopies(copies)
	for _, c := range copies.list {
		if err := s.SetCursor(c.Cursor, c.Through); err != nil {
			t.Fatal(err)
		}
	}
	warehouse := &copies.list[2]
	if x := mustExpire(t, s, allBefore(query.Never)); x.Removed != 1 || x.Soonest != 0 {
		t.Errorf("got %+v, want Bob's event to go, and Jane's to stay and be looked at again", x)
	}
	warehouse.Bound = math.MaxInt64 // it holds no events that it lacks, but it has this one
	if x := mustExpire(t, s, allBefore(query.Never)); x.Removed != 0 || x.Soonest != 0 {
		t.Errorf("got %+v, want Jane's event to stay", x)
	}
	warehouse.Through = s.Synced()
	if x := mustExpire(t, s, allBefore(query.Never)); x.Removed != 1 {
		t.Errorf("got %+v, want Jane's event to go", x)
	}
	mustBeConsistent(t, s)
}

// unbounded returns the lowest of the cursors that hold all events behind them:
// those of destinations without a bound, and those of other followers, such as
// a mirror.
func (m *simulation) unbounded(t *rapid.T) uint64 {
	others, err := m.store.Cursors()
	if err != nil {
		t.Fatal(err)
	}
	lowest := change.NoCursor
	for _, c := range m.copies.list {
		if c.Cursor != "" && c.Bound == math.MinInt64 {
			lowest = min(lowest, c.Through)
		}
		delete(others, c.Cursor)
	}
	for _, number := range others {
		lowest = min(lowest, number)
	}
	return lowest
}

// held reports whether a destination holds an event because it came lately.
func (m *simulation) held(e *modelEvent) bool {
	return slices.ContainsFunc(m.copies.list, func(c change.Copy) bool {
		return c.Cursor != "" && e.Seq > c.Through && e.Received >= c.Bound
	})
}

// follow replaces the destinations, and their cursors.
func (m *simulation) follow(t *rapid.T) {
	for _, c := range m.copies.list {
		m.setCursor(t, c.Cursor, change.NoCursor)
	}
	m.copies.list = nil
	for i := range rapid.IntRange(0, 2).Draw(t, "destinations") {
		c := change.Copy{
			Name: strconv.Itoa(i), Cursor: rapid.SampledFrom([]string{"", strconv.Itoa(i)}).Draw(t, "cursor"),
			Through: rapid.Uint64Range(0, m.store.Synced()).Draw(t, "through"),
			Bound:   trackway.Micros(rapid.SampledFrom([]int64{math.MinInt64, int64(m.now) - 2, int64(m.now)}).Draw(t, "bound")),
		}
		m.setCursor(t, c.Cursor, c.Through)
		m.copies.list = append(m.copies.list, c)
	}
}

func (m *simulation) setCursor(t *rapid.T, name string, number uint64) {
	if name == "" {
		return
	}
	if err := m.store.SetCursor(name, number); err != nil {
		t.Fatal(err)
	}
}

// TestKnown: the feed tells which events have expired, and whose events were
// rewritten last.
func TestKnown(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	mustApply(t, s, event("a", 1, nil, reg1), event("b", 2, map[string]string{"email": `"x"`}, reg1))
	c := mustFind(t, s, reg1)
	if x, err := s.Expired(demo); x != (change.Expiry{}) || err != nil {
		t.Errorf("got %+v, %v before any has expired", x, err)
	}
	if n, err := s.Rewritten(demo, c); n != 0 || err != nil {
		t.Errorf("got %d, %v before any was rewritten", n, err)
	}
	mustExpire(t, s, allBefore(2))
	if x, err := s.Expired(demo); x != (change.Expiry{Events: 1, Highest: 1}) || err != nil {
		t.Errorf("got %+v, %v", x, err)
	}
	mustErase(t, s, c, "email")
	if n, err := s.Rewritten(demo, c); n != s.Synced() || err != nil {
		t.Errorf("got %d, %v, want %d", n, err, s.Synced())
	}
}

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

var (
	reg1    = identifierOf("registered", "r1")
	reg2    = identifierOf("registered", "r2")
	cookie1 = identifierOf("cookie", "c1")
	cookie2 = identifierOf("cookie", "c2")
	cookie3 = identifierOf("cookie", "c3")
)

func mustFind(tb testing.TB, s *Store, id trackway.Identifier) trackway.Customer {
	tb.Helper()
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	c, err := v.Find(demo, id)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func mustProfile(tb testing.TB, s *Store, c trackway.Customer) *trackway.Profile {
	tb.Helper()
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	p, err := v.Profile(demo, c)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func eventsOf(tb testing.TB, v query.Snapshot, c trackway.Customer, newestFirst bool) (texts []string) {
	tb.Helper()
	err := v.Events(demo, c, newestFirst, func(e *trackway.Event) bool {
		texts = append(texts, fmt.Sprintf("%s %d %s", e.Type, e.Time, e.Properties))
		return true
	})
	if err != nil {
		tb.Fatal(err)
	}
	return texts
}

func mustEvents(tb testing.TB, s *Store, c trackway.Customer) []string {
	tb.Helper()
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	return eventsOf(tb, v, c, false)
}

// TestBatchReadsItsOwnWrites: a batch has the same effect as its commands one
// by one.
func TestBatchReadsItsOwnWrites(t *testing.T) {
	t.Parallel()
	cmds := []trackway.Command{
		event("visit", 1, nil, cookie1),
		event("visit", 1, nil, cookie1), // a duplicate
		event("visit", 1, nil, cookie2), // the same event of another customer
		update(2, map[string]string{"p": "1", "q": "1"}, cookie1),
		receivedAt(2, update(1, map[string]string{"p": "0", "r": "0"}, cookie2)),
		event("login", 3, nil, reg1, cookie1),
		event("login", 4, nil, reg1, cookie2), // merges
		event("visit", 1, nil, cookie2),       // a duplicate of an event that the merge brought
		receivedAt(5, update(1, map[string]string{"p": "old"}, reg1)),
		event("login", 5, nil, reg2, cookie1), // takes the cookie
		event("visit", 1, nil, cookie1),       // so this is another customer's event
	}
	batch, single := openTest(t), openTest(t)
	want := make([]trackway.Result, len(cmds))
	for i := range cmds {
		want[i] = mustApply(t, single, cmds[i])[0]
	}
	got := mustApply(t, batch, cmds...)
	if diff := gocmp.Diff(ranked(want), ranked(got)); diff != "" {
		t.Errorf("results (-one by one +batch): %s", diff)
	}
	for _, s := range []*Store{batch, single} {
		mustBeConsistent(t, s)
		if want, got := []string{"visit 1 {}", "visit 1 {}", "login 3 {}", "login 4 {}"}, withoutMerges(mustEvents(t, s, 1)); gocmp.Diff(want, got) != "" {
			t.Errorf("got %q, want %q", got, want)
		}
		if p := mustProfile(t, s, 1).Properties; len(p) != 3 || string(p[0].Value) != "1" || p[0].Updated != 2 || string(p[2].Value) != "0" {
			t.Errorf("got properties %v", p)
		}
	}
}

// ranked numbers the events of results without gaps. Within a transaction, the
// changes of customers have higher numbers than its events.
func ranked(results []trackway.Result) []trackway.Result {
	n := uint64(0)
	for i := range results {
		if results[i].Seq != 0 {
			n++
			results[i].Seq = n
		}
	}
	return results
}

func withoutMerges(events []string) (kept []string) {
	for _, e := range events {
		if !strings.HasPrefix(e, "merge ") {
			kept = append(kept, e)
		}
	}
	return kept
}

// TestMergeEvent: the merge event holds what both customers had before the
// command.
func TestMergeEvent(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	mustApply(t, s, event("a", 1, nil, reg1, cookie1), event("b", 2, nil, cookie2, cookie3))
	mustApply(t, s, event("c", 3, nil, reg1, cookie2, identifierOf("cookie", "new")))
	want := `merge 3 {"absorbed_ids":{"cookie":["c2","c3"]},"cause_ids":{"registered":"r1","cookie":["c2","new"]},"survivor_ids":{"registered":"r1","cookie":["c1"]}}`
	if got := mustEvents(t, s, 1); len(got) != 4 || got[2] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestLongTimeline: a timeline that is too long to move stays. Readers,
// duplicates, erasures and further merges find it.
func TestLongTimeline(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const long = maxMoved + 1
	mustApply(t, s, event("first", 1, nil, reg1))
	mustApply(t, s, event("second", 1, nil, cookie1))
	cmds := make([]trackway.Command, long)
	for i := range cmds {
		cmds[i] = event("e", trackway.Micros(10+i), map[string]string{"email": strconv.Itoa(i)}, cookie2)
	}
	mustApply(t, s, cmds...)
	// The same event is on both timelines.
	mustApply(t, s, event("e", 10, map[string]string{"email": "0"}, cookie1))
	for _, ids := range [][]trackway.Identifier{{cookie2, cookie1}, {cookie1, reg1}} {
		mustApply(t, s, update(5000, nil, ids...))
		mustBeConsistent(t, s)
		c := mustFind(t, s, cookie2)
		if r := mustApply(t, s, cmds[0], cmds[long-1]); !r[0].Duplicate || !r[1].Duplicate || r[0].Customer != c {
			t.Errorf("%v: got %v, want duplicates", ids, r)
		}
	}
	if n := len(s.mustRead(t).kept); n != 1 {
		t.Errorf("%d timelines stayed, want 1", n)
	}
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	oldest, newest := eventsOf(t, v, 1, false), eventsOf(t, v, 1, true)
	if len(oldest) != long+5 || len(oldest) != len(newest) {
		t.Fatalf("got %d and %d events, want %d", len(oldest), len(newest), long+5)
	}
	if _, err := s.Erase(demo, 1, []string{"email"}, 1); err != nil {
		t.Fatal(err)
	}
	mustBeConsistent(t, s)
	if all := strings.Join(mustEvents(t, s, 1), "\n"); strings.Contains(all, "email") || strings.Contains(all, "cookie") {
		t.Error("erased and there")
	}
}

// TestOrderOfEqualEvents: two customers had the same event at the same time,
// and one of the timelines stayed. Reading backwards still exactly reverses the
// order, so that no page repeats or skips an event.
func TestOrderOfEqualEvents(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	cmds := []trackway.Command{event("same", 1, nil, cookie1)}
	for i := range maxMoved + 1 {
		cmds = append(cmds, event("e", trackway.Micros(i), nil, cookie2))
	}
	cmds = append(cmds, event("same", 1, nil, cookie2), update(9, nil, cookie1, cookie2))
	mustApply(t, s, cmds...)
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	var orders [2][]uint64
	for i, newestFirst := range []bool{false, true} {
		err := v.Events(demo, 1, newestFirst, func(e *trackway.Event) bool {
			if e.Type == "same" {
				orders[i] = append(orders[i], e.Seq)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if a, b := orders[0], orders[1]; len(a) != 2 || len(b) != 2 || a[0] != b[1] || a[1] != b[0] {
		t.Errorf("got sequence numbers %v, and backwards %v", a, b)
	}
}

func (s *Store) mustRead(tb testing.TB) *contents {
	tb.Helper()
	c, err := readAll(s.db)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// TestProperties: an older update does not overwrite newer properties. Each
// property is compared on its own, and the later of two equally old updates
// wins.
func TestProperties(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	mustApply(t, s, update(2000, map[string]string{"a": `"new"`, "b": `"new"`}, reg1))
	mustApply(t, s, receivedAt(2000, update(1000, map[string]string{"a": `"old"`, "c": `"old"`}, reg1)))
	mustApply(t, s, update(2000, map[string]string{"b": `"same time"`}, reg1))
	want := []trackway.DatedProperty{
		{Property: trackway.Property{Name: "a", Value: []byte(`"new"`)}, Updated: 2000},
		{Property: trackway.Property{Name: "b", Value: []byte(`"same time"`)}, Updated: 2000},
		{Property: trackway.Property{Name: "c", Value: []byte(`"old"`)}, Updated: 1000},
	}
	if diff := gocmp.Diff(want, mustProfile(t, s, 1).Properties); diff != "" {
		t.Error(diff)
	}
}

func numbered(from, to int) map[string]string {
	m := make(map[string]string)
	for i := from; i < to; i++ {
		m[fmt.Sprintf("p%03d", i)] = "1"
	}
	return m
}

// TestMaxProperties: new properties beyond the limit are refused by name, known
// ones are still updated. A merge keeps all of them, and an erasure makes room.
func TestMaxProperties(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	if r := mustApply(t, s, update(1, numbered(0, 250), reg1)); r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	r := mustApply(t, s, update(2, numbered(240, 258), reg1))[0]
	if r.Err == nil || r.Err.Code != trackway.Invalid || r.Err.Field != "properties.p255" || r.Customer != 1 ||
		r.Err.What != "p255, p256, p257" {
		t.Errorf("got %+v, want a refusal of p255, p256 and p257", r)
	}
	if p := mustProfile(t, s, 1).Properties; len(p) != trackway.MaxProperties || p[254].Updated != 2 || p[0].Updated != 1 {
		t.Errorf("got %d properties", len(p))
	}
	mustApply(t, s, update(3, numbered(200, 300), cookie1))
	mustApply(t, s, update(4, nil, reg1, cookie1))
	if p := mustProfile(t, s, 1).Properties; len(p) != 300 || p[200].Updated != 3 {
		t.Errorf("got %d properties after the merge, want 300", len(p))
	}
	mustBeConsistent(t, s)
	personal := make([]string, 0, 100)
	for name := range numbered(0, 100) {
		personal = append(personal, name)
	}
	if _, err := s.Erase(demo, 1, append(personal, "unknown"), 1); err != nil {
		t.Fatal(err)
	}
	if p := mustProfile(t, s, 1); len(p.Properties) != 200 || len(p.IDs) != 0 {
		t.Errorf("got %d properties and %d identifiers after the erasure", len(p.Properties), len(p.IDs))
	}
	mustBeConsistent(t, s)
}

// TestEraseAfterMerge: a merge may happen between the look-up of a customer and
// the request to erase it. The data of all merged customers is erased
// nevertheless.
func TestEraseAfterMerge(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	email := map[string]string{"email": `"x"`, "kept": "1"}
	for i, id := range []trackway.Identifier{cookie3, cookie2, cookie1} {
		mustApply(t, s, event("e", trackway.Micros(i), email, id), update(5, email, id))
	}
	c := mustFind(t, s, cookie1)
	mustApply(t, s, update(6, nil, cookie1, cookie2), update(7, nil, cookie3, cookie2))
	if _, err := s.Erase(demo, c, []string{"email"}, 1); err != nil {
		t.Fatal(err)
	}
	for _, id := range []trackway.Identifier{cookie1, cookie2, cookie3} {
		if c := mustFind(t, s, id); c != 0 {
			t.Errorf("%v still leads to customer %d", id, c)
		}
	}
	want := []string{`e 0 {"kept":1}`, `e 1 {"kept":1}`, `e 2 {"kept":1}`, "merge 6 {}", "merge 7 {}"}
	if diff := gocmp.Diff(want, mustEvents(t, s, 1)); diff != "" {
		t.Error(diff)
	}
	if p := mustProfile(t, s, 1); len(p.Properties) != 1 || p.Properties[0].Name != "kept" {
		t.Errorf("got %v", p)
	}
	mustBeConsistent(t, s)
	if r := mustApply(t, s, event("e", 0, email, cookie1))[0]; r.Duplicate || r.Customer != 4 {
		t.Errorf("who comes again is somebody new: got %+v", r)
	}
	if _, err := s.Erase(demo, 77, nil, 1); err == nil {
		t.Error("customer 77 was erased and does not exist")
	}
	if _, err := s.Erase(2, 1, nil, 1); err == nil {
		t.Error("a customer was erased by way of another project")
	}
}

// TestCollision: another event occupies the place that an event's hash gives
// it. Both are stored and recognized.
func TestCollision(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	mustApply(t, s, event("taker", 1, nil, cookie1))
	wanted := event("wanted", 7, nil, cookie1)
	hash := s.key.Load().Hash(wanted.Type, []byte("{}"))
	for i := range uint64(3) {
		key := format.AppendTimelineKey(nil, 1, 7, (hash+i)|format.HashTail)
		if err := s.db.Set(key, binary.AppendUvarint(nil, 1), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	s.cache.Empty() // it does not know the entry that the test has written to the database
	if r := mustApply(t, s, wanted, wanted); r[0].Seq != 3 || r[0].Duplicate || !r[1].Duplicate {
		t.Errorf("got %+v", r)
	}
	if r := mustApply(t, s, wanted); !r[0].Duplicate {
		t.Errorf("got %+v", r)
	}
	if _, closer, err := s.db.Get(format.AppendTimelineKey(nil, 1, 7, (hash+3)|format.HashTail)); err != nil || closer.Close() != nil {
		t.Errorf("the event is not in the fourth place: %v", err)
	}
}

// TestZeroBytes: identifiers may contain any bytes, and none is mistaken for
// another.
func TestZeroBytes(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	seen := make(map[trackway.Customer]trackway.Identifier)
	for _, name := range []string{"cookie", "cookiea"} {
		for _, value := range []string{"a", "\x00a", "a\x00", "a\x00a", "\xff\xffa", "aa"} {
			id := trackway.Identifier{Name: name, Value: value}
			c := mustApply(t, s, event("e", 1, nil, id))[0].Customer
			if other, ok := seen[c]; ok {
				t.Errorf("%+q and %+q are customer %d", other.Value, id.Value, c)
			}
			seen[c] = id
		}
	}
	for c, id := range seen {
		if got := mustFind(t, s, id); got != c {
			t.Errorf("%q leads to %d, want %d", id.Value, got, c)
		}
	}
}

// TestFailureLeavesNoTrace: a batch that fails half-way, because of a damaged
// record or a panic, has no effect.
func TestFailureLeavesNoTrace(t *testing.T) {
	t.Parallel()
	fail := map[string]func(*Store, []trackway.Command){
		"a damaged record": func(s *Store, cmds []trackway.Command) {
			key := format.AppendCustomerKey(nil, demo, mustFind(t, s, cookie3))
			value, closer, err := s.db.Get(key)
			if err != nil {
				t.Fatal(err)
			}
			intact := bytes.Clone(value)
			s.cache.Empty()
			if err := errors.Join(closer.Close(), s.db.Set(key, []byte("?"), pebble.NoSync)); err != nil {
				t.Fatal(err)
			}
			if err := s.Apply(cmds, make([]trackway.Result, len(cmds))); !errors.Is(err, format.ErrCorrupt) {
				t.Errorf("got %v, want format.ErrCorrupt", err)
			}
			if err := s.db.Set(key, intact, pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		},
		"a panic": func(s *Store, cmds []trackway.Command) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			// The slice of results is too short, which is a bug of the caller.
			_ = s.Apply(cmds, make([]trackway.Result, len(cmds)-1))
		},
	}
	for name, fail := range fail {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openTest(t)
			mustApply(t, s, event("e", 1, nil, cookie1), event("e", 1, nil, cookie3))
			fail(s, []trackway.Command{
				event("e", 2, nil, cookie2),
				update(3, map[string]string{"p": "1"}, cookie1, reg1),
				event("e", 4, nil, cookie1, cookie2),
				event("e", 5, nil, cookie3),
			})
			mustBeConsistent(t, s)
			if c := mustFind(t, s, cookie2); c != 0 {
				t.Errorf("the failed batch created customer %d", c)
			}
			if r := mustApply(t, s, event("e", 2, nil, cookie2))[0]; r.Customer != 3 || r.Seq != 5 {
				t.Errorf("got %+v, want customer 3 and event 5", r)
			}
			mustBeConsistent(t, s)
		})
	}
}

// TestRequestsMemory: once Apply has returned, the caller may reuse the memory
// from which it decoded a command.
func TestRequestsMemory(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	body := []byte("registered cookie r1 c1 1")
	part := func(from, to int) string { return unsafe.String(&body[from], to-from) }
	mustApply(t, s, trackway.Command{
		Kind: trackway.UpdateCustomer, Project: demo, Time: 1, Received: 1,
		IDs:        []trackway.Identifier{{Name: part(0, 10), Value: part(18, 20), Hard: true}, {Name: part(11, 17), Value: part(21, 23)}},
		Properties: []trackway.Property{{Name: part(18, 20), Value: body[24:25]}},
	})
	clear(body)
	mustApply(t, s, update(2, nil, cookie2, reg1)) // rewrites the customer's record
	mustBeConsistent(t, s)
	body = []byte("registered r1 visit")
	mustApply(t, s, trackway.Command{
		Kind: trackway.AddEvent, Project: demo, Type: part(14, 19), Time: 3, Received: 3,
		IDs: []trackway.Identifier{{Name: part(0, 10), Value: part(11, 13), Hard: true}},
	})
	for _, e := range s.scratch.counted[:cap(s.scratch.counted)] {
		if e.Type != "" {
			t.Errorf("event %d, which is stored, keeps its request's body in memory", e.Seq)
		}
	}
	clear(body)
	mustBeConsistent(t, s) // including the counts
	want := []trackway.Identifier{reg1, cookie2, cookie1}
	if diff := gocmp.Diff(want, mustProfile(t, s, mustFind(t, s, cookie1)).IDs); diff != "" {
		t.Error(diff)
	}
}

// TestSnapshot: a snapshot does not change, and its results outlive it.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	mustApply(t, s, event("e", 1, nil, cookie1), update(1, map[string]string{"p": "1"}, cookie1))
	v := s.Snapshot()
	before, err := v.Profile(demo, 1)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, event("e", 2, nil, cookie1, cookie2), update(2, map[string]string{"p": "2"}, cookie1))
	if _, err := s.Erase(demo, 1, []string{"p"}, 1); err != nil {
		t.Fatal(err)
	}
	again, err := v.Profile(demo, 1)
	if err != nil {
		t.Fatal(err)
	}
	events := eventsOf(t, v, 1, false)
	if c, err := v.Find(demo, cookie1); c != 1 || err != nil {
		t.Errorf("the snapshot finds %d, %v", c, err)
	}
	if _, err := v.Profile(demo, 9); err == nil {
		t.Error("customer 9 has a profile and does not exist")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(before, again); diff != "" || len(events) != 1 || string(before.Properties[0].Value) != "1" {
		t.Errorf("the snapshot changed: %s%q", diff, events)
	}
}

// TestNumbers: projects, customers and changes are numbered without gaps, over
// all projects and across a restart.
func TestNumbers(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	for _, p := range []struct {
		token string
		want  uint32
	}{{"one", 1}, {"two", 2}, {"three", 3}, {"two", 2}} {
		if got := mustRegister(t, s, p.token); got != p.want {
			t.Errorf("project %q has number %d, want %d", p.token, got, p.want)
		}
	}
	last := event("e", 1, nil, cookie1)
	last.Project = 3
	mustApply(t, s, event("e", 1, nil, cookie1), last)
	if err := s.findNext(); err != nil || s.nextCustomer != 3 || s.nextSeq != 5 {
		t.Errorf("goes on with customer %d and change %d: %v", s.nextCustomer, s.nextSeq, err)
	}
}

// TestUnusedIdentifiers: a store knows, after each opening, that an identifier
// is nobody's, without looking for it.
func TestUnusedIdentifiers(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	unused := func(s *Store, id trackway.Identifier) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.used.Misses(format.AppendIDKey(nil, demo, id))
	}
	for round := range 3 {
		s := mustOpen(t, fs)
		s.used.Stop() // a store this small is learned whole before that
		if !unused(s, cookie2) {
			t.Error("the store does not know that cookie2 is unused")
		}
		if got := unused(s, cookie1); got != (round == 0) {
			t.Errorf("round %d: cookie1 is unused: %v", round, got)
		}
		mustApply(t, s, event("e", trackway.Micros(round+1), nil, cookie1))
		if unused(s, cookie1) {
			t.Errorf("round %d: cookie1 is taken for unused", round)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

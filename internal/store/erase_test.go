package store

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// TestEraseLetsOthersIn: an erasure of many events commits many steps, each
// visible by itself. It releases the lock in between.
func TestEraseLetsOthersIn(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const events = 5*entry.MaxEvents + 1
	var cmds []trackway.Command
	for i := range events {
		cmds = append(cmds, event("e", trackway.Micros(i), map[string]string{"email": `"x"`}, reg1))
	}
	mustApply(t, s, cmds...)
	before := s.Version(demo)
	mustErase(t, s, 1, "email")
	if steps := s.Version(demo).Counter - before.Counter; steps < 7 {
		t.Errorf("erased %d events in %d steps, want one for each %d, and the last", events, steps, entry.MaxEvents)
	}
	for _, e := range mustEvents(t, s, 1) {
		if strings.Contains(e, "email") {
			t.Errorf("got %s after the erasure", e)
		}
	}
	mustBeConsistent(t, s)
}

// TestEraseWhileBusy: events and merges that arrive during an erasure are
// erased, too, until the moment at which nobody can name the customer any more.
func TestEraseWhileBusy(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	email := map[string]string{"email": `"x"`}
	for i := range 20 {
		// Later merges absorb these customers.
		mustApply(t, s, event("e", trackway.Micros(i), email, identifierOf("cookie", fmt.Sprint("old", i))))
	}
	c := mustApply(t, s, event("e", 0, email, reg1))[0].Customer
	var cmds []trackway.Command
	for i := range 4000 {
		cmds = append(cmds, event("e", trackway.Micros(i), email, reg1))
	}
	mustApply(t, s, cmds...)
	began, erased, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			at := trackway.Micros(10_000 + i)
			mustApply(t, s, event("e", at, email, reg1), event("e", at, email, identifierOf("registered", "bob")))
			if i%10 == 0 && i < 200 {
				mustApply(t, s, update(at, email, reg1, identifierOf("cookie", fmt.Sprint("old", i/10))))
			}
			if i == 10 {
				close(began)
			}
			select {
			case <-erased:
				return
			default:
			}
		}
	}()
	<-began
	mustErase(t, s, c, "email")
	close(erased)
	<-done
	gone, kept := s.whoIs(t, c), mustFind(t, s, reg1)
	if gone == kept {
		t.Errorf("%v still leads to customer %d", reg1, gone)
	}
	for _, e := range mustEvents(t, s, gone) {
		if strings.Contains(e, "email") || strings.Contains(e, "r1") {
			t.Errorf("got %s after the erasure", e)
		}
	}
	mustBeConsistent(t, s)
}

// whoIs returns the present customer that c is part of.
func (s *Store) whoIs(tb testing.TB, c trackway.Customer) trackway.Customer {
	tb.Helper()
	h, err := reading.Survivor(s.db, demo, c)
	if err != nil {
		tb.Fatal(err)
	}
	return h.Customer
}

// TestImportedMerges: merges of another server, imported as events of clients,
// lose the identifiers of an erased customer. Merges of the customer itself
// lose all identifiers, and those of other customers lose the erased
// customer's.
func TestImportedMerges(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	jane, bob := identifierOf("registered", "jane"), identifierOf("registered", "bob")
	imported := func(into string) map[string]string {
		return map[string]string{
			"absorbed_ids": `{"cookie":["c1"]}`, "survivor_ids": into, "cause_ids": `{"cookie":["c1"]}`, "note": `{"cookie":["c1"]}`,
		}
	}
	mustApply(t, s, event(trackway.MergeType, 5, imported(`{"registered":"bob"}`), bob))
	mustApply(t, s, event(trackway.MergeType, 6, imported(`{"registered":"jane"}`), jane, cookie1))
	mustErase(t, s, mustFind(t, s, jane))
	for _, e := range mustEvents(t, s, 2) {
		if strings.Contains(e, "_ids") {
			t.Errorf("got %s of the erased customer", e)
		}
	}
	want := `merge 5 {"absorbed_ids":{},"cause_ids":{},"note":{"cookie":["c1"]},"survivor_ids":{"registered":"bob"}}`
	if got := mustEvents(t, s, mustFind(t, s, bob)); len(got) != 1 || got[0] != want {
		t.Errorf("got %s, want %s", got, want)
	}
	mustBeConsistent(t, s)
}

// TestEraseUnderLoad: an erasure goes through a customer's data once, however
// much others write meanwhile. It does not start over because of data that
// arrives while it waits for the lock, and it does not wait for the lock again
// because of one group of requests.
func TestEraseUnderLoad(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	c := mustApply(t, s, event("e", 1, map[string]string{"email": `"x"`}, reg1))[0].Customer
	others := func(n int) {
		cmds := make([]trackway.Command, n)
		for i := range cmds {
			cmds[i] = event("e", trackway.Micros(s.nextSeq)+trackway.Micros(i), nil, cookie1)
		}
		mustApply(t, s, cmds...)
	}
	e := s.newEraser(demo, []string{"email"}, 1000)
	if err := e.pass(c); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		meanwhile int
		want      byte
	}{{maxLast + 1, byte(entry.Behind)}, {1024, byte(entry.Done)}} { // as many as a group has
		if err := e.catchUp(); err != nil {
			t.Fatal(err)
		}
		others(test.meanwhile)
		if err := s.log.Append(&e.end); byte(e.end.Outcome) != test.want || err != nil {
			t.Errorf("after %d events of others: outcome %d, want %d; %v", test.meanwhile, e.end.Outcome, test.want, err)
		}
	}
	if got := mustEvents(t, s, c); len(got) != 1 || strings.Contains(got[0], "email") {
		t.Errorf("got %s after the erasure", got)
	}
	mustBeConsistent(t, s)
}

// TestEraseTellsWhatWent: an erasure returns the identifiers that it removed,
// including those that arrived while it ran, also by a merge, and who the
// customer was then. Nothing is left of these identifiers.
func TestEraseTellsWhatWent(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	jane, older, late := identifierOf("registered", "jane"), identifierOf("cookie", "older"), identifierOf("cookie", "late")
	survivor := mustApply(t, s, update(1, nil, older))[0].Customer
	c := mustApply(t, s, update(2, nil, jane))[0].Customer
	e := s.newEraser(demo, nil, 1000)
	if err := e.pass(c); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, update(3, nil, jane, late), update(4, nil, jane, older)) // after the first pass
	e.end.Outcome = entry.Behind
	for e.end.Outcome != entry.Done {
		if err := e.step(c); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(e.end.Gone, func(a, b trackway.Identifier) int { return strings.Compare(a.Value, b.Value) })
	if want := []trackway.Identifier{jane, late, older}; !slices.Equal(e.end.Gone, want) || e.end.Erased != survivor {
		t.Errorf("got %v of customer %d, want %v of %d", e.end.Gone, e.end.Erased, want, survivor)
	}
	if next, err := s.Erase(demo, c, nil, 1001); err != nil || len(next.IDs) > 0 || next.Customer != survivor {
		t.Errorf("got %+v, %v, want nothing more to erase", next, err)
	}
	mustBeConsistent(t, s)
}

// TestEraseForgetsFormerHoldersInSteps: an identifier can have had any number
// of holders. The erasure forgets them a few at a time, before its end. If the
// process ends in between, the clean-up is already scheduled, and the erasure
// can be requested again.
func TestEraseForgetsFormerHoldersInSteps(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, fs)
	const holders = 3*maxFormer + 5
	cmds := make([]trackway.Command, 0, holders)
	for n := range holders {
		cmds = append(cmds, update(trackway.Micros(n), nil, identifierOf("registered", fmt.Sprint("r-", n)), cookie1))
	}
	mustApply(t, s, cmds...)
	c := mustFind(t, s, cookie1)
	e := s.newEraser(demo, nil, 1000)
	for left := holders; left > maxFormer; {
		if err := e.step(c); err != nil || e.end.Outcome != entry.Former {
			t.Fatalf("outcome %d, %v", e.end.Outcome, err)
		}
		now := len(s.mustReadTable(t, format.TableFormer))
		if now < left-maxFormer-1 || now >= left {
			t.Errorf("%d former holders are left of %d", now, left)
		}
		left = now
	}
	after := mustOpen(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	if n, _ := after.pending.Pending(); n != 1 {
		t.Errorf("after a crash %d clean-ups are to be done, want 1", n)
	}
	for _, s := range []*Store{s, after} {
		mustErase(t, s, c)
		for key := range maps.Keys(s.mustReadTable(t, format.TableFormer)) {
			if strings.Contains(key, cookie1.Value) {
				t.Errorf("%q is left", key)
			}
		}
		mustBeConsistent(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCutOffErasureForgetsNoMore: if an erasure is cut off between these steps
// and never requested again, its customer lives on. The clean-up of that
// erasure does not forget what the customer has lost since.
func TestCutOffErasureForgetsNoMore(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	var cmds []trackway.Command
	for n := range maxFormer + 5 {
		cmds = append(cmds, update(trackway.Micros(n), nil, identifierOf("registered", fmt.Sprint("r-", n)), cookie1))
	}
	mustApply(t, s, cmds...)
	c := mustFind(t, s, cookie1)
	if e := s.newEraser(demo, nil, 1000); e.step(c) != nil || e.end.Outcome != entry.Former {
		t.Fatalf("outcome %d", e.end.Outcome)
	}
	bob, moved := identifierOf("registered", "bob"), identifierOf("cookie", "moved")
	mustApply(t, s, event("e", 2000, nil, moved), update(2001, nil, cookie1, moved), update(2002, nil, bob, moved))
	if n, err := s.CleanUp(t.Context(), func() trackway.Micros { return 3000 }); n != 1 || err != nil {
		t.Fatalf("%d clean-ups, %v", n, err)
	}
	mustErase(t, s, mustFind(t, s, bob))
	events := strings.Join(mustEvents(t, s, c), " ")
	if !strings.Contains(events, "absorbed_ids") || strings.Contains(events, moved.Value) {
		t.Errorf("got %s: it has to be a merge without %q", events, moved.Value)
	}
	mustBeConsistent(t, s)
}

func (s *Store) mustReadTable(tb testing.TB, table byte) map[string]bool {
	tb.Helper()
	keys := make(map[string]bool)
	if err := reading.Scan(s.db, []byte{table}, func(rest, _ []byte) error { keys[string(rest)] = true; return nil }); err != nil {
		tb.Fatal(err)
	}
	return keys
}

// TestEraseEndsUnderLoad: an erasure ends even if many groups of requests
// constantly wait for the lock, and long before the writers do.
func TestEraseEndsUnderLoad(t *testing.T) {
	t.Parallel()
	const writers, enough = 32, 400 // groups, after which writers give up
	s := openTest(t)
	c := mustApply(t, s, event("e", 1, map[string]string{"email": `"x"`}, reg1))[0].Customer
	var wg sync.WaitGroup
	var groups atomic.Int64
	busy, erased := make(chan struct{}), make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			cmds := make([]trackway.Command, 1000) // fills a group by itself
			for i := range cmds {
				cmds[i] = event("e", trackway.Micros(i), nil, identifierOf("cookie", strconv.Itoa(w)))
			}
			for {
				for i := range cmds {
					cmds[i].Time += trackway.Micros(len(cmds))
				}
				mustApply(t, s, cmds...)
				switch n := groups.Add(1); {
				case n == 2*writers:
					close(busy)
				case n >= enough:
					return
				}
				select {
				case <-erased:
					return
				default:
				}
			}
		})
	}
	<-busy
	mustErase(t, s, c, "email")
	if n := groups.Load(); n >= enough {
		t.Errorf("the erasure ended only after %d groups", n)
	}
	close(erased)
	wg.Wait()
}

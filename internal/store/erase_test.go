package store

import (
	"fmt"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/store/reading"
)

// TestEraseLetsOthersIn: an erasure of many events is committed in many steps, each visible by itself, and not in one hold of the
// lock.
func TestEraseLetsOthersIn(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const events = 5*maxRewritten + 1
	var cmds []trackway.Command
	for i := range events {
		cmds = append(cmds, event("e", trackway.Micros(i), map[string]string{"email": `"x"`}, reg1))
	}
	mustApply(t, s, cmds...)
	before := s.Version(demo)
	mustErase(t, s, 1, "email")
	if steps := s.Version(demo) - before; steps < 7 {
		t.Errorf("erased %d events in %d steps, want one for each %d, and the last", events, steps, maxRewritten)
	}
	for _, e := range mustEvents(t, s, 1) {
		if strings.Contains(e, "email") {
			t.Errorf("got %s after the erasure", e)
		}
	}
	mustBeConsistent(t, s)
}

// TestEraseWhileBusy: events and merges that come while a customer is erased are erased with it, up to the moment at which nobody
// can name the customer any more.
func TestEraseWhileBusy(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	email := map[string]string{"email": `"x"`}
	for i := range 20 {
		mustApply(t, s, event("e", trackway.Micros(i), email, identifierOf("cookie", fmt.Sprint("old", i)))) // to be absorbed
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

// whoIs returns who a customer is now.
func (s *Store) whoIs(tb testing.TB, c trackway.Customer) trackway.Customer {
	tb.Helper()
	h, err := reading.Survivor(s.db, demo, c)
	if err != nil {
		tb.Fatal(err)
	}
	return h.Customer
}

// TestImportedMerges: merges of another server, which came here as events of clients, lose the identifiers of whoever is erased:
// those of the customer itself all, and those of others the ones that are the erased customer's.
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

// TestEraseUnderLoad: what a customer has is gone through once, however much others write meanwhile: what comes while the erasure waits
// for the lock is no reason to begin anew, and what one group of requests brings is none to wait for the lock again.
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
	e := s.newEraser(demo, []string{"email"})
	if err := e.pass(c); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		meanwhile int
		done      bool
	}{{maxLast + 1, false}, {maxGroup, true}} {
		if err := e.catchUp(); err != nil {
			t.Fatal(err)
		}
		others(test.meanwhile)
		if id, err := e.finish(c, 1000); (id != 0) != test.done || !e.passed || err != nil {
			t.Errorf("after %d events of others: erasure %d, to be passed again: %t, %v", test.meanwhile, id, !e.passed, err)
		}
	}
	if got := mustEvents(t, s, c); len(got) != 1 || strings.Contains(got[0], "email") {
		t.Errorf("got %s after the erasure", got)
	}
	mustBeConsistent(t, s)
}

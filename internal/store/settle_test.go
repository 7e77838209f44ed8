package store

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/identity"
)

// visitors creates customers with the given number of events each, and returns
// an identifier of each.
func visitors(tb testing.TB, s *Store, name string, customers, events int) (ids []trackway.Identifier) {
	tb.Helper()
	for c := range customers {
		id := identifierOf("cookie", fmt.Sprint(name, "-", c))
		cmds := make([]trackway.Command, events)
		for i := range cmds {
			cmds[i] = event("visit", trackway.Micros(i+1), map[string]string{"of": strconv.Itoa(c)}, id)
		}
		mustApply(tb, s, cmds...)
		ids = append(ids, id)
	}
	return ids
}

// manyMerges returns a request whose commands each merge the maximum number of
// customers. Each of these has the given number of events.
func manyMerges(tb testing.TB, s *Store, commands, events int) (request []trackway.Command) {
	tb.Helper()
	for n := range commands {
		request = append(request, update(5000, nil, visitors(tb, s, strconv.Itoa(n), identity.MaxAbsorbed+1, events)...))
	}
	return request
}

// TestOneRequestMovesLittle: whatever customers a request merges, each command
// and each hold of the lock moves a bounded number of entries. All events end
// up with the survivors, in order.
func TestOneRequestMovesLittle(t *testing.T) {
	t.Parallel()
	for _, events := range []int{1, 50, maxMoved, maxMoved + 1} {
		s := openTest(t)
		const commands = 3
		request := manyMerges(t, s, commands, events)
		var held []int
		s.held = func(moved int) { held = append(held, moved) }
		for i, r := range mustApply(t, s, request...) {
			all := mustEvents(t, s, r.Customer)
			if want := (identity.MaxAbsorbed+1)*events + identity.MaxAbsorbed; len(all) != want || r.Err != nil {
				t.Errorf("%d events each, command %d: got %d events, %v, want %d", events, i, len(all), r.Err, want)
			}
		}
		total := 0
		for _, moved := range held {
			if total += moved; moved >= 2*maxMoved {
				t.Errorf("%d events each: %d entries moved under one hold, want fewer than %d", events, moved, 2*maxMoved)
			}
		}
		// The limit includes the identifiers.
		if most := commands * (maxMoved + 2*len(request[0].IDs)); total > most {
			t.Errorf("%d events each: the request has moved %d entries, want %d at most", events, total, most)
		}
		mustBeConsistent(t, s)
	}
}

// TestLargeMergesHoldUpThemselves: if several requests arrive together and one
// has many large merges, the others are answered after its first merge, not
// after all of them.
func TestLargeMergesHoldUpThemselves(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	large := manyMerges(t, s, 3, maxMoved)
	large = append(large, event("last", 1, nil, reg1))
	small := []trackway.Command{event("e", 1, nil, cookie1), event("e", 2, nil, cookie1)}
	e := entry.Commands{Requests: []entry.Request{
		{Commands: large, Results: make([]trackway.Result, len(large))}, {Commands: small, Results: make([]trackway.Result, len(small))},
	}}
	if err := s.log.Append(&e); err != nil {
		t.Fatal(err)
	}
	if l, m := e.Requests[0], e.Requests[1]; l.Done != 1 || m.Done != len(small) || l.Err != nil || m.Err != nil {
		t.Errorf("carried out are %d and %d commands, %v, %v; want 1 and %d", l.Done, m.Done, l.Err, m.Err, len(small))
	}
	if r := mustApply(t, s, large[1:]...); r[2].Seq == 0 {
		t.Errorf("got %+v, want the last event stored", r)
	}
	mustBeConsistent(t, s)
}

// crowdedStore gives a customer, named by cookie1, a number of timelines that
// stay. Each has the given number of events, at times that they share.
func crowdedStore(tb testing.TB, s *Store, kept, events int) {
	tb.Helper()
	mustApply(tb, s, event("first", 1, nil, cookie1))
	for c, id := range visitors(tb, s, "crowd", kept, events) {
		mustApply(tb, s, update(trackway.Micros(6000+c), nil, cookie1, id))
	}
	if h := len(s.mustRead(tb).kept); h != kept {
		tb.Fatalf("%d timelines are kept, want %d", h, kept)
	}
}

// TestTimelinesStayFew: a customer never keeps more timelines than maxKept,
// however many long ones it absorbs. Joining some of them does not change what
// readers see.
func TestTimelinesStayFew(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	s.mostMoved = 4
	crowdedStore(t, s, maxKept, 5)
	for n := range 3 {
		before := mustEvents(t, s, 1)
		all := visitors(t, s, strconv.Itoa(n), identity.MaxAbsorbed, 5)
		r := mustApply(t, s, update(9000, nil, append(all, cookie1)...))
		if r[0].Err != nil {
			t.Fatal(r[0].Err)
		}
		if kept := len(s.mustRead(t).kept); kept > maxKept {
			t.Errorf("%d timelines are kept, want %d at most", kept, maxKept)
		}
		after := mustEvents(t, s, 1)
		if want := len(before) + identity.MaxAbsorbed*6; len(after) != want {
			t.Errorf("got %d events, want %d", len(after), want)
		}
		mustBeConsistent(t, s)
	}
}

// TestSettlingInSteps: between the steps that join timelines, readers see all
// events once and in order, even after a crash and a restart. An event that is
// sent again in between is a duplicate.
func TestSettlingInSteps(t *testing.T) {
	t.Parallel()
	const events = 10
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, fs)
	s.mostMoved = 3
	crowdedStore(t, s, 4, events)
	c := &entry.Crowded{Project: demo, Customer: 1, Excess: 2}
	want, last := mustEvents(t, s, 1), s.committed.Load()
	if !slices.IsSortedFunc(s.readEvents(t, 1), byTimeAndArrival) {
		t.Fatal("the events are not in order")
	}
	steps := 0
	for range c.Excess {
		from, to, err := s.shortest(c)
		if err != nil || from == 0 {
			t.Fatal(from, to, err)
		}
		for e := (entry.Settle{Project: demo, Customer: 1, From: from, To: to, More: true}); e.More; steps++ {
			if err := s.log.Append(&e); err != nil {
				t.Fatal(err)
			}
			if err := s.Sync(); err != nil {
				t.Fatal(err)
			}
			after := mustOpen(t, fs.CrashClone(vfs.CrashCloneCfg{}))
			for name, s := range map[string]*Store{"readers": s, "after a crash": after} {
				if got := mustEvents(t, s, 1); !slices.Equal(got, want) {
					t.Errorf("step %d, %s: got %v, want %v", steps, name, got, want)
				}
				mustBeConsistent(t, s)
			}
			for n := range 4 {
				again := event("visit", 3, map[string]string{"of": strconv.Itoa(n)}, identifierOf("cookie", fmt.Sprint("crowd-", n)))
				if r := mustApply(t, after, again); !r[0].Duplicate {
					t.Errorf("step %d: event of %d is stored once more", steps, n)
				}
			}
			if err := after.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if kept := len(s.mustRead(t).kept); kept != 2 || steps != 2*(events/3+1) {
		t.Errorf("%d timelines are kept after %d steps", kept, steps)
	}
	if err := s.settle(&entry.Crowded{Project: demo, Customer: 1, Excess: 9}); err != nil || len(s.mustRead(t).kept) != 1 {
		t.Errorf("%d timelines are kept, %v, want 1: there is none that it could move to", len(s.mustRead(t).kept), err)
	}
	if got := s.committed.Load(); got != last {
		t.Errorf("the last change is %d, want %d: nothing has changed that anybody could see", got, last)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSettlingMeetsOthers: changes of the customer between two steps neither
// lose nor double an event. The changes are a merge, which moves the timelines
// to an older customer, and an erasure.
func TestSettlingMeetsOthers(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	s.mostMoved = 3
	older := mustApply(t, s, event("older", 1, nil, reg1))[0].Customer
	mustApply(t, s, event("first", 1, nil, cookie1))
	for _, id := range visitors(t, s, "crowd", 4, 10) {
		mustApply(t, s, update(6000, nil, cookie1, id))
	}
	c := &entry.Crowded{Project: demo, Customer: mustFind(t, s, cookie1), Excess: 2}
	from, to, err := s.shortest(c)
	if err != nil {
		t.Fatal(err)
	}
	step := func(want bool) {
		t.Helper()
		e := entry.Settle{Project: demo, Customer: c.Customer, From: from, To: to}
		if err := s.log.Append(&e); e.More != want || err != nil {
			t.Fatalf("got %t, %v, want %t", e.More, err, want)
		}
		mustBeConsistent(t, s)
	}
	step(true)
	mustApply(t, s, update(7000, nil, cookie1, reg1))
	if mustFind(t, s, cookie1) != older {
		t.Fatal("the merge has not happened")
	}
	step(true)
	mustErase(t, s, older, "of")
	step(true)
	step(false)
	step(false) // now the timeline is no longer kept
	if got := mustEvents(t, s, older); len(got) != 2+4*10+5 {
		t.Errorf("got %d events", len(got))
	}
}

func (s *Store) readEvents(tb testing.TB, c trackway.Customer) (all []trackway.Event) {
	tb.Helper()
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	if err := v.Events(demo, c, false, func(e *trackway.Event) bool { all = append(all, *e); return true }); err != nil {
		tb.Fatal(err)
	}
	return all
}

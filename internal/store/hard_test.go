package store

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"trackway"
	"trackway/internal/scale"
)

// TestMergesAndErasuresRace sends requests that create, merge and update the
// same few customers while these are erased. Whatever the order: the indexes
// agree, every acknowledged event is there once, and no customer that can still
// be named is split in two.
func TestMergesAndErasuresRace(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const writers, each, people = 8, 150, 6
	var wg sync.WaitGroup
	stored := make([]int, writers)
	for w := range writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range each {
				at := trackway.Micros(1 + w*each + i) // no two events are equal
				ids := []trackway.Identifier{identifierOf("cookie", strconv.Itoa(r.IntN(people)))}
				if r.IntN(3) == 0 {
					ids = append(ids, identifierOf("cookie", strconv.Itoa(r.IntN(people))), identifierOf("registered", strconv.Itoa(r.IntN(people))))
				}
				results := mustApply(t, s,
					event("e", at, map[string]string{"email": `"personal"`}, ids...),
					update(at, map[string]string{"email": `"personal"`}, ids[0]))
				if results[0].Err == nil {
					stored[w]++
				}
				if c := results[0].Customer; c != 0 && r.IntN(10) == 0 {
					if _, err := s.Erase(demo, c, []string{"email"}, 1); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	mustBeConsistent(t, s)
	want, got := 0, 0
	for _, n := range stored {
		want += n
	}
	err := s.eachEvent(1, s.nextSeq, func(e *trackway.Event) bool {
		if e.Type == "e" {
			got++
		}
		return true
	})
	if err != nil || s.Damaged() != 0 {
		t.Errorf("%d events cannot be read: %v", s.Damaged(), err)
	}
	if got != want {
		t.Errorf("%d events are stored, %d were acknowledged", got, want)
	}
	for _, id := range idsOf(people) {
		if c := mustFind(t, s, id); c != 0 {
			if _, err := s.Erase(demo, c, []string{"email"}, 1); err != nil {
				t.Error(err)
			}
		}
	}
	mustBeConsistent(t, s)
	for _, id := range idsOf(people) {
		if c := mustFind(t, s, id); c != 0 {
			t.Errorf("%v still leads to customer %d", id, c)
		}
	}
}

func idsOf(n int) (ids []trackway.Identifier) {
	for i := range n {
		ids = append(ids, identifierOf("cookie", strconv.Itoa(i)), identifierOf("registered", strconv.Itoa(i)))
	}
	return ids
}

// TestManySoftIDs sends ten thousand cookies to one customer, one by one and
// many at a time. The customer keeps the cookies that were seen last, no other
// cookie leads to the customer, and all its events are there.
func TestManySoftIDs(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const several = 100
	cookies := scale.Of(10_000, 1000)
	cookie := func(i int) trackway.Identifier { return identifierOf("cookie", fmt.Sprintf("c%05d", i)) }
	for i := 0; i < cookies; i += several {
		ids := []trackway.Identifier{reg1}
		for n := range several / 2 {
			ids = append(ids, cookie(i+n))
		}
		cmds := []trackway.Command{update(trackway.Micros(i), nil, ids...)}
		for n := several / 2; n < several; n++ {
			cmds = append(cmds, event("e", trackway.Micros(i+n), nil, reg1, cookie(i+n)))
		}
		for _, r := range mustApply(t, s, cmds...) {
			if r.Err != nil || r.Customer != 1 {
				t.Fatalf("got %+v, want customer 1", r)
			}
		}
	}
	mustBeConsistent(t, s)
	if p := mustProfile(t, s, 1); len(p.IDs) != 1+trackway.MaxSoftIDs {
		t.Errorf("%d identifiers, want %d", len(p.IDs), 1+trackway.MaxSoftIDs)
	}
	kept := 0
	for i := range cookies {
		switch mustFind(t, s, cookie(i)) {
		case 1:
			kept++
		case 0:
			if i >= cookies-several/2 {
				t.Errorf("cookie %d, one of the last that came alone, leads nowhere", i)
			}
		}
	}
	if kept != trackway.MaxSoftIDs {
		t.Errorf("%d cookies lead to the customer, want %d", kept, trackway.MaxSoftIDs)
	}
	if got := len(mustEvents(t, s, 1)); got != cookies/2 {
		t.Errorf("%d events, want %d", got, cookies/2)
	}
}

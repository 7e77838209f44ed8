package store

import (
	"strconv"
	"testing"

	"trackway"
)

// TestLongMergesLetOthersIn: the commands of one request are one batch, but for merges that move many events: then others get the
// lock in between, and all of the request is carried out all the same.
func TestLongMergesLetOthersIn(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const visits, each = 3, maxMoved/2 + 1
	mustApply(t, s, event("first", 1, nil, reg1)) // the oldest: the others' events move
	var merges []trackway.Command
	for v := range visits {
		cookie := identifierOf("cookie", "visit-"+strconv.Itoa(v))
		cmds := make([]trackway.Command, each)
		for i := range cmds {
			cmds[i] = event("e", trackway.Micros(10+i), nil, cookie)
		}
		mustApply(t, s, cmds...)
		merges = append(merges, update(5000, nil, reg1, cookie))
	}
	results := make([]trackway.Result, len(merges))
	n, _, err := s.applySome(merges, results)
	if err != nil || n != 2 { // the second takes it over maxMoved
		t.Fatalf("got %d of %d commands, %v, want 2", n, len(merges), err)
	}
	mustBeConsistent(t, s)
	if r := mustApply(t, s, merges...); r[visits-1].Err != nil || r[0].Customer != r[visits-1].Customer {
		t.Errorf("got %v, want one customer", r)
	}
	mustBeConsistent(t, s)
	if got, want := len(mustEvents(t, s, mustFind(t, s, reg1))), visits*each+1+visits; got != want { // with a merge each
		t.Errorf("%d events, want %d", got, want)
	}
}

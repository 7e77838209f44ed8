package store

import (
	"strconv"
	"testing"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/entry"
)

// TestLongMergesLetOthersIn: the commands of a request are one batch, unless
// they contain merges that move many events. In that case others get the lock
// in between, and the whole request is still carried out.
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
	e := entry.Commands{Requests: []entry.Request{{Commands: merges, Results: results}}}
	// The second command exceeds maxMoved.
	if err := s.machine.Apply(s.Applied()+1, &e); err != nil || e.Requests[0].Done != 2 {
		t.Fatalf("carried out %d commands, %v, want 2", e.Requests[0].Done, err)
	}
	mustBeConsistent(t, s)
	if r := mustApply(t, s, merges...); r[visits-1].Err != nil || r[0].Customer != r[visits-1].Customer {
		t.Errorf("got %v, want one customer", r)
	}
	mustBeConsistent(t, s)
	// Each visitor also brings a merge event.
	if got, want := len(mustEvents(t, s, mustFind(t, s, reg1))), visits*each+1+visits; got != want {
		t.Errorf("%d events, want %d", got, want)
	}
}

// TestNamingManyLetsOthersIn: a client can send an event of the type of merges
// that names thousands of identifiers, and the store notes each of them. Others
// get the lock in between.
func TestNamingManyLetsOthersIn(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	var ids []trackway.Identifier
	for i := range maxMoved/2 + 1 {
		ids = append(ids, identifierOf("cookie", strconv.Itoa(i)))
	}
	named := map[string]string{"absorbed_ids": string(canonjson.AppendIDs(nil, ids))}
	cmds := []trackway.Command{event(trackway.MergeType, 1, named, reg1), event(trackway.MergeType, 2, named, reg1), event(trackway.MergeType, 3, named, reg1)}
	e := entry.Commands{Requests: []entry.Request{{Commands: cmds, Results: make([]trackway.Result, len(cmds))}}}
	// The second command exceeds maxMoved.
	if err := s.machine.Apply(s.Applied()+1, &e); err != nil || e.Requests[0].Done != 2 {
		t.Fatalf("carried out %d commands, %v, want 2", e.Requests[0].Done, err)
	}
	if r := mustApply(t, s, cmds...); !r[0].Duplicate || !r[1].Duplicate || r[2].Seq == 0 {
		t.Errorf("got %v, want the third to be new", r)
	}
	mustBeConsistent(t, s)
}

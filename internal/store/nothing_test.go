package store

import (
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/query"
)

// TestNothing: a command that was refused earlier is counted wherever it
// stands, and one that asks for the time is skipped. Their results do not
// change.
func TestNothing(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, vfs.NewMem())
	visit := event("visit", 1, nil, identifierOf("registered", "r"))
	refused := trackway.Command{Project: demo, IDs: visit.IDs, Type: "refused", Received: 1}
	early := &trackway.Error{Code: trackway.Invalid, Field: "event_type"}
	cmds := []trackway.Command{refused, visit, {}, refused, visit, refused}
	results := []trackway.Result{{Err: early}, {}, {}, {Err: early}, {}, {Err: early}}
	if err := s.Apply(cmds, results); err != nil {
		t.Fatal(err)
	}
	want := []trackway.Result{{Err: early}, {Customer: 1, Seq: 1}, {}, {Err: early}, {Customer: 1, Duplicate: true}, {Err: early}}
	for i := range want {
		if results[i] != want[i] {
			t.Errorf("result %d: got %+v, want %+v", i, results[i], want[i])
		}
	}
	if counted := refusedIn(t, s); counted != 3 {
		t.Errorf("%d were counted as refused, want 3", counted)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNothingInParts: a request that needs several entries counts its refused
// commands once, and returns each result in its place.
func TestNothingInParts(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, vfs.NewMem())
	entries := 0
	s.mostMoved, s.held = 1, func(int) { entries++ }
	early := &trackway.Error{Code: trackway.Invalid, Field: "event_type"}
	var cmds []trackway.Command
	for i := range 5 {
		soft, hard := identifierOf("cookie", strconv.Itoa(i)), identifierOf("registered", strconv.Itoa(i))
		refused := trackway.Command{Project: demo, Type: "refused", Received: 1}
		cmds = append(cmds, refused, event("visit", 1, nil, soft), event("visit", 2, nil, hard), event("visit", 3, nil, soft, hard), refused)
	}
	results := make([]trackway.Result, len(cmds))
	for i := range cmds {
		if cmds[i].Kind == trackway.Nothing {
			results[i].Err = early
		}
	}
	if err := s.Apply(cmds, results); err != nil {
		t.Fatal(err)
	}
	for i := range cmds {
		refused := cmds[i].Kind == trackway.Nothing
		if (results[i].Err == early) != refused || (results[i].Seq == 0) != refused {
			t.Errorf("result %d of kind %d: got %+v", i, cmds[i].Kind, results[i])
		}
	}
	if counted := refusedIn(t, s); counted != 10 || entries < 5 {
		t.Errorf("%d were counted as refused in %d entries, want 10 in several", counted, entries)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// refusedIn returns how many commands were counted as refused, of the tests'
// project and of no project.
func refusedIn(t *testing.T, s *Store) (n uint64) {
	t.Helper()
	snapshot := s.Snapshot()
	for _, project := range []uint32{0, demo} {
		if err := snapshot.Usage(project, func(_ query.Day, u query.Usage) bool { n += u.Refused; return true }); err != nil {
			t.Fatal(err)
		}
	}
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

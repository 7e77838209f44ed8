package store

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/query"
)

// TestNothing: a command that was refused before is counted wherever it stands,
// and one that asks for the time is passed over. Their results stay as they
// are.
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
	var counted uint64
	snapshot := s.Snapshot()
	for _, project := range []uint32{0, demo} {
		if err := snapshot.Usage(project, func(_ query.Day, u query.Usage) bool { counted += u.Refused; return true }); err != nil {
			t.Fatal(err)
		}
	}
	if counted != 3 {
		t.Errorf("%d were counted as refused, want 3", counted)
	}
	if err := errors.Join(snapshot.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
}

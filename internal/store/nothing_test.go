package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
)

// TestNothing: a command that was refused before, or asks for nothing, is passed
// over wherever it stands, and its result stays as it is.
func TestNothing(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, vfs.NewMem())
	visit := event("visit", 1, nil, identifierOf("registered", "r"))
	refused := trackway.Command{IDs: visit.IDs, Type: "refused", Time: 1}
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
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

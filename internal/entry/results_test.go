package entry_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/entry"
)

// withResults has an entry of each kind that has results, as it was appended
// and as it was applied.
func withResults() map[string][2]entry.Entry {
	refused := &trackway.Error{
		Code: trackway.Invalid, Field: "customer_ids.cookie", Reason: trackway.Full, Limit: 255, Got: 3, What: "a, b", Msg: "whole",
	}
	before := trackway.Result{Err: refused} // of a command that was refused before
	requests := func(results bool) []entry.Request {
		cmds := func(n int) []trackway.Command {
			all := make([]trackway.Command, n)
			for i := range all {
				all[i] = trackway.Command{Kind: trackway.AddEvent, Project: 7}
			}
			return all
		}
		q := []entry.Request{
			{Commands: cmds(3), Results: make([]trackway.Result, 3)},
			{Commands: cmds(2), Results: make([]trackway.Result, 2)},
			{Commands: cmds(1), Results: make([]trackway.Result, 1)},
		}
		q[0].Commands[1].Kind, q[0].Results[1] = trackway.Nothing, before
		if results {
			q[0].Done = 3
			q[0].Results[0], q[0].Results[2] = trackway.Result{Customer: 300, Seq: 1 << 40}, trackway.Result{Customer: 5, Err: refused}
			q[1].Done, q[1].Crowded = 1, &entry.Crowded{Project: 7, Customer: 9, Excess: 2}
			q[1].Results[0] = trackway.Result{Customer: 1, Duplicate: true}
		}
		return q
	}
	jane := trackway.Identifier{Name: "registered", Value: "jane", Hard: true}
	return map[string][2]entry.Entry{
		"commands": {&entry.Commands{Requests: requests(false)}, &entry.Commands{Requests: requests(true)}},
		"register": {
			&entry.Register{Projects: []entry.Registration{{Token: "a"}, {Token: "b"}}},
			&entry.Register{Projects: []entry.Registration{{Token: "a", Number: 300}, {Token: "b", Conflict: "cookie"}}},
		},
		"rewrite": {&entry.Rewrite{Project: 7}, &entry.Rewrite{Project: 7, Places: []entry.Place{{Seq: 300, Customer: 9}}}},
		"erase": {
			&entry.Erase{Project: 7},
			&entry.Erase{Project: 7, Outcome: entry.Done, ID: 300, Erased: 9, Gone: []trackway.Identifier{jane}},
		},
		"settle":  {&entry.Settle{}, &entry.Settle{More: true}},
		"expire":  {&entry.Expire{}, &entry.Expire{Removed: 128}},
		"refused": {&entry.Refused{}, &entry.Refused{}},
		"digest":  {&entry.Digest{}, &entry.Digest{}},
		"cursor":  {&entry.Cursor{}, &entry.Cursor{}},
		"notes":   {&entry.Notes{}, &entry.Notes{Now: 300}},
		"assign": {
			&entry.Assign{Tokens: []string{"a", "b"}, Wanted: []uint32{0, 3}},
			&entry.Assign{Tokens: []string{"a", "b"}, Wanted: []uint32{0, 3}, Partitions: []uint32{300, 1}},
		},
		"hashkey": {&entry.HashKey{}, &entry.HashKey{}},
		"forget":  {&entry.Forget{}, &entry.Forget{}},
	}
}

// TestResults: an appender that gets the encoded results has the same entry as
// the machine that applied it.
func TestResults(t *testing.T) {
	t.Parallel()
	for name, e := range withResults() {
		b := entry.AppendResults(nil, e[1])
		if err := entry.DecodeResults(b, e[0]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(e[1], e[0]); diff != "" {
			t.Errorf("%s (-want): %s", name, diff)
		}
		for i := range b {
			if err := entry.DecodeResults(b[:i], withResults()[name][0]); !errors.Is(err, entry.ErrCorrupt) {
				t.Errorf("%s cut off after %d bytes: got %v", name, i, err)
			}
		}
		if err := entry.DecodeResults(append(b, 0), withResults()[name][0]); !errors.Is(err, entry.ErrCorrupt) {
			t.Errorf("%s with a byte behind it: got %v", name, err)
		}
	}
}

// FuzzDecodeResults: no bytes make DecodeResults panic.
func FuzzDecodeResults(f *testing.F) {
	for name, e := range withResults() {
		f.Add(name, entry.AppendResults(nil, e[1]))
	}
	f.Fuzz(func(_ *testing.T, name string, b []byte) {
		if e, ok := withResults()[name]; ok {
			_ = entry.DecodeResults(b, e[0])
		}
	})
}

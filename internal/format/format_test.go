package format

import (
	"testing"

	"trackway"
)

// TestRelease: a released batch refers to nothing, so it keeps no body in
// memory, and the next one begins empty.
func TestRelease(t *testing.T) {
	t.Parallel()
	b := New(1)
	b.Grow(3)
	b.Room = append(b.Room, trackway.Property{Name: "plan", Value: []byte(`"free"`)})
	for range 2 {
		b.Add(trackway.Command{Type: "visit", Properties: b.Room[:1]}, &trackway.Error{Code: trackway.Invalid}, Label{Name: "add", ID: []byte("1")})
	}
	b.Commands = b.Commands[:1] // the second one was dropped, and left its traces
	commands, results, labels, room := b.Commands[:2], b.Results[:2], b.Labels[:2], b.Room
	b.Release()
	for i := range commands {
		if commands[i].Type != "" || commands[i].Properties != nil || results[i].Err != nil || labels[i].Name != "" || labels[i].ID != nil {
			t.Errorf("of command %d is left: %+v %+v %+v", i, commands[i], results[i], labels[i])
		}
	}
	if room[0].Name != "" || room[0].Value != nil {
		t.Errorf("of its property is left: %+v", room[0])
	}
	next := New(2)
	if next.Received != 2 || len(next.Commands)+len(next.Results)+len(next.Labels) != 0 {
		t.Errorf("the next batch begins with %+v", next)
	}
}

// TestReleaseOfOthers: a batch without room, which did not come from New, and a
// very large one stay as they are.
func TestReleaseOfOthers(t *testing.T) {
	t.Parallel()
	one := One(trackway.Command{Type: "visit"}, nil, "add", 1)
	large := &Batch{Commands: one.Commands, Room: make([]trackway.Property, 0, mostReused+1)}
	one.Release()
	large.Release()
	if one.Commands[0].Type != "visit" {
		t.Errorf("got %+v", one.Commands)
	}
}

package prepared

import (
	"bytes"
	"testing"

	"trackway"
	"trackway/internal/entry"
)

// TestContents: the prepared contents of a request equal what a machine makes
// of each command. Large requests are not prepared, nor is any request if there
// is no room.
func TestContents(t *testing.T) {
	t.Parallel()
	one := []trackway.Property{{Name: "a", Value: []byte("1")}}
	cmds := []trackway.Command{
		{Kind: trackway.AddEvent, Type: "e", TimeGiven: true, Properties: one},
		{Kind: trackway.UpdateCustomer, Properties: one},
		{Kind: trackway.AddEvent, Type: "f", TimeGiven: true},
		{Kind: trackway.AddEvent, Type: "e", Properties: one},
	}
	for i := range cmds {
		cmds[i].Bytes = most / len(cmds)
	}
	var room Room
	r := Get()
	defer r.Put()
	contents, taken := room.Contents(r, cmds)
	if len(contents) != len(cmds) || taken != most || room.taken.Load() != taken {
		t.Fatalf("%d are made, %d bytes are taken of %d", len(contents), taken, room.taken.Load())
	}
	for i := range cmds {
		var want entry.Content
		if cmds[i].Kind == trackway.AddEvent {
			_, want = Append(nil, &cmds[i])
		}
		if got := contents[i]; got.Hash != want.Hash || !bytes.Equal(got.Properties, want.Properties) {
			t.Errorf("command %d: got %+v, want %+v", i, got, want)
		}
	}
	room.Free(taken)
	room.taken.Store(mostAll)
	if contents, taken := room.Contents(r, cmds); contents != nil || taken != most {
		t.Errorf("%d are made without room, %d bytes are taken", len(contents), taken)
	}
	room.taken.Store(0)
	cmds[0].Bytes++
	if contents, taken := room.Contents(r, cmds); contents != nil || taken != 0 || room.taken.Load() != 0 {
		t.Errorf("%d of a large request are made, %d bytes are taken", len(contents), taken)
	}
}

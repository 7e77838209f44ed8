package prepared

import (
	"bytes"
	"slices"
	"testing"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/store/cache"
)

// TestContents: the prepared contents of a request equal what a machine makes
// of each command. Large requests are not prepared, nor is any request if there
// is no room.
func TestContents(t *testing.T) {
	t.Parallel()
	one := []trackway.Property{{Name: "a", Value: []byte("1")}}
	id := []trackway.Identifier{{Name: "cookie", Value: "c"}, {Name: "registered", Value: "r", Hard: true}}
	cmds := []trackway.Command{
		{Kind: trackway.AddEvent, IDs: id, Type: "e", TimeGiven: true, Properties: one},
		{Kind: trackway.UpdateCustomer, IDs: id, Properties: one},
		{Kind: trackway.AddEvent, Type: "f", TimeGiven: true},
		{Kind: trackway.AddEvent, IDs: id[1:], Type: "e", Properties: one},
	}
	for i := range cmds {
		cmds[i].Bytes = most / len(cmds)
	}
	var room Room
	known := cache.New(0)
	r := Get()
	defer r.Put()
	contents, taken := room.Contents(r, cmds, &known, nil)
	if len(contents) != len(cmds) || taken != most || room.taken.Load() != taken {
		t.Fatalf("%d are made, %d bytes are taken of %d", len(contents), taken, room.taken.Load())
	}
	for i := range cmds {
		var want entry.Content
		if cmds[i].Kind == trackway.AddEvent {
			_, want = Append(nil, &cmds[i], nil)
			want.IDs = AppendIDs(nil, &cmds[i], &known)
		}
		if got := contents[i]; got.Hash != want.Hash || !bytes.Equal(got.Properties, want.Properties) || !slices.Equal(got.IDs, want.IDs) {
			t.Errorf("command %d: got %+v, want %+v", i, got, want)
		}
	}
	room.Free(taken)
	room.taken.Store(mostAll)
	if contents, taken := room.Contents(r, cmds, &known, nil); contents != nil || taken != most {
		t.Errorf("%d are made without room, %d bytes are taken", len(contents), taken)
	}
	room.taken.Store(0)
	cmds[0].Bytes++
	if contents, taken := room.Contents(r, cmds, &known, nil); contents != nil || taken != 0 || room.taken.Load() != 0 {
		t.Errorf("%d of a large request are made, %d bytes are taken", len(contents), taken)
	}
}

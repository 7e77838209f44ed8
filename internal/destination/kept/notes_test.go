package kept

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/destination/turn"
	"trackway/internal/entry"
)

// memory is the notes of a shared store.
type memory struct {
	turn  uint64
	notes map[string][]byte
}

// SetNotes implements [turn.Store].
func (m *memory) SetNotes(e *entry.Notes) error {
	switch e.Turn {
	case 0:
		m.turn++
	case m.turn:
	default:
		e.Now = m.turn
		return nil
	}
	e.Now = m.turn
	for _, n := range e.Notes {
		if m.notes[n.Name] = n.Value; len(n.Value) == 0 {
			delete(m.notes, n.Name)
		}
	}
	return nil
}

// Notes implements [turn.Store].
func (m *memory) Notes(prefix string) (map[string][]byte, error) {
	found := maps.Clone(m.notes)
	maps.DeleteFunc(found, func(name string, _ []byte) bool { return !strings.HasPrefix(name, prefix) })
	return found, nil
}

func take(t *testing.T, m *memory) *turn.Turn {
	t.Helper()
	got, err := turn.Take(m)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func openNotes(t *testing.T, m *memory, of *turn.Turn) *Notes {
	t.Helper()
	n, err := OpenNotes(m, of, "out", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNotes: the next leader has what the last one has kept. The last one
// cannot change it any more.
func TestNotes(t *testing.T) {
	t.Parallel()
	m := &memory{notes: make(map[string][]byte)}
	old := openNotes(t, m, take(t, m))
	rejects := []Reject{{7, "events", "too large"}, {9, "customers", "too large"}}
	if err := errors.Join(old.Set(func(s *State) { s.Paused, s.First = true, 5 }), old.Add(rejects), old.Add(rejects[1:])); err != nil {
		t.Fatal(err)
	}
	next := openNotes(t, m, take(t, m))
	got, err := next.Rejects()
	if diff := cmp.Diff(rejects, got); diff != "" || err != nil || !next.Get().Paused || next.Get().First != 5 {
		t.Errorf("got %+v, %v, rejects (-want): %s", next.Get(), err, diff)
	}
	for _, err := range []error{old.Set(func(s *State) { s.Paused = false }), old.Add(rejects), openNotes(t, m, nil).Add(rejects)} {
		if !errors.Is(err, turn.ErrLost) {
			t.Errorf("without a turn: got %v", err)
		}
	}
	if !openNotes(t, m, nil).Get().Paused || !old.Get().Paused {
		t.Error("it is not paused any more")
	}
}

// TestManyRejects: the oldest rejects make room for others.
func TestManyRejects(t *testing.T) {
	t.Parallel()
	m := &memory{notes: make(map[string][]byte)}
	n := openNotes(t, m, take(t, m))
	for from := range 3 {
		some := make([]Reject, mostRejects/2)
		for i := range some {
			some[i] = Reject{Number: uint64(from*len(some) + i), Table: "events", Reason: "r"}
		}
		if err := n.Add(some); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := n.Rejects(); err != nil || len(got) != mostRejects || got[0].Number != mostRejects/2 {
		t.Errorf("got %d, from %v on, %v", len(got), got[0], err)
	}
}

// TestEntrust: the first leader moves the files of a store that stood alone
// into notes. It drops the notes of another cluster, which a store has that
// comes from a backup. Other servers use the id in the notes.
func TestEntrust(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	alone, err := StoreID(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := OpenFiles(filepath.Join(dir, "out"), func(string) {})
	if err == nil {
		err = errors.Join(f.Set(func(s *State) { s.Paused = true }), f.Add([]Reject{{3, "events", "too large"}}))
	}
	if err := errors.Join(err, Entrust(dir), Entrust(dir)); err != nil { // the second time after a crash
		t.Fatal(err)
	}
	if back, err := StoreID(dir); back != alone || err != nil {
		t.Errorf("no cluster has begun: got %s, %v, want %s", back, err, alone)
	}
	if err := Entrust(dir); err != nil || !Entrusted(dir) {
		t.Fatal(err)
	}
	m := &memory{notes: map[string][]byte{noteID: []byte("another"), noteState + "gone": []byte(`{}`)}}
	of := take(t, m)
	if id, err := Identify(m, of, dir); id != alone || err != nil {
		t.Errorf("got %s, %v, want %s", id, err, alone)
	}
	n := openNotes(t, m, of)
	rejects, err := n.Rejects()
	if !n.Get().Paused || len(rejects) != 1 || err != nil || m.notes[noteState+"gone"] != nil || Entrusted(dir) {
		t.Errorf("got %+v, %v, %v, notes %v", n.Get(), rejects, err, m.notes)
	}
	undo, err := Renew(dir)
	if err != nil || !Entrusted(dir) {
		t.Fatal(err)
	}
	if undo(); Entrusted(dir) {
		t.Error("it was not undone")
	}
	if _, err := Renew(dir); err != nil {
		t.Fatal(err)
	}
	if id, err := Identify(m, take(t, m), dir); id == alone || len(id) != 2*idBytes || err != nil || !openNotes(t, m, nil).Get().Paused {
		t.Errorf("after a loss: got %s, %v, notes %v", id, err, m.notes)
	} else {
		alone = id
	}
	other := t.TempDir()
	if id, err := Identify(m, take(t, m), other); id != alone || err != nil {
		t.Errorf("another server: got %s, %v, want %s", id, err, alone)
	}
	if entries, err := os.ReadDir(other); err != nil || len(entries) > 0 {
		t.Errorf("another server made files: %v, %v", entries, err)
	}
	fresh := &memory{notes: make(map[string][]byte)}
	if id, err := Identify(fresh, take(t, fresh), other); len(id) != 2*idBytes || err != nil || id == alone {
		t.Errorf("a new cluster: got %s, %v", id, err)
	}
}

package destination

import (
	"slices"
	"testing"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination/kept"
	"trackway/internal/query"
)

// oneErasure is a store with one finished erasure in each project.
type oneErasure struct{ Store }

func (oneErasure) Erasures(project uint32) ([]query.Erasure, error) {
	return []query.Erasure{{ID: uint64(project), Done: 1}}, nil
}

// meanwhile is a store that has forgotten all erasures, and that calls a
// function while it is asked for them.
type meanwhile struct {
	Store

	do func()
}

func (m meanwhile) Erasures(uint32) ([]query.Erasure, error) {
	m.do()
	return nil, nil
}

// TestErasurePassedMeanwhile: while the filler asks which erasures are done,
// the writer may pass others on. Both changes are noted.
func TestErasurePassedMeanwhile(t *testing.T) {
	t.Parallel()
	r := runner{view: NewView(&config.Destination{}, []trackway.Project{{Number: 1, Name: "p"}}), files: remembering(t, 1, 2)}
	r.store = meanwhile{do: func() {
		if err := r.noteErasures([]Erasure{{ID: 3}}); err != nil {
			t.Error(err)
		}
	}}
	if _, err := r.erasuresDone(); err != nil {
		t.Fatal(err)
	}
	if got := r.files.Get().Erasures; !slices.Equal(got, []uint64{3}) {
		t.Errorf("the erasures %d are noted as pending, want 3 only", got)
	}
}

// TestErasuresInOrder: the erasures of a batch are in the order of their
// numbers, whatever their projects.
func TestErasuresInOrder(t *testing.T) {
	t.Parallel()
	var projects []trackway.Project
	var pending, got []uint64
	for i := range uint32(20) {
		projects, pending = append(projects, trackway.Project{Number: i + 1, Name: "p"}), append(pending, uint64(i)+1)
	}
	r := runner{store: oneErasure{}, view: NewView(&config.Destination{}, projects), files: remembering(t, pending...)}
	done, err := r.erasuresDone()
	for _, e := range done {
		got = append(got, e.ID)
	}
	if !slices.Equal(got, pending) || err != nil {
		t.Errorf("got %d, %v, want %d", got, err, pending)
	}
}

// remembering returns files that list erasures.
func remembering(t testing.TB, erasures ...uint64) *kept.Files {
	t.Helper()
	f, err := kept.OpenFiles(t.TempDir(), func(string) {})
	if err == nil {
		err = f.Set(func(s *kept.State) { s.Erasures = erasures })
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

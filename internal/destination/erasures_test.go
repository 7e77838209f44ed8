package destination

import (
	"slices"
	"testing"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/query"
)

// oneErasure is a store with one erasure in each project, which is done.
type oneErasure struct{ Store }

func (oneErasure) Erasures(project uint32) ([]query.Erasure, error) {
	return []query.Erasure{{ID: uint64(project), Done: 1}}, nil
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
	r := runner{store: oneErasure{}, view: NewView(&config.Destination{}, projects), files: &files{state: state{Erasures: pending}}}
	done, err := r.erasuresDone()
	for _, e := range done {
		got = append(got, e.ID)
	}
	if !slices.Equal(got, pending) || err != nil {
		t.Errorf("got %d, %v, want %d", got, err, pending)
	}
}

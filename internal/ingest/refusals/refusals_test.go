package refusals

import (
	"testing"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store"
)

// TestGathered: refused commands of a project and day become one entry.
func TestGathered(t *testing.T) {
	t.Parallel()
	const morning, tomorrow = 3*day + 5, 4*day + 1
	s, err := store.Open(t.TempDir(), store.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	project := []trackway.Project{{Name: "demo", Token: "t"}}
	if err := s.Register(project); err != nil {
		t.Fatal(err)
	}
	before := s.Replica().Applied()
	var r Gathered
	to := r.Over(s)
	for range 100 {
		for _, at := range []trackway.Micros{morning, tomorrow} {
			if err := to.Refused(1, at, 2); err != nil {
				t.Error(err)
			}
		}
	}
	if err := r.save(s, func(uint32) bool { return false }); err != nil || s.Replica().Applied() != before {
		t.Errorf("the partition has no leader: got %v, and %d entries", err, s.Replica().Applied()-before)
	}
	for range 2 { // the second time, there is nothing
		if err := r.save(s, func(uint32) bool { return true }); err != nil {
			t.Error(err)
		}
	}
	if n := s.Replica().Applied() - before; n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
	snapshot := s.Snapshot()
	refused := uint64(0)
	err = snapshot.Usage(1, func(_ query.Day, u query.Usage) bool { refused += u.Refused; return true })
	if err != nil || refused != 400 {
		t.Errorf("%d are counted, want 400 (%v)", refused, err)
	}
	if err := snapshot.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

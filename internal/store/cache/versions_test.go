package cache

import (
	"testing"

	"trackway/internal/entry"
)

// TestVersions: two stores that have applied the same entry of a shared log
// give the same version, and otherwise never.
func TestVersions(t *testing.T) {
	t.Parallel()
	var a, b, alone Versions
	if first := a.Of(1); a.Of(1) != first || first == b.Of(1) {
		t.Error("before any change: two stores may not have the same data")
	}
	once := &entry.Once{Origin: [16]byte{1}, Counter: 7}
	a.Changed([]uint32{1, 2}, 40, once)
	b.Changed([]uint32{1}, 40, once)
	if a.Of(1) != b.Of(1) || a.Of(1).Index != 40 {
		t.Errorf("got %v and %v", a.Of(1), b.Of(1))
	}
	if a.Of(2) == b.Of(2) || a.Of(3) == b.Of(3) {
		t.Error("only one of them has applied a change of the second project, and none of the third")
	}
	lost := &entry.Once{Origin: [16]byte{2}, Counter: 7} // of a cluster that was recovered
	b.Changed([]uint32{1}, 40, lost)
	if a.Of(1) == b.Of(1) {
		t.Error("two entries have the same index")
	}
	alone.Changed([]uint32{1}, 40, nil)
	first := alone.Of(1)
	alone.Changed([]uint32{1}, 40, nil)
	if alone.Of(1) == first || first.Index != 0 {
		t.Errorf("got %v after %v", alone.Of(1), first)
	}
}

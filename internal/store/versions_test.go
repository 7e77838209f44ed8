package store

import (
	"testing"

	"trackway"
)

// TestVersions: every change that a project's readers can see changes its
// version. The versions of other projects stay the same, and reading changes no
// version.
func TestVersions(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	const other = 2
	properties := map[string]string{"email": `"x"`}
	for _, step := range []struct {
		name string
		do   func()
		same bool
	}{
		{"an event", func() { mustApply(t, s, event("old", 5, properties, reg1)) }, false},
		{"an update", func() { mustApply(t, s, update(6, properties, reg1)) }, false},
		{"a duplicate, which usage counts", func() { mustApply(t, s, event("old", 5, properties, reg1)) }, false},
		{"a refusal", func() {
			if err := s.Refused(demo, 7, 1); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"what is too old", func() { mustExpire(t, s, allBefore(6)) }, false},
		{"nothing is too old", func() { mustExpire(t, s, allBefore(6)) }, true},
		{"an erasure", func() { mustErase(t, s, mustFind(t, s, reg1), "email") }, false},
		{"a clean-up", func() { mustCleanUp(t, s, 1) }, true},
		{"a look", func() { mustProfile(t, s, trackway.Customer(1)) }, true},
	} {
		before, others := s.Version(demo), s.Version(other)
		if step.do(); (s.Version(demo) == before) != step.same {
			t.Errorf("%s: the version was %v and is %v, want the same: %t", step.name, before, s.Version(demo), step.same)
		}
		if s.Version(other) != others {
			t.Errorf("%s changes the version of another project", step.name)
		}
	}
}

package store

import (
	"strings"
	"testing"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/store/format"
)

// TestIdentifiersKeepTheirKind: the name of an identifier stays hard or soft,
// because records and the index were made for this kind.
func TestIdentifiersKeepTheirKind(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	note := func(project string, hard, soft []string) error {
		return s.Register([]trackway.Project{
			{Token: "other", Soft: []string{"new with " + strings.Join(hard, ", ")}},
			{Token: project, Hard: hard, Soft: soft},
		})
	}
	must(note("demo", []string{"registered"}, []string{"cookie"}))
	must(note("demo", []string{"registered", "email"}, nil)) // a name may come, and go
	must(note("demo", []string{"registered"}, []string{"cookie"}))
	must(note("another", []string{"cookie"}, []string{"registered"})) // another project has its own
	for _, c := range []struct {
		hard, soft []string
		name       string
	}{
		{[]string{"registered", "cookie"}, nil, "cookie"},
		{nil, []string{"email"}, "email"},
	} {
		if err := note("demo", c.hard, c.soft); err == nil || !strings.Contains(err.Error(), c.name) {
			t.Errorf("hard %v, soft %v: got %v, want an error that names %s", c.hard, c.soft, err, c.name)
		}
	}
	// A refused registration notes nothing, even for its other projects.
	must(s.Register([]trackway.Project{{Token: "other", Hard: []string{"new with registered, cookie"}}}))
}

// TestConflictWithin: an entry with contradictory registrations notes nothing,
// and one without commands does nothing.
func TestConflictWithin(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	e := entry.Register{Projects: []entry.Registration{
		{Token: "new"}, {Token: "same", Hard: []string{"a"}}, {Token: "same", Soft: []string{"a"}},
	}}
	before := state(t, s)
	if err := s.log.Append(&e); err != nil || e.Projects[2].Conflict != "a" {
		t.Fatalf("got %+v, %v", e, err)
	}
	if err := s.machine.Apply(s.Applied()+1, new(entry.Commands)); err != nil {
		t.Error(err)
	}
	before[format.KeyApplied] = "\x00\x00\x00\x00\x00\x00\x00\x02"
	if diff := difference(before, state(t, s)); diff != "" {
		t.Error(diff)
	}
}

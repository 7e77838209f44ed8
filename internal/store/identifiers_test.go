package store

import (
	"strings"
	"testing"
)

// TestIdentifiersKeepTheirKind: records and index are made by what an identifier was when it came.
func TestIdentifiersKeepTheirKind(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Identifiers(demo, []string{"registered"}, []string{"cookie"}))
	must(s.Identifiers(demo, []string{"registered", "email"}, nil)) // a name may come, and go
	must(s.Identifiers(demo, []string{"registered"}, []string{"cookie"}))
	must(s.Identifiers(demo+1, []string{"cookie"}, []string{"registered"})) // another project has its own
	for _, c := range []struct {
		hard, soft []string
		name       string
	}{
		{[]string{"registered", "cookie"}, nil, "cookie"},
		{nil, []string{"email"}, "email"},
	} {
		if err := s.Identifiers(demo, c.hard, c.soft); err == nil || !strings.Contains(err.Error(), c.name) {
			t.Errorf("hard %v, soft %v: got %v, want an error that names %s", c.hard, c.soft, err, c.name)
		}
	}
}

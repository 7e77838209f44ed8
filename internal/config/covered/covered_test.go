package covered

import (
	"slices"
	"testing"

	"trackway"
)

// The server takes the paths of other products' clients with and without a
// slash at their end, so a limit on one spelling holds for the other one too.
func TestSpellingsAreLimited(t *testing.T) {
	t.Parallel()
	for listed, want := range map[string][]string{
		"/batch":      {"/batch", "/batch/"},
		"/batch/":     {"/batch/", "/batch"},
		"POST /v1/t":  {"POST /v1/t", "POST /v1/t/"},
		"/v1/t/":      {"/v1/t/", "/v1/t"},
		"/v1/":        {"/v1/"},
		"/api/status": {"/api/status"},
		"/data/":      {"/data/"},
	} {
		policies := []trackway.Policy{{Name: "own", Paths: []string{listed}}, {Name: "track", Paths: []string{trackingPath}}}
		Dialects(policies)
		if !slices.Equal(policies[0].Paths, want) {
			t.Errorf("%s: got %q, want %q", listed, policies[0].Paths, want)
		}
		for _, path := range want {
			if slices.Contains(policies[1].Paths, path) {
				t.Errorf("%s: two limits list %s", listed, path)
			}
		}
	}
	two := []trackway.Policy{{Name: "a", Paths: []string{"/batch"}}, {Name: "b", Paths: []string{"/batch/"}}}
	Dialects(two)
	also := []trackway.Policy{{Name: "a", Paths: []string{"/batch"}}, {Name: "b", Paths: []string{"/e"}, Also: true}, {Name: "c", Paths: []string{"/e"}}}
	Dialects(also)
	if !slices.Equal(also[1].Paths, []string{"/e", "/e/"}) || !slices.Equal(also[2].Paths, []string{"/e", "/e/"}) {
		t.Errorf("two limits count: got %v", also)
	}
	if len(two[0].Paths) != 1 || len(two[1].Paths) != 1 {
		t.Errorf("both are listed: got %v", two)
	}
}

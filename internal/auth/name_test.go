package auth

import (
	"strings"
	"testing"
)

func TestProjectName(t *testing.T) {
	t.Parallel()
	keys := New(projects)
	name := projects[0].Name
	for token, want := range map[string]string{demoToken: name, strings.ToUpper(demoToken): name, "": "", "nobody's": ""} {
		if got := keys.ProjectName(token); got != want {
			t.Errorf("%q: got %q, want %q", token, got, want)
		}
	}
}

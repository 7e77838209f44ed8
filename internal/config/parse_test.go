package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files again")

// env is the environment of the tests.
func env(name string) (string, bool) {
	value, ok := map[string]string{"SET": "from the environment", "EMPTY": ""}[name]
	return value, ok
}

// Each case of testdata/problems.txt is a configuration and, after "--", all
// messages about it.
func TestProblems(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "problems.txt")
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(string(text), "\n====\n")
	for i, c := range cases {
		src, want, ok := strings.Cut(c, "\n--\n")
		if !ok {
			t.Fatalf("case %d has no line --:\n%s", i, c)
		}
		got := problemsOf(t, src+"\n")
		if *update {
			cases[i] = src + "\n--\n" + got
		} else if diff := cmp.Diff(strings.TrimSpace(want), got); diff != "" {
			t.Errorf("for\n%s\nproblems (-want +got):\n%s", src, diff)
		}
		if strings.Contains(got, "s3cr3t") {
			t.Errorf("a secret is shown for\n%s\n%s", src, got)
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(strings.Join(cases, "\n====\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// problemsOf returns the messages about a configuration. It adds a project to
// configurations that test something else.
func problemsOf(t *testing.T, src string) string {
	t.Helper()
	if strings.HasPrefix(src, "#+project\n") {
		src += "projects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc}]\n"
	}
	cfg, err := Parse("t.yaml", []byte(src), Flags{}, env)
	if err == nil {
		return "fine"
	}
	var problems InvalidError
	if !errors.As(err, &problems) || cfg != nil {
		t.Fatalf("got %v and an error of type %T, want InvalidError alone", cfg, err)
	}
	return problems.Error()
}

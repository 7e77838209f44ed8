package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trackway/internal/manual"
)

// Every command and flag is in the manual, with its help.
func TestManual(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man1")
	runs(t, fine, "man", "--dir", dir)
	root := manualOf(newParser().Model.Node)
	for i := range root.Commands {
		c := &root.Commands[i]
		page, err := os.ReadFile(filepath.Join(dir, "trackway-"+c.Name+".1"))
		if err != nil {
			t.Fatal(err)
		}
		printed, _ := runs(t, fine, "man", c.Name)
		if printed != string(page) {
			t.Errorf("man %s prints another page than it writes", c.Name)
		}
		described(t, c, string(page))
	}
	program, _ := runs(t, fine, "man")
	contains(t, "the program's page", program, `.BR trackway\-serve (1)`)
	_, stderr := runs(t, failed, "man", "fly")
	contains(t, "man fly", stderr, `there is no command "fly"`)
}

// described checks that a page has all flags of a command and of those below
// it, and that each has a help.
func described(t *testing.T, c *manual.Command, page string) {
	t.Helper()
	for _, f := range c.Flags {
		contains(t, "the page of "+c.Name, page, `\fB\-\-`+strings.ReplaceAll(f.Name, "-", `\-`)+`\fR`)
		if f.Help == "" {
			t.Errorf("%s: --%s has no help", c.Name, f.Name)
		}
	}
	for i := range c.Commands {
		described(t, &c.Commands[i], page)
	}
}

// completes returns what bash proposes at the end of a command line.
func completes(t *testing.T, script, line string) []string {
	t.Helper()
	const ask = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
		_trackway; printf '%s\n' "${COMPREPLY[@]}"`
	words := strings.Split(line, " ")
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{"-c", ask, "bash", script}, words...)...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, text)
	}
	return strings.Fields(string(text))
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash")
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "trackway")
	printed, _ := runs(t, fine, "completion", "bash")
	write(t, script, printed)
	write(t, filepath.Join(dir, "rows.csv"), "")
	for _, c := range []struct{ line, want string }{
		{"trackway ser", "serve"},
		{"trackway key ro", "rotate"},
		{"trackway key add --ki", "--kind"},
		{"trackway key add --kind ", "public private"},
		{"trackway key add --kind = pr", "private"},
		{"trackway completion f", "fish"},
		{"trackway serve --config " + dir + "/r", dir + "/rows.csv"},
		{"trackway serve --listen ", ""},
		{"trackway import " + dir + "/r", dir + "/rows.csv"},
	} {
		if got := strings.Join(completes(t, script, c.line), " "); got != c.want {
			t.Errorf("%q: got %q, want %q", c.line, got, c.want)
		}
	}
}

// Shells that are installed here can read their scripts.
func TestCompletionSyntax(t *testing.T) {
	t.Parallel()
	for _, shell := range manual.Shells {
		script, _ := runs(t, fine, "completion", shell)
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		path := filepath.Join(t.TempDir(), "trackway")
		write(t, path, script)
		if text, err := exec.CommandContext(t.Context(), shell, "-n", path).CombinedOutput(); err != nil || len(text) > 0 {
			t.Errorf("%s: %v\n%s", shell, err, text)
		}
	}
	_, stderr := runs(t, misuse, "completion", "ksh")
	contains(t, "completion ksh", stderr, "bash")
}

package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// program stands for Trackway: it has what a release asks of it.
const program = `package main

import "os"

var version string

func main() {
	if os.Args[1] == "completion" {
		os.Stdout.WriteString("# for " + os.Args[2] + "\n")
		return
	}
	dir := os.Args[3] // man --dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile(dir+"/trackway.1", []byte(version), 0o600); err != nil {
		panic(err)
	}
}
`

// repository makes a repository with one commit: a small program, with the
// packaging of this one.
func repository(t *testing.T) string {
	t.Helper()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("SOURCE_DATE_EPOCH", "")
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+who+"_NAME", "Jane")
		t.Setenv("GIT_"+who+"_EMAIL", "jane@example.com")
	}
	root := filepath.Join(t.TempDir(), "repository")
	if err := os.CopyFS(filepath.Join(root, "packaging"), os.DirFS("../../packaging")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod":               "module trackway\n\ngo 1.26.0\n",
		"cmd/trackway/main.go": program,
		"LICENSE":              "A license\n",
		"README.md":            "# Trackway\n",
		"CHANGELOG.md":         "# Changes\n",
		"docs/install.md":      "# Install\n",
		"docs/howto/a.md":      "# A\n",
		".gitignore":           "/dist/\n",
		"web/dist/.gitignore":  "*\n!.gitignore\n",
	} {
		if err := put(filepath.Join(root, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} { // they name the tool that writes bills of materials
		text, err := os.ReadFile(name)
		if err := errors.Join(err, put(filepath.Join(root, "tools/release", name), text)); err != nil {
			t.Fatal(err)
		}
	}
	git(t, root, "init", "--quiet")
	git(t, root, "add", ".")
	git(t, root, "commit", "--quiet", "--message", "all of it")
	pages(t, root)
	return root
}

// pages stands for `make web`.
func pages(t *testing.T, root string) {
	t.Helper()
	if err := put(filepath.Join(root, "web/dist/index.html"), []byte("<!doctype html>\n")); err != nil {
		t.Fatal(err)
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, text)
	}
}

// built builds a release and returns its files.
func built(t *testing.T, root string, more ...string) map[string][]byte {
	t.Helper()
	if err := run(t.Context(), append([]string{"-root", root, "-version", "v1.2.3"}, more...)); err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, e := range must(tree(filepath.Join(root, "dist"), ""))(t) {
		files[e.name] = e.body
	}
	return files
}

// A release of a commit has the same bytes whatever the umask, in a clone and
// in a work tree of `git worktree`.
func TestSameBytes(t *testing.T) {
	root := repository(t)
	want := built(t, root, "-only", "linux_amd64")
	defer syscall.Umask(syscall.Umask(0o077))
	other := filepath.Join(t.TempDir(), "other")
	git(t, root, "worktree", "add", "--quiet", "--detach", other)
	pages(t, other)
	got := built(t, other, "-only", "linux_amd64")
	if names, others := slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)); !slices.Equal(names, others) || len(names) < 8 {
		t.Fatalf("the releases have the files %q and %q", names, others)
	}
	for name := range want {
		if !bytes.Equal(got[name], want[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

// A release names the commit that it was built from, so what is in no commit
// is refused, and dist stays as it was.
func TestCommit(t *testing.T) {
	root := repository(t)
	older := filepath.Join(root, "dist/older")
	if err := put(older, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, want string
		spoil      func() error
	}{
		{"a new file", "?? docs/new.md", func() error { return put(filepath.Join(root, "docs/new.md"), nil) }},
		{"a changed file", " M README.md", func() error {
			return errors.Join(os.Remove(filepath.Join(root, "docs/new.md")), put(filepath.Join(root, "README.md"), []byte("changed\n")))
		}},
		{"no repository", "not a git repository", func() error { return os.RemoveAll(filepath.Join(root, ".git")) }},
	} {
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		err := run(t.Context(), []string{"-root", root, "-version", "v1.2.3", "-only", "linux_amd64"})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "commit") {
			t.Errorf("%s: got the error %v, want one with %q", c.what, err, c.want)
		}
		if _, err := os.Stat(older); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// Go can build a binary without a commit and says nothing, so a release looks.
// This test is such a binary.
func TestNamed(t *testing.T) {
	r := release{commit: strings.Repeat("a", 40)}
	if err := r.named(must(os.Executable())(t)); err == nil || !strings.Contains(err.Error(), r.commit) {
		t.Errorf("got the error %v, want one that names the commit", err)
	}
}

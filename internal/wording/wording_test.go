// Package wording checks comments, documents and the subjects of commits
// against the project's style: how wide they are, and which turns of phrase
// they avoid. The tree had thousands of findings when the check was made, so
// the check is a ratchet: allowed.txt says how many each file may have. A file
// that gets worse fails. A file that gets better fails, too, until the list is
// updated:
//
//	go test ./internal/wording -update
package wording

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "make the list of what is allowed shorter, where it can be")

const (
	root        = "../.."
	allowedFile = "allowed.txt"
	updating    = "go test ./internal/wording -update"
)

// counts are the findings of one file, by rule.
type counts [rules]int

func (c counts) String() string { return fmt.Sprintf("%d of width, %d of words", c[width], c[words]) }

// TestTree fails if a file has more findings than the list allows, or fewer.
func TestTree(t *testing.T) {
	t.Parallel()
	found, err := checkTree(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(allowedFile)
	first := *update && os.IsNotExist(err)
	if err != nil && !first {
		t.Fatal(err)
	}
	allowed, err := parse(string(text))
	if err != nil {
		t.Fatalf("%v; remove the file and run `%s` to start again", err, updating)
	}
	complaints := compare(found, allowed)
	if *update && (first || !grown(found, allowed)) {
		if err := os.WriteFile(allowedFile, []byte(format(found)), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, complaint := range complaints {
		t.Error(complaint)
	}
	if *update {
		t.Error("the list was not changed: all in all there are more findings than it allows")
	}
}

// checkTree returns the findings of each file that has any.
func checkTree(tree fs.FS) (map[string][]finding, error) {
	all := map[string][]finding{}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(entry.Name()):
			return fs.SkipDir
		case !entry.Type().IsRegular() || path.Base(name) == "LICENSE":
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if found := check(name, string(src)); len(found) > 0 {
			all[name] = found
		}
		return nil
	})
	return all, err
}

// skipped reports whether a directory contains the work of others, or a
// program.
func skipped(folder string) bool {
	switch folder {
	case ".", ".ci":
		return false
	case "node_modules", "dist", "testdata", "bin", "trackway-data", "adr":
		return true // decisions are never edited
	}
	return strings.HasPrefix(folder, ".") || strings.HasPrefix(folder, "_")
}

// compare says which files have more findings than they may, or fewer.
func compare(found map[string][]finding, allowed map[string]counts) []string {
	var complaints []string
	all := maps.Clone(allowed)
	for name := range found {
		all[name] = counts{}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		got, want := count(found[name]), allowed[name]
		for r := range rules {
			switch {
			case got[r] > want[r]:
				complaints = append(complaints, fmt.Sprintf("%s: %v, allowed are %v:\n%s", name, got, want, list(name, found[name], r)))
			case got[r] < want[r]:
				complaints = append(complaints, fmt.Sprintf("%s: %v, and %v are allowed. Well done: now run `%s`", name, got, want, updating))
			}
		}
	}
	return complaints
}

// list formats the findings of a rule, one in each line.
func list(name string, found []finding, r rule) string {
	var b strings.Builder
	for _, f := range found {
		if f.rule == r {
			fmt.Fprintf(&b, "\t%s:%d: %s\n", name, f.line, f.text)
		}
	}
	return b.String()
}

func count(found []finding) (c counts) {
	for _, f := range found {
		c[f.rule]++
	}
	return c
}

// grown reports whether the whole tree has more findings of a rule than are
// allowed. Code may move from one file to another, together with its comments.
func grown(found map[string][]finding, allowed map[string]counts) bool {
	var now, before counts
	for _, f := range found {
		for r, n := range count(f) {
			now[r] += n
		}
	}
	for _, c := range allowed {
		for r, n := range c {
			before[r] += n
		}
	}
	return now[width] > before[width] || now[words] > before[words]
}

// format writes what parse reads: a line for each file with findings.
func format(found map[string][]finding) string {
	var b strings.Builder
	b.WriteString("# How many findings each file may have: of width, of words. Only `" + updating + "` changes this.\n")
	for _, name := range slices.Sorted(maps.Keys(found)) {
		c := count(found[name])
		fmt.Fprintf(&b, "%s %d %d\n", name, c[width], c[words])
	}
	return b.String()
}

func parse(text string) (map[string]counts, error) {
	allowed := map[string]counts{}
	for n, row := range strings.Split(text, "\n") {
		if row == "" || row[0] == '#' {
			continue
		}
		var name string
		var c counts
		if _, err := fmt.Sscanf(row, "%s %d %d", &name, &c[width], &c[words]); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", allowedFile, n+1, err)
		}
		allowed[name] = c
	}
	return allowed, nil
}

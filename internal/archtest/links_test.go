package archtest

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// link matches links in Markdown: [text](target), and ![text](target).
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks checks that the links in the project's documents lead somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	const root = "../.."
	found := 0
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "dist" || len(name) > 1 && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case path.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(path.Join(root, name))
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, ":") {
				continue // on this page, or outside of the project
			}
			found++
			if _, err := os.Stat(path.Join(root, path.Dir(name), target)); err != nil {
				t.Errorf("%s: there is no %s", name, m[1])
			}
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d links were found: %v", found, err)
	}
}

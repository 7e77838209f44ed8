package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// hop is a function that a walk names: `package.Function`, or
// `package.Type.Method`.
var hop = regexp.MustCompile("`([a-z]+)\\.((?:\\w+\\.)?)(\\w+)`")

// mostHops is how many functions an event passes until it is on the disk, in
// the walk that a newcomer reads.
const mostHops = 15

// TestWalks: each function that a walk of docs/architecture.md names is there,
// and one of the packages that the walk has come through uses its name.
func TestWalks(t *testing.T) {
	t.Parallel()
	const root = "../.."
	page, err := os.ReadFile(root + "/docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	known, err := declared(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	walks := walksOf(string(page))
	for _, title := range []string{"One event", "One refused call", "One erasure", "One row of an import"} {
		if len(walks[title]) == 0 {
			t.Errorf("there is no walk of %q", title)
		}
	}
	for title, lines := range walks {
		if title == "One event" && len(lines) > mostHops {
			t.Errorf("%s: %d hops, at most %d", title, len(lines), mostHops)
		}
		used := map[string]bool{}
		for i, line := range lines {
			named := hop.FindAllStringSubmatch(line, -1)
			if len(named) == 0 {
				t.Errorf("%s: no function in %q", title, line)
			}
			for _, m := range named {
				pkg, name := known[m[1]], m[2]+m[3]
				if !pkg.functions[name] {
					t.Errorf("%s: there is no %s.%s", title, m[1], name)
				}
				for use := range pkg.used {
					used[use] = true
				}
				if i > 0 && !used[m[3]] {
					t.Errorf("%s: nothing before it calls %s.%s", title, m[1], name)
				}
			}
		}
	}
}

// walksOf returns the numbered lines below each heading of the page's walks.
func walksOf(page string) map[string][]string {
	_, page, _ = strings.Cut(page, "\n## Walks\n")
	page, _, _ = strings.Cut(page, "\n## ")
	walks, title := map[string][]string{}, ""
	for line := range strings.Lines(page) {
		after, is := strings.CutPrefix(line, "### ")
		switch hops := walks[title]; {
		case is:
			title = strings.TrimSpace(after)
		case line[0] >= '0' && line[0] <= '9':
			walks[title] = append(hops, line)
		case line[0] == ' ' && len(hops) > 0: // the item goes on
			hops[len(hops)-1] += line
		}
	}
	return walks
}

// declarations is what is in packages of one name, tests aside.
type declarations struct {
	functions map[string]bool // Function or Type.Method
	used      map[string]bool // names of functions that are called or passed on
}

// declared returns what is declared in the packages of each name.
func declared(fsys fs.FS) (map[string]declarations, error) {
	pkgs, err := Load(fsys)
	if err != nil {
		return nil, err
	}
	all := map[string]declarations{}
	for _, p := range pkgs {
		if _, ok := all[p.Name]; !ok {
			all[p.Name] = declarations{map[string]bool{}, map[string]bool{}}
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			src, err := fs.ReadFile(fsys, path.Join(p.Path, path.Base(f.Name)))
			if err != nil {
				return nil, err
			}
			file, err := parser.ParseFile(token.NewFileSet(), f.Name, src, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			d := all[p.Name]
			d.add(file)
		}
	}
	return all, nil
}

func (d *declarations) add(file *ast.File) {
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if ok && f.Recv != nil {
			d.functions[receiver(f.Recv.List[0].Type)+"."+f.Name.Name] = true
		} else if ok {
			d.functions[f.Name.Name] = true
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			if id, is := n.(*ast.Ident); is && (!ok || id != f.Name) {
				d.used[id.Name] = true
			}
			return true
		})
	}
}

// receiver returns the name of a receiver's type.
func receiver(e ast.Expr) string {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return "" // of a generic type: no walk comes there
}

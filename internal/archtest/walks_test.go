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

// hop matches the name of a function in a walk: `package.Function`, or
// `package.Type.Method`.
var hop = regexp.MustCompile("`([a-z]+)\\.((?:\\w+\\.)?)(\\w+)`")

// mostHops limits the number of functions that an event passes until it is on
// the disk, in the walk for newcomers.
const mostHops = 15

// TestWalks checks that each function in the walks of docs/architecture.md
// exists. For a hop, one of the packages that the walk has passed must use the
// function's name.
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
	section, walks := walksOf(string(page))
	for _, m := range hop.FindAllStringSubmatch(section, -1) {
		if m[1] != "package" && !known[m[1]].functions[m[2]+m[3]] {
			t.Errorf("there is no %s.%s%s", m[1], m[2], m[3])
		}
	}
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
				for use := range known[m[1]].used {
					used[use] = true
				}
				if i > 0 && !used[m[3]] {
					t.Errorf("%s: nothing before it calls %s.%s%s", title, m[1], m[2], m[3])
				}
			}
		}
	}
}

// walksOf returns the page's section of walks, and the numbered lines below
// each heading in it.
func walksOf(page string) (section string, walks map[string][]string) {
	_, section, _ = strings.Cut(page, "\n## Walks\n")
	section, _, _ = strings.Cut(section, "\n## ")
	walks = map[string][]string{}
	title := ""
	for line := range strings.Lines(section) {
		after, is := strings.CutPrefix(line, "### ")
		switch hops := walks[title]; {
		case is:
			title = strings.TrimSpace(after)
		case line[0] >= '0' && line[0] <= '9':
			walks[title] = append(hops, line)
		case line[0] == ' ' && len(hops) > 0: // the item continues
			hops[len(hops)-1] += line
		}
	}
	return section, walks
}

// declarations are those in all packages of one name, without tests.
type declarations struct {
	functions map[string]bool // Function or Type.Method
	used      map[string]bool // names of functions that are called or passed
}

// declared returns the declarations in the packages of each name.
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
	return "" // a generic type: no walk has one
}

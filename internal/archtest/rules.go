package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Rules are the rules for a module's packages.
type Rules struct {
	Module string
	// Layers gives each package of the module a number. A package may only
	// import packages with lower numbers. Every package must be listed. The
	// packages below a listed one may import each other whatever their numbers:
	// they form one tree.
	Layers map[string]int
	// Modules maps each permitted foreign module, or part of one, to our
	// packages that may import it (including the packages below them). The name
	// Tests stands for the test files of any package.
	Modules map[string][]string
	// Importers lists the only packages that may import a package, if the
	// layers would permit more.
	Importers map[string][]string

	MaxFileLines    int // of each file
	MaxPackageLines int // of a package's files, without tests
	MaxExports      int
}

// Tests is the importer in [Rules.Modules] that stands for every test file.
const Tests = "tests"

// vague are names that say where code was put, not what it is about.
var vague = []string{"util", "utils", "common", "helper", "helpers", "types", "model", "models", "misc", "shared", "base"}

// Check returns the violations in pkgs, one in each line, in the order of the
// packages.
func (r Rules) Check(pkgs []Package) []string {
	var found []string
	for i := range pkgs {
		p := &pkgs[i]
		found = append(found, r.checkShape(p)...)
		for _, f := range p.Files {
			found = append(found, r.checkFile(p, f)...)
		}
	}
	return append(found, r.checkGone(pkgs)...)
}

func (r Rules) checkShape(p *Package) []string {
	var found []string
	add := func(format string, args ...any) {
		found = append(found, p.Path+": "+fmt.Sprintf(format, args...))
	}
	if _, ok := r.Layers[p.Path]; !ok {
		add("the package has no layer: give it one in archtest, and a line in docs/architecture.md")
	}
	if p.Name != "main" && !strings.HasPrefix(p.Doc, "Package "+p.Name+" ") {
		add("the package has no comment that starts with %q", "Package "+p.Name)
	}
	if p.Name == "main" && p.Doc == "" {
		add("the command has no comment")
	}
	if slices.Contains(vague, p.Name) {
		add("%q says nothing about what the package is for", p.Name)
	}
	lines := 0
	for _, f := range p.Files {
		if !f.Test {
			lines += f.Lines
		}
	}
	if lines > r.MaxPackageLines {
		add("%d lines, at most %d", lines, r.MaxPackageLines)
	}
	if p.Exports > r.MaxExports {
		add("%d exported types, functions and variables, at most %d", p.Exports, r.MaxExports)
	}
	return found
}

func (r Rules) checkFile(p *Package, f File) []string {
	var found []string
	where := p.Path + "/" + f.Name + ": "
	if f.Lines > r.MaxFileLines {
		found = append(found, where+fmt.Sprintf("%d lines, at most %d", f.Lines, r.MaxFileLines))
	}
	for _, imported := range f.Imports {
		if complaint := r.checkImport(p.Path, f.Test, imported); complaint != "" {
			found = append(found, where+complaint)
		}
	}
	return found
}

// checkImport returns the violation by one import, or an empty text. Test files
// may import across layers, since they do not ship, but may not import foreign
// modules that their package is kept from. All files of packages like limittest
// count as test files.
func (r Rules) checkImport(from string, test bool, imported string) string {
	to, ours := r.ours(imported)
	test = test || forTests(from)
	switch {
	case !ours && standard(imported):
		return ""
	case !ours:
		return r.checkModule(from, test, imported)
	case test:
		return ""
	case forTests(to):
		return to + " is for tests only"
	case below(from, to) || below(to, from):
		return ""
	case r.Importers[to] != nil && !slices.Contains(r.Importers[to], from):
		return fmt.Sprintf("%s may be imported by %s only", to, strings.Join(r.Importers[to], ", "))
	case r.Layers[to] >= r.Layers[from]:
		return fmt.Sprintf("imports %s (layer %d) from layer %d: arrows point down", to, r.Layers[to], r.Layers[from])
	}
	return ""
}

func (r Rules) checkModule(from string, test bool, imported string) string {
	module := r.module(imported)
	if module == "" {
		return imported + " is not among the modules that archtest knows: say in docs/adr what it replaces, then list it"
	}
	importers := r.Modules[module]
	if test && slices.Contains(importers, Tests) {
		return ""
	}
	if slices.ContainsFunc(importers, func(tree string) bool { return under(from, tree) }) {
		return ""
	}
	return fmt.Sprintf("%s may be imported by %s only", module, strings.Join(importers, ", "))
}

// module returns the longest entry of Modules that contains the import path, or
// an empty text.
func (r Rules) module(imported string) string {
	longest := ""
	for module := range r.Modules {
		if under(imported, module) && len(module) > len(longest) {
			longest = module
		}
	}
	return longest
}

// checkGone finds layers of packages that do not exist.
func (r Rules) checkGone(pkgs []Package) []string {
	var found []string
	for name := range r.Layers {
		if !slices.ContainsFunc(pkgs, func(p Package) bool { return p.Path == name }) {
			found = append(found, name+": has a layer in archtest, but there is no such package")
		}
	}
	slices.Sort(found)
	return found
}

// ours returns the directory of an import path in this module.
func (r Rules) ours(imported string) (folder string, ok bool) {
	if imported == r.Module {
		return ".", true
	}
	return strings.CutPrefix(imported, r.Module+"/")
}

// standard reports whether an import path belongs to the standard library: the
// first element of any other path has a dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// forTests reports whether a package's name says that it serves tests only.
func forTests(folder string) bool { return strings.HasSuffix(folder, "test") }

// below reports whether the package in directory p is strictly below the one in
// tree. Nothing is below the root in this sense, or everything would be one
// tree.
func below(p, tree string) bool { return strings.HasPrefix(p, tree+"/") }

// under reports whether p is tree or below it.
func under(p, tree string) bool { return p == tree || below(p, tree) }

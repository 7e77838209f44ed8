package archtest

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// An invented module: the domain at the root, a floor, a tree of two packages
// above it, and a roof.
var (
	madeUp = Rules{
		Module:          "example",
		Layers:          map[string]int{".": -1, "floor": 0, "tree": 1, "tree/branch": 1, "tree/treetest": 1, "twin": 1, "roof": 2},
		Modules:         map[string][]string{"heavy.org/db": {"tree"}, "heavy.org/db/mem": {"tree", Tests}, "test.org/cmp": {Tests}},
		Importers:       map[string][]string{"floor": {"tree", "tree/branch"}},
		MaxFileLines:    10,
		MaxPackageLines: 15,
		MaxExports:      2,
	}
	good = map[string]string{
		"root.go":                 "// Package example speaks.\npackage example\n\nimport \"strings\"\n\nvar _ = strings.Cut\n",
		"floor/floor.go":          "// Package floor carries.\npackage floor\n\nimport _ \"example\"\n",
		"tree/tree.go":            "// Package tree grows.\npackage tree\n\nimport (\n\t_ \"example/floor\"\n\t_ \"example/tree/branch\"\n\t_ \"heavy.org/db\"\n)\n",
		"tree/branch/branch.go":   "// Package branch bears.\npackage branch\n\nimport _ \"heavy.org/db/vfs\"\n",
		"tree/treetest/t.go":      "// Package treetest tries.\npackage treetest\n\nimport (\n\t_ \"example/roof\"\n\t_ \"test.org/cmp\"\n)\n",
		"twin/twin.go":            "// Package twin follows.\npackage twin\n",
		"twin/twin_test.go":       "package twin_test\n\nimport (\n\t_ \"example/roof\"\n\t_ \"heavy.org/db/mem\"\n\t_ \"test.org/cmp\"\n)\n",
		"roof/roof.go":            "// Command roof covers.\npackage main\n\nimport _ \"example/tree\"\n",
		"roof/testdata/x/x.go":    "package nonsense\n\nimport _ \"example/nowhere\"\n",
		"tools/go.mod":            "module example/tools\n",
		"tools/tools.go":          "package util\n",
		".hidden/hidden.go":       "package hidden\n",
		"web/node_modules/m/m.go": "package m\n",
	}
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const lines = "// Package twin follows.\npackage twin\n"
	for name, c := range map[string]struct {
		file, src string
		want      []string // a part of each finding; empty: no findings
	}{
		"as it should be":      {"twin/twin.go", lines, nil},
		"same layer":           {"twin/up.go", "package twin\n\nimport _ \"example/tree\"\n", []string{"twin/up.go: imports tree (layer 1) from layer 1"}},
		"upward":               {"tree/up.go", "package tree\n\nimport _ \"example/roof\"\n", []string{"tree/up.go: imports roof (layer 2) from layer 1"}},
		"upward from the root": {"up.go", "package example\n\nimport _ \"example/twin\"\n", []string{"./up.go: imports twin (layer 1) from layer -1"}},
		"not an importer":      {"twin/down.go", "package twin\n\nimport _ \"example/floor\"\n", []string{"twin/down.go: floor may be imported by tree, tree/branch only"}},
		"no layer":             {"cave/cave.go", "// Package cave hides.\npackage cave\n", []string{"cave: the package has no layer"}},
		"foreign module":       {"twin/db.go", "package twin\n\nimport _ \"heavy.org/db/vfs\"\n", []string{"heavy.org/db may be imported by tree only"}},
		"foreign at the root":  {"db.go", "package example\n\nimport _ \"heavy.org/db\"\n", []string{"heavy.org/db may be imported by tree only"}},
		"foreign in a test":    {"twin/db_test.go", "package twin\n\nimport _ \"heavy.org/db\"\n", []string{"heavy.org/db may be imported by tree only"}},
		"test module shipped":  {"twin/cmp.go", "package twin\n\nimport _ \"test.org/cmp\"\n", []string{"test.org/cmp may be imported by tests only"}},
		"test package shipped": {"tree/t.go", "package tree\n\nimport _ \"example/tree/treetest\"\n", []string{"tree/t.go: tree/treetest is for tests only"}},
		"unknown module":       {"twin/new.go", "package twin\n\nimport _ \"new.org/thing\"\n", []string{"new.org/thing is not among the modules"}},
		"prefix of a name":     {"twin/dbx.go", "package twin\n\nimport _ \"heavy.org/dbx\"\n", []string{"heavy.org/dbx is not among the modules"}},
		"no comment":           {"twin/twin.go", "package twin\n", []string{`twin: the package has no comment that starts with "Package twin"`}},
		"comment of another":   {"twin/twin.go", "// Package twins follow.\npackage twin\n", []string{`starts with "Package twin"`}},
		"command, no comment":  {"roof/roof.go", "package main\n", []string{"roof: the command has no comment"}},
		"vague name":           {"floor/floor.go", "// Package util has it all.\npackage util\n", []string{`floor: "util" says nothing`}},
		"long file":            {"twin/twin.go", lines + strings.Repeat("\n", 9), []string{"twin/twin.go: 11 lines, at most 10"}},
		"long test":            {"twin/long_test.go", "package twin\n" + strings.Repeat("\n", 10), []string{"twin/long_test.go: 11 lines, at most 10"}},
		"long package":         {"tree/more.go", "package tree\n" + strings.Repeat("\n", 8), []string{"tree: 17 lines, at most 15"}},
		"many exports":         {"twin/twin.go", lines + "type A int\nconst B, C, D = 1, 2, 3\nfunc (A) E() {}\nvar F, g = 1, 2\nfunc H() {}\n", []string{"twin: 3 exported"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := madeUp.Check(load(t, c.file, c.src))
			ok := slices.EqualFunc(found, c.want, strings.Contains)
			if !ok {
				t.Errorf("got findings %q, want %q", found, c.want)
			}
		})
	}
}

func TestCheckGone(t *testing.T) {
	t.Parallel()
	rules := madeUp
	rules.Layers = map[string]int{".": -1, "floor": 0, "tree": 1, "tree/branch": 1, "tree/treetest": 1, "twin": 1, "roof": 2, "attic": 3}
	want := []string{"attic: has a layer in archtest, but there is no such package"}
	if diff := cmp.Diff(want, rules.Check(load(t, "", ""))); diff != "" {
		t.Error(diff)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	var got []string
	for _, p := range load(t, "twin/broad.go", "package twin\n\ntype (\n\tA int\n\tb int\n)\n") {
		got = append(got, p.Path)
		if p.Path != "twin" {
			continue
		}
		want := Package{Path: "twin", Name: "twin", Doc: "Package twin follows.\n", Exports: 1, Files: []File{
			{Name: "broad.go", Lines: 6},
			{Name: "twin.go", Lines: 2},
			{Name: "twin_test.go", Test: true, Lines: 7, Imports: []string{"example/roof", "heavy.org/db/mem", "test.org/cmp"}},
		}}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Errorf("the package twin (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff([]string{".", "floor", "roof", "tree", "tree/branch", "tree/treetest", "twin"}, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestLoadRefusesWhatDoesNotParse(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"x.go": {Data: []byte("package\n")}}
	if pkgs, err := Load(fsys); err == nil {
		t.Errorf("got %v, want an error", pkgs)
	}
}

// load reads the invented module with an additional or replaced file.
func load(t *testing.T, file, src string) []Package {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range good {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	if file != "" {
		fsys[file] = &fstest.MapFile{Data: []byte(src)}
	}
	pkgs, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

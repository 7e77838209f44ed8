// Package archtest checks the source against the project's architecture. It
// reads the import lines itself, with go/parser: the go tool's test cache then
// knows every file that the test reads, while a test that runs another program
// could get an outdated result from the cache. It checks what the files show,
// such as imports and sizes. golangci-lint checks style and finds likely bugs.
package archtest

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Package is one directory of Go files.
type Package struct {
	Path    string // the directory below the module's root, with slashes; "." for the root
	Name    string // as in its files, without a _test suffix
	Doc     string // its comment
	Files   []File // sorted by name
	Exports int    // exported types, functions and variables, without methods and constants
}

// File is one Go file.
type File struct {
	Name    string
	Test    bool // its name ends in _test.go
	Lines   int
	Imports []string
}

// Load reads the packages of the module in fsys, sorted by path. It skips what
// the go tool skips: directories named testdata or with a leading dot or
// underscore, and other modules.
func Load(fsys fs.FS) ([]Package, error) {
	var pkgs []Package
	err := fs.WalkDir(fsys, ".", func(dir string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if skipped(fsys, dir) {
			return fs.SkipDir
		}
		p, err := loadPackage(fsys, dir)
		if len(p.Files) > 0 {
			pkgs = append(pkgs, p)
		}
		return err
	})
	return pkgs, err
}

func skipped(fsys fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return !errors.Is(err, fs.ErrNotExist)
}

func loadPackage(fsys fs.FS, dir string) (Package, error) {
	p := Package{Path: dir}
	names, err := fs.Glob(fsys, path.Join(dir, "*.go"))
	if err != nil {
		return p, err
	}
	for _, name := range names {
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return p, err
		}
		if err := p.add(name, src); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *Package) add(name string, src []byte) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	f := File{Name: path.Base(name), Test: strings.HasSuffix(name, "_test.go"), Lines: bytes.Count(src, []byte("\n"))}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("import path of %s: %w", name, err)
		}
		f.Imports = append(f.Imports, imported)
	}
	p.Files = append(p.Files, f)
	p.Name = strings.TrimSuffix(file.Name.Name, "_test")
	if file.Doc != nil {
		p.Doc += file.Doc.Text()
	}
	if !f.Test {
		p.Exports += exports(file)
	}
	return nil
}

// exports counts the items in the package's documentation. It does not count
// constants: they are values of a type, and that is counted.
func exports(file *ast.File) int {
	n := 0
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.IsExported() {
				n++
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				n += exportsOf(d.Tok, spec)
			}
		}
	}
	return n
}

func exportsOf(tok token.Token, spec ast.Spec) int {
	n := 0
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			n++
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if tok == token.VAR && name.IsExported() {
				n++
			}
		}
	}
	return n
}

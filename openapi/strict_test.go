package openapi

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// strict notes what a strict reader of YAML would not accept.
type strict struct {
	anchors  map[string]bool
	problems []string
}

// Visit implements [ast.Visitor].
func (s *strict) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.AnchorNode:
		name := n.Name.GetToken()
		if s.anchors[name.Value] {
			s.wrong("line %d: another anchor has the name %q", name.Position.Line, name.Value)
		}
		s.anchors[name.Value] = true
	case *ast.StringNode:
		if at := n.GetToken(); at.Type == token.StringType && elsewhere.MatchString(n.Value) {
			s.wrong("line %d: %q is no text in YAML 1.1; quote it", at.Position.Line, n.Value)
		}
	}
	return s
}

func (s *strict) wrong(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// elsewhere matches what is a text in YAML 1.2 and something else in YAML 1.1,
// which most libraries of other languages read: truth values, times, numbers to
// the base of 60, 8 and 2, and numbers with underscores (yaml.org/type).
var elsewhere = regexp.MustCompile(`^(?i:y|yes|n|no|on|off|true|false|null|~)$|^\d{4}-\d{1,2}-\d{1,2}([Tt \t].*)?$|^[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?$|` +
	`^[-+]?0b?[0-7_]+$|^[-+]?[\d_]+(\.[\d_]*)?$|^[-+]?\.(?i:inf|nan)$|^=$|^<<$`)

// TestStrictYAML: every YAML reader can read the contract, and reads the same.
// PyYAML, for example, refuses an anchor whose name occurred before.
func TestStrictYAML(t *testing.T) {
	t.Parallel()
	read := func(text []byte) *strict {
		file, err := parser.ParseBytes(text, 0)
		if err != nil {
			t.Fatal(err)
		}
		s := &strict{anchors: map[string]bool{}}
		for _, doc := range file.Docs {
			ast.Walk(s, doc.Body)
		}
		return s
	}
	for _, problem := range read(Source()).problems {
		t.Error(problem)
	}
	for _, text := range []string{"a: &x 1\nb: &x 2\n", "a: 2026-11-01\n", "a: yes\n", "[09:30]"} {
		if len(read([]byte(text)).problems) != 1 {
			t.Errorf("what is wrong with %q was not found", text)
		}
	}
}

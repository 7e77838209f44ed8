package tracking

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"trackway"
)

// TestTexts: every reason of the domain has its words here, which name nothing
// that an error does not have.
func TestTexts(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../../../error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Reason" {
			reasons++
			reason := trackway.Reason(strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`))
			text := Text(&trackway.Error{Field: "f.{what}", Reason: reason, Limit: 7, Got: 8, What: "w"})
			if text == "" || strings.Contains(strings.ReplaceAll(text, "f.{what}", ""), "{") {
				t.Errorf("%s is told as %q", reason, text)
			}
		}
		return true
	})
	if reasons == 0 || reasons != len(texts) {
		t.Errorf("%d reasons, %d texts", reasons, len(texts))
	}
}

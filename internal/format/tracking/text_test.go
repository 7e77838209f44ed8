package tracking

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"trackway"
)

// TestTexts checks that every reason of the domain has a text, and that no text
// refers to something that the error does not have.
func TestTexts(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../../../error.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(file, func(n ast.Node) bool {
		decl, ok := n.(*ast.GenDecl)
		if !ok || !strings.HasPrefix(decl.Doc.Text(), "The reasons") {
			return true
		}
		for _, spec := range decl.Specs {
			reasons++
			reason := trackway.Code(strings.Trim(spec.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value, `"`))
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

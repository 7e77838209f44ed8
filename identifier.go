package trackway

import (
	"strings"
	"unicode"
)

// TrimID returns the value of an identifier as it is kept and looked for:
// without the white space around it. White space is what Unicode calls so
// (the property White_Space), as in [strings.TrimSpace]: besides spaces, tabs
// and line breaks also U+00A0 and U+3000, but not U+FEFF. It does not copy.
func TrimID(value string) string { return strings.TrimSpace(value) }

// Why an identifier was left out.
const (
	Empty  = "empty"  // null, an empty string or array, white space
	Listed = "listed" // the project lists it as nobody
	Signs  = "signs"  // it has no letter and no digit
)

// LeftOut is an identifier of a command that names nobody, and so was treated
// as if it were absent. It holds nothing that a client made up: Value is a text
// of the project's own list.
type LeftOut struct {
	Name  string // of the identifier, one of the project's
	Why   string // [Empty], [Listed] or [Signs]
	Value string // the text as the project lists it; empty unless Why is [Listed]
}

// zero is the one text that stands for nobody in hard identifiers only: no
// account has the number 0, but a device may.
const zero = "0"

// DefaultNobody returns the texts that stand for nobody in a project that does
// not list its own. They are what common clients write if a value is missing.
func DefaultNobody() []string {
	return []string{"null", "undefined", "none", "nil", "nan", "(null)", "[object object]", zero}
}

// LeavesOut reports whether an identifier names nobody in this project, and why.
// The value must be trimmed and Hard must be set. Letter case does not matter.
//
// An empty value and one without any letter or digit ("-", "???") name nobody
// whatever the project lists: many people would become one by it.
func (p *Project) LeavesOut(id Identifier) (LeftOut, bool) {
	if id.Value == "" {
		return LeftOut{Name: id.Name, Why: Empty}, true
	}
	for _, text := range p.Nobody {
		if strings.EqualFold(text, id.Value) && (id.Hard || text != zero) {
			return LeftOut{Name: id.Name, Why: Listed, Value: text}, true
		}
	}
	if !strings.ContainsFunc(id.Value, isAlphanumeric) {
		return LeftOut{Name: id.Name, Why: Signs}, true
	}
	return LeftOut{}, false
}

func isAlphanumeric(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

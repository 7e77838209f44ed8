package trackway

import (
	"strings"
	"unicode"
)

// Trimmed returns the identifier with its value as it is kept and looked for:
// without the white space around it. White space is what Unicode calls so (the
// property White_Space), as in [strings.TrimSpace]: besides spaces, tabs and line
// breaks also U+00A0 and U+3000, but not U+FEFF. It does not copy.
func (id Identifier) Trimmed() Identifier {
	id.Value = strings.TrimSpace(id.Value)
	return id
}

const (
	zero  = "0" // names nobody in hard identifiers only: no account has the number 0, but a device may
	signs = "-" // stands for every value without a letter and a digit
)

// LeavesOut reports whether an identifier names nobody in this project, so that
// it is treated as if it were absent. It must be trimmed, and Hard must be set.
// Letter case does not matter.
//
// An empty value and one without any letter or digit ("-", "???") name nobody
// whatever the project lists: many people would become one by it.
//
// out is what may be told of it. It holds nothing that a client made up: its
// value is empty, a text as the project lists it, or "-" for any value without a
// letter or digit.
func (p *Project) LeavesOut(id Identifier) (out Identifier, is bool) {
	if id.Value == "" {
		return id, true
	}
	for _, text := range p.Nobody {
		if strings.EqualFold(text, id.Value) && (id.Hard || text != zero) {
			id.Value = text
			return id, true
		}
	}
	if !strings.ContainsFunc(id.Value, isAlphanumeric) {
		id.Value = signs
		return id, true
	}
	return Identifier{}, false
}

func isAlphanumeric(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// WhyLeftOut says in a word why an identifier that [Project.LeavesOut] has
// returned names nobody: "empty" (null, an empty string or array, white space),
// "listed" (by the project) or "signs" (no letter and no digit).
func (id Identifier) WhyLeftOut() string {
	switch id.Value {
	case "":
		return "empty"
	case signs:
		return "signs"
	}
	return "listed"
}

package trackway

import (
	"strings"
	"unicode"
)

// Trimmed returns the identifier with its value as it is stored and looked up:
// without surrounding white space. White space is the Unicode property
// White_Space, as in [strings.TrimSpace]: spaces, tabs, line breaks, and also
// U+00A0 and U+3000, but not U+FEFF. Trimmed does not copy.
func (id Identifier) Trimmed() Identifier {
	id.Value = strings.TrimSpace(id.Value)
	return id
}

// Clone returns a copy that shares no text with the identifier, whose texts may
// be parts of a request's body.
func (id Identifier) Clone() Identifier {
	id.Name, id.Value = strings.Clone(id.Name), strings.Clone(id.Value)
	return id
}

const (
	zero  = "0" // ignored in hard identifiers only: no account has the number 0, but a device may
	signs = "-" // stands for every value without a letter and a digit
)

// LeavesOut reports whether this project ignores an identifier, as if it were
// absent, because it names nobody. The identifier must be trimmed, and Hard
// must be set. Letter case does not matter.
//
// An empty value, and one without any letter or digit ("-", "???"), is ignored
// whatever the project lists: it would merge many people into one customer.
//
// out is what reports may show of the identifier. It never holds text that a
// client made up: its value is empty, a text from the project's list, or "-"
// for any value without a letter or digit.
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

// WhyLeftOut says in one word why [Project.LeavesOut] ignores an identifier
// that it has returned: "empty" (null, an empty string or array, white space),
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

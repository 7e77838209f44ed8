package wording

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// since is the commit after which subjects are checked.
const since = "3ace93d601d529d5bb85c8692bc3ae9584121b4f"

const subjectWidth = 72

// TestCommits checks the subjects of the commits after since. It skips if git
// cannot list them: in a shallow clone, or in a directory that is not a clone.
func TestCommits(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "log", "--no-merges", "--format=%h %s", since+"..HEAD").CombinedOutput()
	if err != nil {
		t.Skipf("git does not show the commits since %.7s (%v): %s", since, err, out)
	}
	for row := range strings.Lines(string(out)) {
		hash, subject, _ := strings.Cut(strings.TrimSuffix(row, "\n"), " ")
		if complaint := checkSubject(subject); complaint != "" {
			t.Errorf("%s %q: %s", hash, subject, complaint)
		}
	}
}

// place matches the beginning of a subject that says where the commit makes its
// change.
var place = regexp.MustCompile(`^[\w./*{}, -]+: `)

// notVerbs begin subjects that say how things are instead of what to do.
var notVerbs = strings.Fields(`a an the this that these those it its they there one two three no not nothing nobody every each all any
	some more fewer less only what who whom whose where when while how why if as at by for from in of on to with without and or but
	is are was were has have can may must will`)

// checkSubject says what is wrong with the subject of a commit, or returns an
// empty text. It cannot tell every verb from a noun, but it knows how most
// subjects begin that are not imperative.
func checkSubject(text string) string {
	if n := utf8.RuneCountInString(text); n > subjectWidth {
		return "a subject has at most 72 columns; the rest belongs into the body"
	}
	if strings.HasPrefix(text, "Revert ") {
		return ""
	}
	where := place.FindString(text)
	verb, _, _ := strings.Cut(text[len(where):], " ")
	switch lower := strings.ToLower(verb); {
	case where != "" && verb != lower:
		return "after the colon follows a verb in lower case"
	case slices.Contains(notVerbs, lower) || inflected(lower):
		return "a subject says what to do, in the imperative: `refuse zero rates`"
	}
	return ""
}

// inflected reports whether a verb is not in the imperative: refuses, refused,
// refusing.
func inflected(verb string) bool {
	for suffix, but := range map[string]*regexp.Regexp{
		"s":   regexp.MustCompile(`(ss|us|ias)$`),
		"ed":  regexp.MustCompile(`(eed|embed|shed|shred|wed)$`),
		"ing": regexp.MustCompile(`^(bring|ping|ring|spring|string|swing)$`),
	} {
		if strings.HasSuffix(verb, suffix) && !but.MatchString(verb) {
			return true
		}
	}
	return false
}

func TestCheckSubject(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"internal/limit: refuse zero rates":       true,
		"store, wire: address what was left":      true,
		"docs: say how to restore":                true,
		`Revert "docs: a page"`:                   true,
		"store: need one lock":                    true,
		"Say how to restore":                      true,
		"What the server takes":                   false,
		"docs: what the server takes":             false,
		"bench: one loop of requests":             false,
		"limit: refuses zero rates":               false,
		"limit: refused zero rates":               false,
		"limit: refusing zero rates":              false,
		"limit: Refuse zero rates":                false,
		"e2e: say " + strings.Repeat("very ", 13): false,
	} {
		if complaint := checkSubject(text); (complaint == "") != ok {
			t.Errorf("%q: got %q, want fine: %t", text, complaint, ok)
		}
	}
}

package wording

import (
	"fmt"
	"regexp"
	"strings"
)

// rule is the rule that a finding breaks: a column in the list of allowed
// findings.
type rule int

const (
	width rule = iota
	words
	rules
)

// finding is one place that could be better.
type finding struct {
	line int
	rule rule
	text string
}

// phrases are turns of phrase that made our comments hard to read, each with a
// plainer one.
var phrases = []struct {
	found *regexp.Regexp
	plain string
}{
	{regexp.MustCompile(`(?i)\b(its|their|whose) one idea\b`), "say what it does"},
	{regexp.MustCompile(`(?i)\banew\b`), "again, new"},
	{regexp.MustCompile(`(?i)\b(is|are|was|were) none\b`), "there is no …, or no … exists"},
	{regexp.MustCompile(`(?i)\bwhere there (is|are) (none|no)\b`), "if there is no …"},
	{regexp.MustCompile(`(?i)\b(is|are|was|were|be) told of\b`), "receives, learns"},
	{regexp.MustCompile(`(?i)\bwho(m)?ever\b`), "a client that …, anyone who …"},
	{regexp.MustCompile(`(?i)\b(he|him|his|himself)\b`), "they, or the noun"},
}

// openings begin a sentence that puts its subject last. A question may begin
// with them.
var openings = []struct {
	word, plain string
}{
	{"Who", "a client that …, if a caller …"},
	{"Whom", "the noun first"},
	{"Whose", "the noun first"},
	{"What", "the noun first"},
	{"Where", "if …"},
}

// sentence matches up to a full stop, a question mark or an exclamation mark,
// or to the end of the passage.
var sentence = regexp.MustCompile(`[^.!?]*(?:[.!?]+(?:\s|$)|[.!?]+|$)`)

// check returns the findings in the passages of a file, in order.
func check(name, src string) []finding {
	var found []finding
	for _, p := range passagesOf(name, src) {
		for _, l := range p.lines {
			if strings.HasPrefix(p.lines[0].text, "Output:") { // what follows is an example's output
				break
			}
			if l.most > 0 && l.width > l.most {
				found = append(found, finding{l.number, width, fmt.Sprintf("%d columns, at most %d", l.width, l.most)})
			}
		}
		found = append(found, p.worded()...)
	}
	return found
}

// worded returns the bad phrases and openings in a passage.
func (p *passage) worded() []finding {
	var joined strings.Builder
	starts := make([]int, len(p.lines))
	for i, l := range p.lines {
		starts[i] = joined.Len()
		joined.WriteString(l.text)
		joined.WriteByte(' ')
	}
	text := joined.String()
	var found []finding
	add := func(at int, bad, plain string) {
		i := 0
		for i+1 < len(starts) && starts[i+1] <= at {
			i++
		}
		found = append(found, finding{p.lines[i].number, words, fmt.Sprintf("%q: better: %s", bad, plain)})
	}
	for _, phrase := range phrases {
		for _, m := range phrase.found.FindAllStringIndex(text, -1) {
			add(m[0], text[m[0]:m[1]], phrase.plain)
		}
	}
	for _, m := range sentence.FindAllStringIndex(text, -1) {
		said := text[m[0]:m[1]]
		for _, o := range openings {
			rest, ok := strings.CutPrefix(strings.TrimLeft(said, " -*`_"), o.word+" ")
			if ok && !strings.Contains(said, "?") && len(strings.Fields(rest)) > 1 {
				add(m[1]-len(o.word+" "+rest), o.word+" "+strings.Join(strings.Fields(rest)[:2], " ")+" …", o.plain)
			}
		}
	}
	return found
}

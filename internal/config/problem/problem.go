// Package problem describes the mistakes in a configuration.
package problem

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a configuration. It never contains a secret, nor a
// text that might be one.
type Problem struct {
	File         string // or the environment variable; empty if the value came from a flag
	Line, Column int    // counted from 1; 0: the file as a whole
	Field        string // such as limits[1].window
	Text         string // the wrong text, in a form that may be shown; may be empty
	Msg          string // what was expected
}

// String returns a text such as "trackway.yaml:12:13: limits[1].window "60":
// must be …".
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if subject := strings.TrimSpace(p.Field + " " + p.Text); subject != "" {
		b.WriteString(subject + ": ")
	}
	return b.String() + p.Msg
}

// InvalidError lists all mistakes in a configuration. It is never empty. Its
// text has a line for each problem.
type InvalidError []Problem

func (ps InvalidError) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sort sorts the problems by their places in each file.
func (ps InvalidError) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

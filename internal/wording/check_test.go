package wording

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 16) // 80 columns and a space
	for name, c := range map[string]struct {
		file, src string
		want      []string // the beginning of each finding
	}{
		"plain":              {"a.go", "// Package a adds.\npackage a // and nothing else\n", nil},
		"a wide comment":     {"a.go", "package a\n\n// " + long + "\n", []string{"3: 82 columns, at most 80"}},
		"an indented one":    {"a.go", "package a\n\nfunc f() {\n\t// " + long[:74] + "\n\t// x\n}\n", []string{"4: 81 columns"}},
		"behind code":        {"a.go", "package a // " + long + "\n", nil},
		"wide behind code":   {"a.go", "package a // " + long + long + "\n", []string{"1: 172 columns, at most 120"}},
		"one long word":      {"a.go", "package a\n\n// https://" + strings.Repeat("x", 90) + "\n", nil},
		"preformatted":       {"a.go", "package a\n\n//\t" + long + "\n", nil},
		"an output":          {"a_test.go", "package a\n\n// Output:\n// " + long + "\n", nil},
		"a directive":        {"a.go", "package a\n\n//go:generate " + long + "\n", nil},
		"a block":            {"a.go", "package a\n\n/* x\n   " + long + "\n*/\n", []string{"4: 82 columns"}},
		"text is no comment": {"a.go", "package a\n\nconst x = `// " + long + " anew`\n", nil},
		"a phrase":           {"a.go", "package a\n\n// It begins\n// anew.\n", []string{`4: "anew"`}},
		"across lines":       {"a.go", "package a\n\n// There is\n// none where there\n// is none.\n", []string{`3: "is none"`, `5: "is none"`, `4: "where there is none"`}},
		"two comments":       {"a.go", "package a\n\n// There is\n\n// none.\n", nil},
		"an opening":         {"a.go", "package a\n\n// It counts. Who floods it waits.\n", []string{`3: "Who floods it …"`}},
		"a question":         {"a.go", "package a\n\n// Who floods it?\n", nil},
		"inside a sentence":  {"a.go", "package a\n\n// It says who floods it, what for, and where from.\n", nil},
		"prose":              {"a.md", "# What it does\n\nWhat is looked for is found.\n\n    code anew\n\n```\nanew\n```\n", []string{`1: "What it does …"`, `3: "What is looked …"`}},
		"wide prose":         {"a.md", long + "more words than\n" + long + "more words than a line has\n", []string{"2: 106 columns, at most 100"}},
		"a row of a table":   {"a.md", "| a | b |\n| --- | --- |\n| " + long + " | " + long + "Whoever asks |\n", []string{`3: "Whoever"`}},
		"another language":   {"a.ts", "f(); // anew, but not looked at\n/**\n * Where the server is down, it waits.\n */\n", []string{`3: "Where the server …"`}},
		"a script":           {"tools/x", "#!/bin/sh\n# He is told of it.\n", []string{`2: "is told of"`, `2: "He"`}},
		"no text of ours":    {"a.json", "// anew\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for row := range strings.Lines(list("", check(c.file, c.src), width) + list("", check(c.file, c.src), words)) {
				got = append(got, strings.TrimPrefix(strings.TrimSpace(row), ":"))
			}
			ok := len(got) == len(c.want)
			for i := 0; ok && i < len(got); i++ {
				ok = strings.HasPrefix(got[i], c.want[i])
			}
			if !ok {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRatchet(t *testing.T) {
	t.Parallel()
	const bad = "package a\n\n// Anew.\n"
	for name, c := range map[string]struct {
		allowed string
		want    string // a part of the complaint
		grown   bool
	}{
		"as listed":    {"a.go 0 1\n", "", false},
		"worse":        {"", "a.go:3: \"Anew\"", true},
		"better":       {"a.go 0 2\n", "Well done", false},
		"a file gone":  {"a.go 0 1\nb.go 3 0\n", "b.go: 0 of width", false},
		"moved":        {"b.go 0 1\n", "a.go:3: \"Anew\"", false},
		"other rule":   {"a.go 1 0\n", "a.go:3: \"Anew\"", true},
		"with a title": {"# Title\na.go 0 1\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := checkTree(fstest.MapFS{
				"a.go": {Data: []byte(bad)}, "testdata/b.go": {Data: []byte(bad)}, ".git/c.go": {Data: []byte(bad)},
			})
			if err != nil {
				t.Fatal(err)
			}
			allowed, err := parse(c.allowed)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(compare(found, allowed), "\n")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if grown := grown(found, allowed); grown != c.grown {
				t.Errorf("got grown: %t, want %t", grown, c.grown)
			}
			again, err := parse(format(found))
			if diff := cmp.Diff(map[string]counts{"a.go": {0, 1}}, again); err != nil || diff != "" {
				t.Errorf("what was written is read back otherwise (%v):\n%s", err, diff)
			}
		})
	}
	if _, err := parse("a.go 1\n"); err == nil {
		t.Error("half a line was read without an error")
	}
}

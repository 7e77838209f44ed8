package terminal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain é 字": "plain é 字", "a\x1b[2Jb": `a\x1b[2Jb`, "\u009b": `\u009b`, "a\u202eb": `a\u202eb`, "a\nb\tc": `a\nb\tc`,
		"\xff": `\xff`, "\uFFFD": "\uFFFD", "": "",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := Shown("a\x1bb"); got != `"a\x1bb"` || Shown("a b.csv") != "a b.csv" {
		t.Errorf("got %s", got)
	}
}

// A terminal only gets visible characters, however the output is split.
func TestScreen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.String().Draw(r, "text")
		f, err := os.Create(filepath.Join(t.TempDir(), "screen"))
		if err != nil {
			r.Fatal(err)
		}
		defer f.Close()
		s := &screen{file: f}
		for i := range len(text) {
			if n, err := s.Write([]byte{text[i]}); n != 1 || err != nil {
				r.Fatal(n, err)
			}
		}
		got, err := os.ReadFile(f.Name())
		if err != nil || string(got) != escaped(text, layoutChars) {
			r.Fatalf("got %q, want %q", got, escaped(text, layoutChars))
		}
		if i := bytes.IndexFunc(got, func(c rune) bool { return c != '\n' && c != '\t' && !unicode.IsPrint(c) }); i >= 0 {
			r.Fatalf("%q is on the screen", got[i:])
		}
	})
}

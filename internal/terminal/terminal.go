// Package terminal prints for people. Text from outside (names of columns and
// files, identifiers, answers of a server) may contain what a terminal obeys:
// escape sequences that write to the clipboard or hide a line, marks that
// reverse the direction of a text. [Say], [Columns] and [Screen] are the only
// ways to a terminal, and each of them escapes such text.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns a text on one line. Invisible characters appear as Go
// escapes them: ESC as \x1b.
func Printable(text string) string { return escaped(text, "") }

// Shown returns the name of a file as it is, or quoted if it contains invisible
// characters.
func Shown(name string) string {
	if Printable(name) == name {
		return name
	}
	return strconv.Quote(name)
}

// escaped escapes invisible characters, except for those in keep.
func escaped(text, keep string) string {
	fine := func(r rune, n int) bool {
		return (unicode.IsPrint(r) || strings.ContainsRune(keep, r)) && (r != utf8.RuneError || n > 1)
	}
	var b strings.Builder
	start := 0 // of the part that is not written yet
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if !fine(r, n) {
			quoted := strconv.Quote(text[i : i+n])
			b.WriteString(text[start:i] + quoted[1:len(quoted)-1])
			start = i + n
		}
		i += n
	}
	if start == 0 {
		return text
	}
	return b.String() + text[start:]
}

// layoutChars are the characters that lay out a text of several lines.
const layoutChars = "\n\t"

// Say prints for people. It ignores errors: if printing fails, nobody is
// reading.
func Say(w io.Writer, format string, args ...any) {
	_, _ = io.WriteString(w, escaped(fmt.Sprintf(format, args...), layoutChars))
}

// screen is a terminal that only gets visible characters, whatever is written
// to it.
type screen struct {
	file *os.File
	part []byte // the beginning of a character that the next write completes
}

// Screen returns w, wrapped in a screen if it is a terminal.
func Screen(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok && Is(w) {
		return &screen{file: f}
	}
	return w
}

func (s *screen) Write(b []byte) (int, error) {
	text := append(s.part, b...)
	end := len(text)
	for back := 1; back <= min(len(text), utf8.UTFMax-1); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				end = at
			}
			break
		}
	}
	s.part = append([]byte(nil), text[end:]...)
	if _, err := io.WriteString(s.file, escaped(string(text[:end]), layoutChars)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Is reports whether w is a terminal.
func Is(w io.Writer) bool {
	if _, ok := w.(*screen); ok {
		return true
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// SayLive rewrites the line on a terminal. Only this function moves the cursor.
func SayLive(w io.Writer, line string, spaces int) {
	if s, ok := w.(*screen); ok {
		w = s.file
	}
	_, _ = fmt.Fprintf(w, "\r%s%s", Printable(line), strings.Repeat(" ", spaces))
}

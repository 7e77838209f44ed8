// Package excerpt shortens texts from outside before they are shown or stored,
// such as a client's words in an error.
package excerpt

import "unicode/utf8"

// Of returns a text. If it is longer than most bytes, Of returns its beginning
// followed by "…", which is not counted.
func Of(text string, most int) string {
	if start := Cut(text, most); len(start) < len(text) {
		return start + "…"
	}
	return text
}

// Cut returns the beginning of a text: at most a number of bytes, and only
// whole characters. It does not copy.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most
	for end > max(most-utf8.UTFMax, 0) && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

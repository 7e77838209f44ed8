// Package excerpt shortens texts of others before they are shown or kept, such
// as a client's words in an error.
package excerpt

import "unicode/utf8"

// Of returns a text. If it is longer than most bytes, Of returns its beginning
// and "…", which comes on top of these.
func Of(text string, most int) string {
	if start := Cut(text, most); len(start) < len(text) {
		return start + "…"
	}
	return text
}

// Cut returns the beginning of a text: at most that many bytes, and no part of
// a character. It does not copy.
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

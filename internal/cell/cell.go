// Package cell writes texts as cells of CSV files that are safe to open in a
// spreadsheet, and reads them back without loss.
package cell

import "strings"

// A spreadsheet treats a cell that begins with one of these as a formula, and a
// formula can send the content of other cells elsewhere. Anyone who may track
// can choose the content of a cell.
const formula = "=+-@\t\r"

// Guard returns a text as a CSV cell that spreadsheets treat as text. If the
// text begins like a formula, Guard puts an apostrophe before it. It also does
// so if the text begins with apostrophes and then like a formula, so that
// [Unguard] can always remove one. A number with a sign, such as a phone
// number, stays as it is: it cannot call anything.
func Guard(text string) string {
	if guarded(text) && !signed(text) {
		return "'" + text
	}
	return text
}

// Unguard is the inverse of [Guard].
func Unguard(cell string) string {
	if strings.HasPrefix(cell, "'") && guarded(cell) {
		return cell[1:]
	}
	return cell
}

// guarded reports whether a text begins like a formula, after any number of
// apostrophes.
func guarded(text string) bool {
	text = strings.TrimLeft(text, "'")
	return text != "" && strings.IndexByte(formula, text[0]) >= 0
}

// signed reports whether a text is a plus or a minus followed by digits: a
// whole number, one with a decimal point, or groups of digits with spaces
// between them, as in phone numbers. A spreadsheet would calculate with a
// hyphen or a slash between digits.
func signed(text string) bool {
	if text == "" || text[0] != '+' && text[0] != '-' {
		return false
	}
	digit, point := false, false
	for _, c := range []byte(text[1:]) {
		switch {
		case c >= '0' && c <= '9':
			digit = true
			continue
		case c == ' ' && digit && !point:
		case c == '.' && digit && !point:
			point = true
		default:
			return false
		}
		digit = false
	}
	return digit
}

// Package cell makes cells of CSV files that are safe to open in a spreadsheet, and takes them back without loss.
package cell

import "strings"

// A spreadsheet takes a cell that begins with one of these for a formula, and a formula can send what is in other cells elsewhere.
// Whoever may track chooses what is in a cell.
const formula = "=+-@\t\r"

// Guard returns a text as a cell of a CSV file that spreadsheets take for a text: behind an apostrophe, if it begins as a
// formula does. So that [Unguard] can take it away, one goes before those that such a text begins with, too. A number with a
// sign, such as that of a phone, stays as it is: it can call nothing.
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

// guarded tells whether a text begins as a formula does, behind any number of apostrophes.
func guarded(text string) bool {
	text = strings.TrimLeft(text, "'")
	return text != "" && strings.IndexByte(formula, text[0]) >= 0
}

// signed tells whether a text is a plus or a minus before digits: a whole number, one with a decimal point, or groups of digits
// with a space between them, as phone numbers are written. A hyphen or a slash between digits would be calculated.
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

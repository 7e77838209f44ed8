// Package cell makes cells of CSV files that are safe to open in a spreadsheet, and takes them back without loss.
package cell

import "strings"

// A spreadsheet takes a cell that begins with one of these for a formula, and a formula can send what is in other cells elsewhere.
// Whoever may track chooses what is in a cell.
const formula = "=+-@\t\r"

// Guard returns a text as a cell of a CSV file that spreadsheets take for a text: behind an apostrophe, if it begins as a
// formula does. So that [Unguard] can take it away, one goes before those that such a text begins with, too.
func Guard(text string) string {
	if guarded(text) {
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

// Package page answers questions with long answers one page at a time, within
// the caller's deadline. A question that takes too long is not an error: each
// page says how far the search got, and its cursor continues there. The package
// reads through the interfaces of internal/query, and does not know where the
// data comes from.
package page

const (
	checkEvery = 64      // steps between looks at the deadline
	maxPage    = 8 << 20 // bytes of a page; a row beyond it ends the page
)

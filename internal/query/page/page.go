// Package page answers questions whose answers may be long: a page at a time, and no longer than the caller's deadline. Its one
// idea is that a question that takes too long is not an error: each page says how far it came, and its cursor is where to go on.
// It reads by what internal/query offers, and does not know where that comes from.
package page

const (
	checkEvery = 64      // steps from one look at the deadline to the next
	maxPage    = 8 << 20 // bytes of a page; a row over it ends the page
)

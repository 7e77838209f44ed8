// Package cost bounds the memory that decoding a request's body takes, before
// it is decoded. It looks only at the body's length and punctuation. A test
// with the worst bodies holds the decoders of the formats to these bounds.
package cost

import (
	"bytes"

	"trackway"
)

// Factor is how many bytes decoding allocates in total for each byte of a body,
// at worst and beyond the first KiB. The worst body contains only ids of one
// digit; a usual event takes 1.1.
const Factor = 24

// PerCommand is how many bytes decoding allocates for an element of a batch,
// and for its error.
const PerCommand = 512

const (
	base     = 1 << 10 // for any body
	perByte  = 4       // for unescaping, rewriting and sorting
	perComma = 112     // for the content between two commas: a member, an id
)

// Of returns a bound on the number of bytes that decoding a body with at most
// the given number of commands allocates in total, and so on the bytes that it
// keeps: 4 for each byte, and more for each member and element. A usual body
// needs about 10 bytes per byte. No body needs more than 1 KiB plus [Factor]
// bytes per byte.
//
// In formats that allow more commands than usual, each element beyond
// [trackway.MaxCommands] adds to the bound.
//
// Of makes two passes over the body, at several bytes per clock cycle, and
// allocates nothing.
func Of(body []byte, commands int) int {
	commas, objects := bytes.Count(body, []byte{','}), bytes.Count(body, []byte{'{'})
	parts := perByte*len(body) + perComma*commas + PerCommand*min(objects, trackway.MaxCommands)
	more := min(max(objects-trackway.MaxCommands, 0), max(commands-trackway.MaxCommands, 0))
	return base + min(parts, Factor*len(body)) + PerCommand*more
}

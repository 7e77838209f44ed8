// Package cost says what decoding a request's body takes in memory, before it
// is decoded. It looks at the body's length and punctuation only; the
// formats hold their decoders to it with a test of the worst bodies.
package cost

import (
	"bytes"

	"trackway"
)

// Factor is how many bytes decoding allocates in all for each byte of a body,
// at worst and beyond the first KiB. The worst body is all ids of one digit; a
// usual event takes 1.1.
const Factor = 24

const (
	base       = 1 << 10 // for any body
	perByte    = 4       // what is unescaped, rewritten and put in order
	perComma   = 112     // what stands between two commas: a member, an id
	perCommand = 512     // an element of a batch, and its error
)

// Of returns a bound on the bytes that decoding a body allocates in all, and so
// on what it keeps: 4 for each byte, and more for each member and element. For
// a usual body that is some 10 bytes a byte, and never more than 1 KiB and
// [Factor] bytes a byte.
//
// It costs two passes over the body, at several bytes a clock cycle, and
// allocates nothing.
func Of(body []byte) int {
	commas, objects := bytes.Count(body, []byte{','}), bytes.Count(body, []byte{'{'})
	parts := perByte*len(body) + perComma*commas + perCommand*min(objects, trackway.MaxCommands)
	return base + min(parts, Factor*len(body))
}

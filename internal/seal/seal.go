// Package seal adds a checksum to a JSON object, so that readers can tell
// whether it is as it was written. It finds changes by a disk or memory. It
// does not keep anybody from changing the object together with its checksum.
//
// It is for the small files beside the store. The store's blocks have checksums
// of their own.
package seal

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The checksum is the last member, in a form of fixed length. So its input is
// known without a parser: all bytes before it.
const (
	before = `,"sum":"`
	after  = `"}`
	digits = 8
	length = len(before) + digits + len(after)
)

// Add returns a JSON object with an additional member, its checksum: CRC-32C in
// hexadecimal digits. The object must not be empty, and must end with its
// brace.
func Add(object []byte) []byte {
	body, ok := bytes.CutSuffix(object, []byte("}"))
	if !ok {
		panic("bug: no object of JSON")
	}
	return fmt.Appendf(bytes.Clone(body), "%s%0*x%s", before, digits, crc32.Checksum(body, castagnoli), after)
}

// Whole reports whether an object is unchanged since [Add] added its checksum.
// White space may follow it.
func Whole(object []byte) bool {
	object = bytes.TrimRight(object, " \t\r\n")
	if len(object) < length {
		return false
	}
	body := object[:len(object)-length]
	return bytes.Equal(object, Add(append(slices.Clip(body), '}')))
}

// Package seal adds a checksum to an object of JSON, so that a reader knows
// whether it is what was written. It finds what a disk or a memory has changed;
// it does not keep anybody from changing the object and its checksum.
//
// It is for the small files that lie beside the store, whose blocks have
// checksums of their own.
package seal

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The checksum is the last member, in a form that has one length, so that what
// it is of can be told without a parser: all bytes before it.
const (
	before = `,"sum":"`
	after  = `"}`
	digits = 8
	length = len(before) + digits + len(after)
)

// Add returns an object of JSON with a member more, its checksum: CRC-32C in
// hexadecimal digits. The object must not be empty, and must end with its brace.
func Add(object []byte) []byte {
	body, ok := bytes.CutSuffix(object, []byte("}"))
	if !ok {
		panic("bug: no object of JSON")
	}
	return fmt.Appendf(bytes.Clone(body), "%s%0*x%s", before, digits, crc32.Checksum(body, castagnoli), after)
}

// Whole reports whether an object, to which [Add] has added its checksum, is
// what it was then. White space may stand behind it.
func Whole(object []byte) bool {
	object = bytes.TrimRight(object, " \t\r\n")
	if len(object) < length {
		return false
	}
	body := object[:len(object)-length]
	return bytes.Equal(object, Add(append(slices.Clip(body), '}')))
}

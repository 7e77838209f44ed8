// Package journal tells whether a write-ahead log of Pebble still holds all
// that was synced to it.
//
// A log that ends in bytes that are no record has either a torn end, which
// nobody was promised, or damage. Pebble cannot always tell them apart: it
// looks for what follows in later blocks of 32 KiB only, and takes some flipped
// bits for the regular end of a log. This package decides by a [Mark]: how far a
// log was synced. The store keeps the newest mark in a file of its own, and
// writes marks into the log itself.
package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// Mark says that a log is on the disk up to an offset in bytes. It is true for
// ever once it was true. The zero Mark says nothing.
type Mark struct {
	Log    uint64 // number of the log
	Offset uint64 // bytes from the log's beginning
}

// MarkLen is the length of an encoded mark in bytes.
const MarkLen = 24

const magic = "twS1"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append appends the encoding of m to b.
func (m Mark) Append(b []byte) []byte {
	from := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint64(b, m.Log)
	b = binary.LittleEndian.AppendUint64(b, m.Offset)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

// DecodeMark returns the mark that b holds. It returns false if b is anything
// else than a whole mark.
func DecodeMark(b []byte) (Mark, bool) {
	if len(b) != MarkLen || string(b[:len(magic)]) != magic ||
		crc32.Checksum(b[:MarkLen-4], castagnoli) != binary.LittleEndian.Uint32(b[MarkLen-4:]) {
		return Mark{}, false
	}
	return Mark{Log: binary.LittleEndian.Uint64(b[4:]), Offset: binary.LittleEndian.Uint64(b[12:])}, true
}

// After reports whether m says more than other does.
func (m Mark) After(other Mark) bool {
	return m.Log > other.Log || m.Log == other.Log && m.Offset > other.Offset
}

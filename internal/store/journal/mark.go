// Package journal checks whether a write-ahead log of Pebble still holds
// everything that was synced to it.
//
// A log that ends in bytes that are no record either has a torn end, which was
// never acknowledged, or is damaged. Pebble cannot always tell the difference:
// it looks for more data only in later blocks of 32 KiB, and takes some flipped
// bits for the regular end of a log. This package decides with the help of a
// [Mark], which says how far a log was synced. The store keeps the newest mark
// in a file of its own and also writes marks into the log.
package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// Mark says that a log is on the disk up to an offset in bytes. It stays true
// for ever. The zero Mark says nothing.
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

// DecodeMark decodes the mark in b. It returns false if b is not exactly one
// whole mark.
func DecodeMark(b []byte) (Mark, bool) {
	if len(b) != MarkLen || string(b[:len(magic)]) != magic ||
		crc32.Checksum(b[:MarkLen-4], castagnoli) != binary.LittleEndian.Uint32(b[MarkLen-4:]) {
		return Mark{}, false
	}
	return Mark{Log: binary.LittleEndian.Uint64(b[4:]), Offset: binary.LittleEndian.Uint64(b[12:])}, true
}

// After reports whether m covers more than other.
func (m Mark) After(other Mark) bool {
	return m.Log > other.Log || m.Log == other.Log && m.Offset > other.Offset
}

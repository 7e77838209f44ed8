package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// The layout of a log, as Pebble's package record documents it: blocks of 32
// KiB that hold chunks. A chunk is a checksum (4 bytes), a length (2), a type
// (1), the number of the log (4), and a payload. In the newer form, the offset
// up to which the log was synced (8) precedes the payload. A record is one
// chunk or several.
const (
	blockSize     = 32 << 10
	legacyHeader  = 7
	numberHeader  = 11
	syncedHeader  = 19
	trailerType   = 5 // with the number of the next log
	positionFull  = 1
	positionFirst = 2
	positionLast  = 4
)

// verdict says what a log has at an offset.
type verdict int

const (
	invalid verdict = iota
	chunkHere
	padding // nothing but padding up to the end of the block
	zeros   // nothing was written here
	trailer // the regular end of the log
	ended   // the end of the file
)

// chunk is one intact chunk.
type chunk struct {
	from, to int // offsets in the log, including the header
	position int // the chunk's position in its record
	synced   uint64
	payload  []byte
}

// at returns what a log has at an offset.
func at(data []byte, offset int, log uint64) (verdict, chunk) {
	if offset >= len(data) {
		return ended, chunk{}
	}
	block := data[offset:min(len(data), offset-offset%blockSize+blockSize)]
	if len(block) < legacyHeader {
		if (offset+len(block))%blockSize == 0 {
			return padding, chunk{}
		}
		return invalid, chunk{} // the file was cut off
	}
	sum, length, typ := binary.LittleEndian.Uint32(block), int(binary.LittleEndian.Uint16(block[4:])), block[6]
	if sum == 0 && length == 0 && typ == 0 {
		if len(block) < syncedHeader && allZero(block) {
			return padding, chunk{}
		}
		return zeros, chunk{}
	}
	header, position := form(typ)
	if header == 0 || len(block) < header {
		return invalid, chunk{}
	}
	if header > legacyHeader {
		number := binary.LittleEndian.Uint32(block[7:])
		if sum == 0 && length == 0 && typ == trailerType && number == uint32(log)+1 {
			return trailer, chunk{}
		}
		if number != uint32(log) {
			return invalid, chunk{}
		}
	}
	if header+length > len(block) || checksum(block[6:header+length]) != sum {
		return invalid, chunk{}
	}
	c := chunk{from: offset, to: offset + header + length, position: position, payload: block[header : header+length]}
	if header == syncedHeader {
		c.synced = binary.LittleEndian.Uint64(block[numberHeader:])
	}
	return chunkHere, c
}

// form returns the header length and the position that a chunk type stands for.
// It returns 0 if the type does not exist.
func form(typ byte) (header, position int) {
	if typ < 1 || typ > 12 {
		return 0, 0
	}
	return [...]int{legacyHeader, numberHeader, syncedHeader}[(typ-1)/4], int(typ-1)%4 + 1
}

// checksum is the checksum of Pebble's logs and tables.
func checksum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

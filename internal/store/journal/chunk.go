package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// The layout of a log, as package record of Pebble documents it: blocks of
// 32 KiB that hold chunks. A chunk is a checksum (4 bytes), a length (2), a
// type (1), the number of the log (4), in the newer form the offset up to which
// the log was synced (8), and a payload. A record is one chunk or several.
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

// verdict is what is at a place of a log.
type verdict int

const (
	invalid verdict = iota
	chunkHere
	padding // nothing up to the end of the block
	zeros   // nothing was written here
	trailer // the regular end of the log
	ended   // so does the file
)

// chunk is one intact chunk.
type chunk struct {
	from, to int // in the log, the header included
	position int // of the chunk in its record
	synced   uint64
	payload  []byte
}

// at looks at what is at an offset of a log.
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

// form returns the length of the header and the position of a type of chunk, 0
// if there is no such type.
func form(typ byte) (header, position int) {
	if typ < 1 || typ > 12 {
		return 0, 0
	}
	return [...]int{legacyHeader, numberHeader, syncedHeader}[(typ-1)/4], int(typ-1)%4 + 1
}

// checksum is that of Pebble's logs and tables.
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

package client

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
)

// A record is a command in a segment:
//
//	4 bytes  length of the command, little-endian; never 0, so that a tail of zeros is no record
//	4 bytes  CRC-32C of the length's bytes and the command
//	…        the command
const (
	recordHead = 8
	maxRecord  = maxDataBytes + 1<<10
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errDamaged = errors.New("the record is damaged, or not whole")
)

func recordSize(command []byte) int64 { return int64(recordHead + len(command)) }

func appendRecord(b, command []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(command)))
	sum := crc32.Update(crc32.Checksum(b[len(b)-4:], castagnoli), castagnoli, command)
	b = binary.LittleEndian.AppendUint32(b, sum)
	return append(b, command...)
}

// readRecord returns the command at an offset. The error is [io.EOF] at the end
// of the file, and errDamaged if the bytes are not a record.
func readRecord(f io.ReaderAt, off int64) ([]byte, error) {
	var head [recordHead]byte
	n, err := f.ReadAt(head[:], off)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.Is(err, io.EOF):
		return nil, errDamaged
	case err != nil:
		return nil, err
	}
	length := binary.LittleEndian.Uint32(head[:])
	if length == 0 || length > maxRecord {
		return nil, errDamaged
	}
	command := make([]byte, length)
	if _, err := f.ReadAt(command, off+recordHead); errors.Is(err, io.EOF) {
		return nil, errDamaged
	} else if err != nil {
		return nil, err
	}
	sum := crc32.Update(crc32.Checksum(head[:4], castagnoli), castagnoli, command)
	if sum != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errDamaged
	}
	return command, nil
}

// countFrom counts the records from a damaged one on: that one, and the intact
// ones after it. The result is at least 1.
func countFrom(f io.ReaderAt, off int64) (uint64, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, off, segmentBytes+2*maxRecord)) // no segment is larger
	n := uint64(1)
	for at := 1; at < len(b); {
		size := wholeRecord(b[at:])
		at += max(size, 1)
		if size > 0 {
			n++
		}
	}
	return n, err
}

// wholeRecord returns the size of the record at the beginning of b, or 0 if b
// does not begin with one. Inside the text of a command it would read four
// letters as a length, which is too large.
func wholeRecord(b []byte) int {
	if len(b) < recordHead {
		return 0
	}
	length := int(binary.LittleEndian.Uint32(b))
	if length == 0 || length > min(maxRecord, len(b)-recordHead) {
		return 0
	}
	size := recordHead + length
	if crc32.Update(crc32.Checksum(b[:4], castagnoli), castagnoli, b[recordHead:size]) != binary.LittleEndian.Uint32(b[4:]) {
		return 0
	}
	return size
}

// position is a place between two records.
type position struct {
	segment uint64
	offset  int64
}

// cursorFile keeps a position in two slots that are written in turn. If a crash
// spoils one slot, its checksum fails, and the other slot still holds the
// previous position.
//
//	8 bytes  number of the writing
//	8 bytes  segment
//	8 bytes  offset
//	4 bytes  CRC-32C of these
type cursorFile struct {
	f      *os.File
	last   position
	number uint64
}

const (
	slotBytes = 28
	slotStep  = 512 // one sector each
)

func openCursor(path string) (*cursorFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, ownerFile)
	if err != nil {
		return nil, err
	}
	c := &cursorFile{f: f}
	for slot := range int64(2) {
		var b [slotBytes]byte
		if _, err := f.ReadAt(b[:], slot*slotStep); err != nil && !errors.Is(err, io.EOF) {
			return nil, errors.Join(err, f.Close())
		}
		sum := crc32.Checksum(b[:24], castagnoli)
		number := binary.LittleEndian.Uint64(b[:])
		if sum == binary.LittleEndian.Uint32(b[24:]) && number > c.number {
			c.number = number
			c.last = position{binary.LittleEndian.Uint64(b[8:]), int64(binary.LittleEndian.Uint64(b[16:]))}
		}
	}
	return c, nil
}

func (c *cursorFile) write(p position) error {
	if p == c.last {
		return nil
	}
	c.number++
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, slotBytes), c.number)
	b = binary.LittleEndian.AppendUint64(b, p.segment)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.offset))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := c.f.WriteAt(b, int64(c.number%2)*slotStep); err != nil {
		return err
	}
	c.last = p
	return nil
}

func (c *cursorFile) close() error { return c.f.Close() }

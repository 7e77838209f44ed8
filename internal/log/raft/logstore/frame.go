package logstore

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A segment is a file: a prologue, and frames. The prologue is 8 bytes of magic
// and 8 random bytes, the salt. A frame holds one change, and frames that are
// written together take effect together. It has
//
//	4 bytes  the length of its content
//	4 bytes  where in the file the first frame begins that was written with it
//	1 byte   the kind of change
//	1 byte   1: the last frame that was written with it
//	2 bytes  frameMagic
//	4 bytes  CRC-32C of the salt, the frame's place, the bytes above and the content
//	         the content
//
// Numbers are little-endian. Since each write is synced before the next one
// begins, a whole frame proves that everything before the first frame of its
// write is on the disk.
const (
	segmentMagic  = "twRaft1\n"
	prologueBytes = len(segmentMagic) + 8
	frameBytes    = 16
)

var (
	frameMagic = [2]byte{0xf7, 0xc3}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// kind is the kind of a change.
type kind byte

// The kinds of change, and what their frames contain.
const (
	kindHead    kind = iota + 1 // what the store holds so far: see head; the first frame of each segment
	kindEntry                   // 8 bytes with the index, and the record: the entry follows the last one
	kindReplace                 // the same: it replaces the first entry
	kindMeta                    // as a varint the length of a name, the name, and a value
	kindAfter                   // 8 bytes with an index, 8 with the bytes before it: no entry from this one on
	kindBefore                  // 8 bytes with an index: no entry before this one
	kindEmpty                   // nothing: no entries
)

const flagLast = 1

// frame is a frame as it was read. Its content is a part of the file's.
type frame struct {
	kind    kind
	last    bool
	base    uint32
	content []byte
}

// size is how many bytes the frame has in its file.
func (f *frame) size() int { return frameBytes + len(f.content) }

// checksum returns the checksum of a frame at a place of a segment.
func checksum(salt uint64, at uint32, b []byte) uint32 {
	var where [12]byte
	binary.LittleEndian.PutUint64(where[:], salt)
	binary.LittleEndian.PutUint32(where[8:], at)
	sum := crc32.Update(0, castagnoli, where[:])
	sum = crc32.Update(sum, castagnoli, b[:12])
	return crc32.Update(sum, castagnoli, b[frameBytes:])
}

// parse reads the frame at a place of a segment. It returns false if there is
// no whole one.
func parse(salt uint64, segment []byte, at int) (f frame, ok bool) {
	return parseAt(salt, segment[min(at, len(segment)):], uint32(at))
}

// parseAt reads the frame with which b begins, and which is at a place of its
// segment.
func parseAt(salt uint64, b []byte, at uint32) (f frame, ok bool) {
	if len(b) < frameBytes {
		return f, false
	}
	n := binary.LittleEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-frameBytes) || [2]byte(b[10:]) != frameMagic {
		return f, false
	}
	b = b[:frameBytes+int(n)]
	f = frame{kind: kind(b[8]), last: b[9] == flagLast, base: binary.LittleEndian.Uint32(b[4:]), content: b[frameBytes:]}
	return f, f.base <= at && checksum(salt, at, b) == binary.LittleEndian.Uint32(b[12:])
}

// proven reports whether a segment has a frame that proves that the bytes at a
// place were synced: a whole one of a later write.
func proven(salt uint64, segment []byte, at int) bool {
	for from := at; ; {
		i := bytes.Index(segment[from:], frameMagic[:])
		if i < 0 {
			return false
		}
		from += i + 1
		start := from - 1 - 10
		if start < at || len(segment)-start < frameBytes {
			continue
		}
		if base := int(binary.LittleEndian.Uint32(segment[start+4:])); base <= at || base > start {
			continue
		}
		if _, ok := parse(salt, segment, start); ok {
			return true
		}
	}
}

// batch is changes that are written together.
type batch struct {
	salt    uint64
	base    uint32 // where it begins in its segment
	buf     []byte
	changes []change
}

// change is one of them.
type change struct {
	kind  kind
	index uint64 // of an entry, or where the log ends or begins
	end   uint64 // bytes of the log up to the entry, or before the end
	at    place  // of an entry
	name  string // of what is set
	value []byte
}

// add adds a change. content appends the content of its frame.
func (b *batch) add(c change, content func([]byte) []byte) {
	start := len(b.buf)
	var empty [frameBytes]byte
	b.buf = content(append(b.buf, empty[:]...))
	f := b.buf[start:]
	binary.LittleEndian.PutUint32(f, uint32(len(f)-frameBytes))
	binary.LittleEndian.PutUint32(f[4:], b.base)
	f[8] = byte(c.kind)
	copy(f[10:], frameMagic[:])
	c.at = place{offset: b.base + uint32(start), size: uint32(len(f))}
	b.changes = append(b.changes, c)
}

// finish completes the frames.
func (b *batch) finish() []byte {
	for i := range b.changes {
		at := b.changes[i].at
		f := b.buf[at.offset-b.base:][:at.size]
		if i == len(b.changes)-1 {
			f[9] = flagLast
		}
		binary.LittleEndian.PutUint32(f[12:], checksum(b.salt, at.offset, f))
	}
	return b.buf
}

func (b *batch) entry(k kind, r *record) {
	b.add(change{kind: k, index: r.log.Index, end: r.before + r.size()}, func(to []byte) []byte {
		return r.append(binary.LittleEndian.AppendUint64(to, r.log.Index))
	})
}

func (b *batch) set(name string, value []byte) {
	b.add(change{kind: kindMeta, name: name, value: bytes.Clone(value)}, func(to []byte) []byte {
		return append(append(binary.AppendUvarint(to, uint64(len(name))), name...), value...)
	})
}

// after removes the entries from an index on, before which the log has end
// bytes.
func (b *batch) after(index, end uint64) {
	b.add(change{kind: kindAfter, index: index, end: end}, func(to []byte) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(to, index), end)
	})
}

// before removes the entries before an index.
func (b *batch) before(index uint64) {
	b.add(change{kind: kindBefore, index: index}, func(to []byte) []byte { return binary.LittleEndian.AppendUint64(to, index) })
}

// empty removes all entries.
func (b *batch) empty() {
	b.add(change{kind: kindEmpty}, func(to []byte) []byte { return to })
}

// changeOf reads the change in a frame.
func changeOf(f *frame) (c change, err error) {
	c.kind = f.kind
	b := f.content
	number := func() (n uint64) {
		if len(b) < 8 {
			err = errRecord
			return 0
		}
		n, b = binary.LittleEndian.Uint64(b), b[8:]
		return n
	}
	switch f.kind {
	case kindEntry, kindReplace:
		c.index = number()
		r, rest, _, failed := decodeHead(b)
		if err == nil {
			err = failed
		}
		c.end = r.before + uint64(len(rest))
		return c, err
	case kindMeta:
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return c, errRecord
		}
		c.name, c.value = string(b[used:used+int(n)]), bytes.Clone(b[used+int(n):])
		return c, nil
	case kindAfter:
		c.index, c.end = number(), number()
	case kindBefore:
		c.index = number()
	case kindEmpty:
	default:
		return c, errRecord
	}
	if len(b) > 0 {
		err = errRecord
	}
	return c, err
}

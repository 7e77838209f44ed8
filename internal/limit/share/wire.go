package share

import (
	"encoding/binary"
	"errors"
	"io"
)

// A connection carries one frame after another, each answered before the next
// is sent. A frame is a byte with the version, two bytes with the number of
// asks, and the asks, of 45 bytes each. The answer is the same with four bytes
// for each ask: how many calls were lent. A frame without asks is a ping.

const (
	version  = 1
	maxAsks  = 256 // in a frame
	header   = 3
	askBytes = 45
	lentSize = 4
)

var errFrame = errors.New("a frame of another version, or a damaged one")

// Ask asks another server to lend calls of one caller.
type Ask struct {
	Policy      uint64 // identifies the policy, and what it counts by
	Range       bool   // the caller is a wider IPv6 range
	Hi, Lo, Sub uint64 // identify the caller
	Limit       uint32 // of the caller, for all servers together
	Most        uint32 // calls to lend, at most
	Left        uint32 // ms until the caller's window ends at the borrower
}

func (a *Ask) append(b []byte) []byte {
	kind := byte(0)
	if a.Range {
		kind = 1
	}
	b = append(binary.BigEndian.AppendUint64(b, a.Policy), kind)
	for _, v := range [...]uint64{a.Hi, a.Lo, a.Sub} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	for _, v := range [...]uint32{a.Limit, a.Most, a.Left} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// parseAsk reads an ask of askBytes bytes.
func parseAsk(b []byte) (a Ask, err error) {
	if b[8] > 1 {
		return a, errFrame
	}
	word, half := binary.BigEndian.Uint64, binary.BigEndian.Uint32
	return Ask{word(b), b[8] == 1, word(b[9:]), word(b[17:]), word(b[25:]), half(b[33:]), half(b[37:]), half(b[41:])}, nil
}

func appendHeader(b []byte, n int) []byte {
	return binary.BigEndian.AppendUint16(append(b, version), uint16(n))
}

// readFrame reads a frame whose parts have this size, into buf if it is large
// enough. The parts are valid until buf is used again.
func readFrame(r io.Reader, buf []byte, size int) (parts []byte, n int, err error) {
	buf = append(buf[:0], make([]byte, header)...)
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, 0, err
	}
	n = int(binary.BigEndian.Uint16(buf[1:]))
	if buf[0] != version || n > maxAsks {
		return nil, 0, errFrame
	}
	parts = append(buf[:0], make([]byte, n*size)...)
	_, err = io.ReadFull(r, parts)
	return parts, n, err
}

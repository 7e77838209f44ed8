package logstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// place is where a frame is. The zero place is nowhere.
type place struct{ segment, offset, size uint32 }

// state is what a store holds, without the entries themselves.
type state struct {
	first, last uint64 // indexes; 0: the log is empty
	end         uint64 // bytes of all entries up to the last one, since the log began
	places      []place
	meta        map[string][]byte
}

// apply carries out a change. An error means that the change cannot follow what
// is there.
func (s *state) apply(c *change) error {
	impossible := func() error {
		return fmt.Errorf("%w: change %d about entry %d, while it has the entries %d to %d", errRecord, c.kind, c.index, s.first, s.last)
	}
	switch c.kind {
	case kindEntry:
		if s.last != 0 && c.index != s.last+1 || c.index == 0 {
			return impossible()
		}
		if s.first == 0 {
			s.first = c.index
		}
		s.last, s.end, s.places = c.index, c.end, append(s.places, c.at)
	case kindReplace:
		if _, ok := s.place(c.index); !ok {
			return impossible()
		}
		s.places[c.index-s.first] = c.at
	case kindMeta:
		s.meta[c.name] = c.value
	case kindAfter:
		if c.index <= s.first || c.index > s.last {
			return impossible()
		}
		s.last, s.end, s.places = c.index-1, c.end, s.places[:c.index-s.first]
	case kindBefore:
		if c.index <= s.first || c.index > s.last || s.first == 0 {
			return impossible()
		}
		s.places = slices.Clone(s.places[c.index-s.first:])
		s.first = c.index
	case kindEmpty:
		s.first, s.last, s.end, s.places = 0, 0, 0, nil
	default:
		return impossible()
	}
	return nil
}

// place returns where an entry is.
func (s *state) place(index uint64) (at place, ok bool) {
	if s.first == 0 || index < s.first || index > s.last {
		return at, false
	}
	return s.places[index-s.first], true
}

// headVersion is the first byte of a head.
const headVersion = 1

// appendHead appends the content of the first frame of a segment: the segment's
// number, how many bytes of the segment before it count, and what the store
// holds where this one begins.
func (s *state) appendHead(b []byte, number uint32, before int) []byte {
	b = append(b, headVersion)
	for _, n := range []uint64{uint64(number), uint64(before), s.first, s.last, s.end, uint64(len(s.meta))} {
		b = binary.AppendUvarint(b, n)
	}
	for _, name := range slices.Sorted(maps.Keys(s.meta)) {
		value := s.meta[name]
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
		b = append(binary.AppendUvarint(b, uint64(len(value))), value...)
	}
	return b
}

// head is the content of the first frame of a segment.
type head struct {
	number uint32
	before int // bytes of the segment before it that count
	state  state
}

// decodeHeadFrame reads what [state.appendHead] has appended. The entries have
// no places.
func decodeHeadFrame(b []byte) (h head, err error) {
	if len(b) == 0 || b[0] != headVersion {
		return h, fmt.Errorf("%w: the head of a segment", errRecord)
	}
	b = b[1:]
	var bad bool
	number := func() uint64 {
		n, used := binary.Uvarint(b)
		if used <= 0 {
			bad, b = true, nil
			return 0
		}
		b = b[used:]
		return n
	}
	text := func() []byte {
		n := number()
		if n > uint64(len(b)) {
			bad, b = true, nil
			return nil
		}
		t := bytes.Clone(b[:n])
		b = b[n:]
		return t
	}
	h.number, h.before = uint32(number()), int(number())
	h.state = state{first: number(), last: number(), end: number(), meta: make(map[string][]byte)}
	for range min(number(), uint64(len(b))) {
		name := text()
		h.state.meta[string(name)] = append([]byte{}, text()...)
	}
	if bad || len(b) > 0 || h.state.first > h.state.last {
		return h, fmt.Errorf("%w: the head of a segment", errRecord)
	}
	return h, nil
}

// equal reports whether a head says what the segments before it say.
func (s *state) equal(other *state) bool {
	return s.first == other.first && s.last == other.last && s.end == other.end && maps.EqualFunc(s.meta, other.meta, bytes.Equal)
}

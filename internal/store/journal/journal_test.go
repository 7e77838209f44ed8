package journal

import (
	"encoding/binary"
	"testing"
)

// TestMark: a mark survives a round trip, and no other text is taken for one.
func TestMark(t *testing.T) {
	t.Parallel()
	want := Mark{Log: 17, Offset: 1 << 40}
	b := want.Append(nil)
	if got, ok := DecodeMark(b); !ok || got != want || len(b) != MarkLen {
		t.Errorf("got %v, %v, %d bytes", got, ok, len(b))
	}
	for i := range 8 * len(b) {
		b[i/8] ^= 1 << (i % 8)
		if got, ok := DecodeMark(b); ok {
			t.Errorf("with bit %d flipped it is %v", i, got)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	for i := range b {
		if _, ok := DecodeMark(b[:i]); ok {
			t.Errorf("its first %d bytes are a mark", i)
		}
	}
	for _, c := range []struct {
		a, b Mark
		want bool
	}{{Mark{1, 5}, Mark{1, 5}, false}, {Mark{1, 6}, Mark{1, 5}, true}, {Mark{2, 0}, Mark{1, 5}, true}, {Mark{1, 9}, Mark{2, 0}, false}} {
		if got := c.a.After(c.b); got != c.want {
			t.Errorf("%v after %v: %v", c.a, c.b, got)
		}
	}
}

// written returns a log of records that contain only their numbers, and the end
// of each.
func written(log uint32, records int, synced uint64) (data []byte, ends []int) {
	for i := range records {
		payload := binary.LittleEndian.AppendUint64(nil, uint64(i))
		c := binary.LittleEndian.AppendUint16(make([]byte, 4), uint16(len(payload)))
		c = append(c, 9) // full, with the offset
		c = binary.LittleEndian.AppendUint32(c, log)
		c = binary.LittleEndian.AppendUint64(c, synced)
		c = append(c, payload...)
		binary.LittleEndian.PutUint32(c, checksum(c[6:]))
		data = append(data, c...)
		ends = append(ends, len(data))
	}
	return data, ends
}

// TestCheck: the result depends on how far the log was synced, and on what
// follows a gap.
func TestCheck(t *testing.T) {
	t.Parallel()
	whole, ends := written(7, 5, 0)
	trailer := []byte{0, 0, 0, 0, 0, 0, 5, 8, 0, 0, 0}
	spoiled := func(at int, b []byte) []byte {
		b = append([]byte(nil), b...)
		b[at] ^= 1
		return b
	}
	proves, _ := written(7, 5, uint64(ends[2]))
	end := int64(ends[4])
	for name, c := range map[string]struct {
		data    []byte
		known   Mark
		older   bool // there is a newer log
		intact  int64
		damaged bool
		torn    bool
	}{
		"whole":                        {data: whole, intact: end},
		"whole, all synced":            {data: whole, known: Mark{7, uint64(end)}, intact: end},
		"another log was synced":       {data: whole, known: Mark{8, 1 << 20}, intact: end},
		"cut off":                      {data: whole[:ends[3]], known: Mark{7, uint64(end)}, intact: int64(ends[3]), damaged: true},
		"cut off, not synced":          {data: whole[:ends[3]], known: Mark{7, uint64(ends[2])}, intact: int64(ends[3])},
		"a gap before what was synced": {data: spoiled(ends[1]+20, whole), known: Mark{7, uint64(ends[2])}, intact: int64(ends[1]), damaged: true},
		"a gap behind it":              {data: spoiled(ends[1]+20, whole), known: Mark{7, uint64(ends[1])}, intact: int64(ends[1]), torn: true},
		"a gap, and a later proof":     {data: spoiled(ends[1]+20, proves), intact: int64(ends[1]), damaged: true, torn: true},
		"a proof that proves less":     {data: spoiled(ends[2]+20, proves), intact: int64(ends[2]), torn: true},
		"a wrong length":               {data: spoiled(ends[0]+5, proves), intact: int64(ends[0]), damaged: true, torn: true},
		"the next log's number":        {data: spoiled(ends[0]+7, spoiled(ends[0]+7, proves)), intact: end},
		"zeros behind":                 {data: append(append([]byte(nil), whole...), make([]byte, 1<<16)...), intact: end},
		"a trailer":                    {data: append(append([]byte(nil), whole...), trailer...), older: true, intact: end + 11},
		"a trailer is missing":         {data: whole, older: true, intact: end, damaged: true},
		"empty":                        {data: nil},
		"empty, and was not":           {data: nil, known: Mark{7, 1}, damaged: true},
	} {
		got := Check(c.data, 7, c.known, !c.older)
		if got.Intact != c.intact || (got.Damage != nil) != c.damaged || got.Torn != c.torn {
			t.Errorf("%s: got %+v, want intact %d, damaged %v, torn %v", name, got, c.intact, c.damaged, c.torn)
		}
	}
}

// FuzzCheck: Check accepts any bytes, and reports nothing intact beyond the
// data.
func FuzzCheck(f *testing.F) {
	whole, _ := written(7, 3, 10)
	f.Add(whole, uint64(10))
	f.Add(whole[:30], uint64(100))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, synced uint64) {
		for _, last := range []bool{true, false} {
			r := Check(data, 7, Mark{7, synced}, last)
			if r.Whole > r.Intact || r.Intact > int64(len(data)) || r.Damage == nil && synced > uint64(r.Intact) {
				t.Errorf("got %+v", r)
			}
			Records(data, 7, 0, func(_, _ []byte) {})
		}
	})
}

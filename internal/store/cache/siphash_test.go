package cache

import (
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// TestSiphash: results are those of the reference program
// (https://github.com/veorq/SipHash, vectors.h), for the key 00 01 … 0f and the
// text 00 01 … of each length.
func TestSiphash(t *testing.T) {
	t.Parallel()
	want := map[int]string{
		0:  "a3817f04ba25a8e66df67214c7550293",
		1:  "da87c1d86b99af44347659119b22fc45",
		2:  "8177228da4a45dc7fca38bdef60affe4",
		7:  "a1f1ebbed8dbc153c0b84aa61ff08239",
		8:  "3b62a9ba6258f5610f83e264f31497b4",
		15: "5493e99933b0a8117e08ec0f97cfc3d9",
		63: "5150d1772f50834a503e069a973fbd7c",
	}
	key, text := make([]byte, 16), make([]byte, 64)
	for i := range key {
		key[i] = byte(i)
	}
	for i := range text {
		text[i] = byte(i)
	}
	for n, want := range want {
		lo, hi := siphash(binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[8:]), text[:n])
		got := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, lo), hi)
		if hex.EncodeToString(got) != want {
			t.Errorf("%d bytes: got %x, want %s", n, got, want)
		}
	}
}

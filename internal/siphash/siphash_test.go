package siphash_test

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"trackway/internal/siphash"
)

// counting returns the bytes 0, 1, 2 and so on.
func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// TestSum128: results are those of the reference program
// (https://github.com/veorq/SipHash, vectors.h), for the key 00 01 … 0f and the
// text 00 01 … of each length.
func TestSum128(t *testing.T) {
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
	key := siphash.KeyOf([siphash.KeyBytes]byte(counting(siphash.KeyBytes)))
	for n, want := range want {
		lo, hi := key.Sum128(counting(n))
		got := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, lo), hi)
		if hex.EncodeToString(got) != want {
			t.Errorf("%d bytes: got %x, want %s", n, got, want)
		}
	}
}

// TestSum64: results are those of CPython 3.11, which hashes bytes with
// SipHash-1-3. PYTHONHASHSEED=42 gives it this key. The texts are 00 01 … of
// each length.
func TestSum64(t *testing.T) {
	t.Parallel()
	bytes, err := hex.DecodeString("af90cd68d34f50dcc1e999fe9fbb20b9")
	if err != nil {
		t.Fatal(err)
	}
	key := siphash.KeyOf([siphash.KeyBytes]byte(bytes))
	for n, want := range map[int]uint64{
		1: 0xce880c366bcf3489, 7: 0xce280fabc397fbda, 8: 0x60866c3c108c6afb, 9: 0x68814005f7469e03,
		15: 0x94ace24d68c18cf8, 16: 0x339176f3ac59ce05, 63: 0x06e24d6f0d014c37, 350: 0x0ecb912f872a7c82,
	} {
		if got := key.Sum64(counting(n)); got != want {
			t.Errorf("%d bytes: got %x, want %x", n, got, want)
		}
	}
}

// Package siphash hashes short texts under a secret key, so that nobody who
// lacks the key can make two texts with the same hash (Aumasson and Bernstein,
// "SipHash: a fast short-input PRF", 2012).
package siphash

import (
	"encoding/binary"
	"math/bits"
)

// Key is a secret. The zero value is as good as any other that everybody knows.
type Key [2]uint64

// KeyBytes is the size of a key.
const KeyBytes = 16

// KeyOf returns the key with these bytes.
func KeyOf(b [KeyBytes]byte) Key {
	return Key{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}

// The initial state, before the key is added.
const (
	init0 = 0x736f6d6570736575
	init1 = 0x646f72616e646f6d
	init2 = 0x6c7967656e657261
	init3 = 0x7465646279746573
)

// Sum64 returns SipHash-1-3 of b with a result of 64 bits. It is for tables,
// where nobody sees the results.
func (k Key) Sum64(b []byte) uint64 {
	v0, v1, v2, v3 := k[0]^init0, k[1]^init1, k[0]^init2, k[1]^init3
	last := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		v0, v1, v2, v3 = round(v0, v1, v2, v3^w)
		v0 ^= w
	}
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	v0, v1, v2, v3 = round(v0, v1, v2, v3^last)
	v0, v2 = v0^last, v2^0xff
	for range 3 {
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

// Sum128 returns SipHash-2-4 of b with a result of 128 bits.
func (k Key) Sum128(b []byte) (lo, hi uint64) {
	v0, v1, v2, v3 := k[0]^init0, k[1]^init1^0xee, k[0]^init2, k[1]^init3
	last := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		v0, v1, v2, v3 = round(v0, v1, v2, v3^w)
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
		v0 ^= w
	}
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	v0, v1, v2, v3 = round(v0, v1, v2, v3^last)
	v0, v1, v2, v3 = round(v0, v1, v2, v3)
	v0, v2 = v0^last, v2^0xee
	for range 4 {
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
	}
	lo = v0 ^ v1 ^ v2 ^ v3
	v1 ^= 0xdd
	for range 4 {
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
	}
	return lo, v0 ^ v1 ^ v2 ^ v3
}

func round(v0, v1, v2, v3 uint64) (_, _, _, _ uint64) {
	v0 += v1
	v2 += v3
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 = bits.RotateLeft64(v0, 32) + v3
	v2 += v1
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	return v0, v1, bits.RotateLeft64(v2, 32), v3
}

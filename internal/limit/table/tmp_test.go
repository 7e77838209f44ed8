package table

import (
	"encoding/binary"
	"hash/maphash"
	"testing"
)

var sink uint64

func BenchmarkKey(b *testing.B) {
	t := New(100)
	for i := range uint64(b.N) {
		sink += uint64(t.Key(1, 0, i, 0))
	}
}
func BenchmarkKeyBytes(b *testing.B) {
	t := New(100)
	for i := range uint64(b.N) {
		var x [32]byte
		binary.LittleEndian.PutUint64(x[0:], 1)
		binary.LittleEndian.PutUint64(x[8:], 0)
		binary.LittleEndian.PutUint64(x[16:], i)
		binary.LittleEndian.PutUint64(x[24:], 0)
		sink += maphash.Bytes(t.seed, x[:])
	}
}
func BenchmarkKey2(b *testing.B) {
	t := New(100)
	for i := range uint64(b.N) {
		sink += maphash.Comparable(t.seed, [2]uint64{1, i})
	}
}
func BenchmarkKey1(b *testing.B) {
	t := New(100)
	for i := range uint64(b.N) {
		sink += maphash.Comparable(t.seed, i)
	}
}
func BenchmarkHotNoHash(b *testing.B) {
	t := New(1e6)
	r := Fixed(MaxLimit, 60e3)
	k := t.Key(1, 2, 3, 4)
	for i := range int64(b.N) {
		t.Take(i, k, 1, &r)
	}
}
func BenchmarkRefNoHash(b *testing.B) {
	t := New(1e6)
	r := Fixed(1, 60e3)
	k := t.Key(1, 2, 3, 4)
	for i := range int64(b.N) {
		t.Take(i, k, 1, &r)
	}
}

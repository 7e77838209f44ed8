package body

import (
	"slices"
	"sync"
	"unsafe"
)

// sizes are those of the buffers that are used again. A body that is not small,
// or of unknown length, begins in the first two, and a larger one may replace
// them. The others hold whole bodies, up to the largest light one. Without
// these, half of a busy server's garbage would be bodies. Smaller bodies make
// little of it, and larger ones are rare and would keep much memory.
//
// The promise of [Body.receive] stays true: the buffer that comes after one of
// 12 KiB has at most 48 KiB.
var sizes = [...]int{firstRead, 4 * firstRead, 16 << 10, 24 << 10, 32 << 10, 48 << 10, Light + 1}

// idle holds buffers that nothing refers to, by size: pointers to their first
// bytes. The garbage collector frees them if nobody takes them. They do not
// count as taken, and there are only as many as were taken a moment before.
var idle [len(sizes)]sync.Pool

// usual rounds the size of a buffer up, if it is between that of small bodies
// and that of large ones.
func usual(size int) int {
	if size <= 4*firstRead || size > Light+1 {
		return size
	}
	at, _ := slices.BinarySearch(sizes[:], size)
	return sizes[at]
}

// bufferOf returns an empty buffer of a size. Behind its end may be what
// another body has left there.
func bufferOf(size int) []byte {
	if at := slices.Index(sizes[:], size); at >= 0 {
		if first, ok := idle[at].Get().(*byte); ok {
			return unsafe.Slice(first, size)[:0] //nolint:gosec // G103: reuse has put it there, with this capacity
		}
	}
	return make([]byte, 0, size)
}

// leftOver is what tests find in a buffer that they should not look at any
// more.
const leftOver = 0xA5

// reuse lets another body use a buffer. REQUIRES: nothing refers to it any
// more, or it would see, and perhaps store, the data of another customer.
func reuse(b []byte) {
	at := slices.Index(sizes[:], cap(b))
	if at < 0 {
		return
	}
	if overwrites {
		b = b[:cap(b)]
		for i := range b {
			b[i] = leftOver
		}
	}
	idle[at].Put(unsafe.SliceData(b)) //nolint:gosec // G103: a pointer needs no memory of its own there
}

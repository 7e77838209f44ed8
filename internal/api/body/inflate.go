package body

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// inflater inflates what was sent into a buffer, in steps: each takes its
// memory first, and the first byte over the bound is the last one. Beyond
// Light bytes it needs a place: the error is errNoPlace if no place is free at
// once.
type inflater func(b *Body, sent []byte, into *buffer) error

var errNoPlace = errors.New("body: no place")

// inflaterOf returns what decodes a Content-Encoding (RFC 9110, section 8.4),
// nil if there is nothing to decode.
func inflaterOf(coding string) (inflater, error) {
	switch strings.ToLower(coding) {
	case "", "identity":
		return nil, nil //nolint:nilnil // neither is there
	case "gzip", "x-gzip":
		return inflateGzip, nil
	case "zstd":
		return inflateZstd, nil
	case "deflate":
		return inflateDeflate, nil
	}
	return nil, errCoding
}

// enterLarge waits for a place among the large bodies.
func (in *Intake) enterLarge(ctx context.Context, who netip.Addr) bool {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errBusy)
	defer cancel()
	return in.Large.Enter(ctx, who)
}

// firstStep is how much room is made before anything is inflated: texts
// shrink to a quarter, usually.
func (u *buffer) firstStep(sent []byte) int {
	return min(max(firstRead, 4*len(sent)), Light+1, u.most+1)
}

// maxRatio is how many times what was sent a body may have, inflated, once it
// is large. JSON of tracking shrinks to a twentieth at best, and gzip can make
// a thousandth of what is all the same: work that costs its sender nothing.
const maxRatio = 100

// more makes room for the next step, which may need a place.
func (b *Body) more(u *buffer, sent []byte) error {
	if cap(u.b) <= Light {
		return u.grow(min(next(cap(u.b)), Light+1)) // one more tells that it is large
	}
	if cap(u.b)/maxRatio > len(sent) {
		return errInflated
	}
	if !b.large && !b.in.Large.EnterAtOnce(b.who) {
		return errNoPlace
	}
	b.large = true
	return u.grow(next(cap(u.b)))
}

// decoderBytes is what a decoder of gzip or deflate takes: a window of 32 KiB
// and its tables.
const decoderBytes = 64 << 10

// readAll reads all of in, which takes decoderBytes.
func (b *Body) readAll(in io.Reader, sent []byte, u *buffer) error {
	if err := u.grow(u.firstStep(sent)); err != nil {
		return err
	}
	for {
		if len(u.b) == cap(u.b) {
			if err := b.more(u, sent); err != nil {
				return err
			}
		}
		n, err := in.Read(u.b[len(u.b):cap(u.b)])
		u.b = u.b[:len(u.b)+n]
		switch {
		case len(u.b) > u.most:
			return errOverBound
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// decoder decodes gzip, zlib or deflate from src.
type decoder struct {
	io.Reader // nil for zlib before its first text

	src bytes.Reader
}

// Decoders that are not in use. They are the garbage collector's to free.
var (
	gzips    = sync.Pool{New: func() any { return &decoder{Reader: new(gzip.Reader)} }}
	zlibs    = sync.Pool{New: func() any { return new(decoder) }}
	deflates = sync.Pool{New: func() any { return &decoder{Reader: flate.NewReader(bytes.NewReader(nil))} }}
)

// begin has the decoder decode what was sent.
func (d *decoder) begin(sent []byte) (err error) {
	d.src.Reset(sent)
	switch r := d.Reader.(type) {
	case nil:
		d.Reader, err = zlib.NewReader(&d.src)
	case *gzip.Reader:
		err = r.Reset(&d.src)
	case flate.Resetter: // of zlib, too
		err = r.Reset(&d.src, nil)
	}
	return err
}

// inflateWith inflates with a decoder out of a pool.
func inflateWith(pool *sync.Pool) inflater {
	return func(b *Body, sent []byte, into *buffer) error {
		if err := b.held.Take(decoderBytes); err != nil {
			return err
		}
		defer b.held.Give(decoderBytes)
		d := pool.Get().(*decoder) //nolint:forcetypeassert // of this pool
		defer pool.Put(d)
		defer d.src.Reset(nil) // which keeps nothing of what was sent
		if err := d.begin(sent); err != nil {
			return err
		}
		return b.readAll(d, sent, into)
	}
}

var (
	inflateGzip = inflateWith(&gzips)
	inflateZlib = inflateWith(&zlibs)
	inflateRaw  = inflateWith(&deflates)
)

// inflateDeflate takes both what "deflate" means (zlib, RFC 1950) and what many
// clients send under that name (RFC 1951 as it is): the first two bytes of zlib
// are a multiple of 31 and name method 8.
func inflateDeflate(b *Body, sent []byte, into *buffer) error {
	switch {
	case len(sent) < 2:
		return io.ErrUnexpectedEOF
	case sent[0]&0x0f == 8 && (int(sent[0])<<8|int(sent[1]))%31 == 0:
		return inflateZlib(b, sent, into)
	}
	return inflateRaw(b, sent, into)
}

// Memory of a zstd decoder that does not stream: blocks have up to 128 KiB.
const zstdBytes = 512 << 10

func newZstd(atOnce int) *zstd.Decoder {
	const window = 8 << 20 // no larger than RFC 9659 lets a client ask for
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(atOnce), zstd.WithDecoderMaxWindow(window),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic("bug: " + err.Error()) // of the options
	}
	return d
}

// inflateZstd inflates without a window of its own: what is inflated is the
// window, up to 8 MiB of it. If the buffer is too small it begins again with
// one twice as large, which costs as much again in all.
func inflateZstd(b *Body, sent []byte, into *buffer) error {
	if err := into.grow(into.firstStep(sent)); err != nil {
		return err
	}
	for {
		more, err := b.tryZstd(sent, into)
		switch {
		case err != nil:
			return err
		case more && cap(into.b) > into.most, len(into.b) > into.most:
			return errOverBound
		case !more:
			return nil
		}
		if err := b.more(into, sent); err != nil {
			return err
		}
	}
}

// tryZstd inflates as much as there is room for, and tells whether there is
// more.
func (b *Body) tryZstd(sent []byte, into *buffer) (more bool, err error) {
	spill := zstdBytes + cap(into.b)/4 // what is over goes there, before it ends
	if err := b.held.Take(spill); err != nil {
		return false, err
	}
	defer b.held.Give(spill)
	text, err := b.in.zstd().DecodeAll(sent, into.b[:0])
	switch {
	case isOverCap(err):
		return true, nil
	case err != nil:
		return false, err
	}
	into.b = append(into.b[:0], text...) // the decoder may have moved it
	return false, nil
}

// isOverCap tells whether an error of a zstd decoder is, or may be, that the
// text is longer than there is room for. If that is in the middle of a block
// there is no name for the error: a block that is damaged in this way is found
// when there is enough room for it.
func isOverCap(err error) bool {
	const inBlock = "output bigger than max block size"
	return errors.Is(err, zstd.ErrDecoderSizeExceeded) || err != nil && strings.HasPrefix(err.Error(), inBlock)
}

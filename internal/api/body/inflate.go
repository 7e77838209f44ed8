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

// inflater inflates sent bytes into a buffer, in steps. Each step first takes
// its memory, and the inflater stops after the first byte over the bound.
// Beyond Light bytes it needs a place. If no place is free at once, the error
// is errNoPlace.
type inflater func(b *Body, sent []byte, into *buffer) error

var errNoPlace = errors.New("body: no place")

// inflaterOf returns the function that decodes a Content-Encoding (RFC 9110,
// section 8.4), or nil if there is nothing to decode.
func inflaterOf(coding string) (inflater, error) {
	if isGzip(coding) {
		return inflateGzip, nil
	}
	switch strings.ToLower(coding) {
	case "", "identity":
		return nil, nil // neither is there
	case "zstd":
		return inflateZstd, nil
	case "deflate":
		return inflateDeflate, nil
	}
	return nil, errCoding
}

// isGzip reports whether a Content-Encoding is gzip.
func isGzip(coding string) bool {
	coding = strings.ToLower(coding)
	return coding == "gzip" || coding == "x-gzip"
}

// enterLarge waits for a place among the large bodies.
func (in *Intake) enterLarge(ctx context.Context, who netip.Addr) bool {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errBusy)
	defer cancel()
	return in.Large.Enter(ctx, who)
}

// firstStep is how much room is made before anything is inflated. Texts usually
// shrink to a quarter.
func (u *buffer) firstStep(sent []byte) int {
	return min(max(firstRead, 4*len(sent)), Light+1, u.most+1)
}

// maxRatio bounds the size of a large inflated body, as a multiple of what was
// sent. Tracking JSON shrinks to a twentieth at best, but gzip can shrink a
// text of equal bytes to a thousandth. Such a body would cost the server work
// and its sender nothing.
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

// decoderBytes is the memory of a decoder of gzip or deflate: a window of 32
// KiB, and tables.
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

// Decoders that are not in use. The garbage collector may free them.
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
		d := pool.Get().(*decoder) // of this pool
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

// inflateDeflate accepts both what "deflate" means (zlib, RFC 1950) and what
// many clients send under that name (plain RFC 1951). It recognizes zlib by the
// first two bytes, which are a multiple of 31 and name method 8.
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

// inflateZstd inflates without a window of its own: the inflated text serves as
// the window, up to 8 MiB. If the buffer is too small, it begins again with one
// twice as large. In all, that at most doubles the cost.
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

// tryZstd inflates as much as there is room for, and reports whether there is
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

// isOverCap reports whether an error of a zstd decoder means, or may mean, that
// the text does not fit into the buffer. If it ends in the middle of a block,
// the decoder has no name for that error. A damaged block may give the same
// error. It is then recognized when there is enough room.
func isOverCap(err error) bool {
	const inBlock = "output bigger than max block size"
	return errors.Is(err, zstd.ErrDecoderSizeExceeded) || err != nil && strings.HasPrefix(err.Error(), inBlock)
}

package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"trackway"
)

// maxBodiesInMemory bounds what all requests' bodies take together. Beyond it a request is told to come back (503), so that
// memory is bounded by this and not by the traffic.
const maxBodiesInMemory = 256 << 20

// room is how much memory bodies may still take.
type room struct {
	size int64
	used atomic.Int64
}

func (m *room) take(n int) bool {
	if m.used.Add(int64(n)) > m.size {
		m.used.Add(-int64(n))
		return false
	}
	return true
}

var (
	errNoRoom = &trackway.Error{Code: trackway.Overloaded, Msg: "The server has no room for this request at the moment. Try again."}
	errCoding = &trackway.Error{
		Code: trackway.Unsupported, Field: "Content-Encoding",
		Msg: "Field 'Content-Encoding': expected gzip, zstd or deflate, once.",
	}
	errMedia = &trackway.Error{
		Code: trackway.Unsupported, Field: "Content-Type",
		Msg: "Field 'Content-Type': expected application/json or text/plain.",
	}
)

func errTooLarge(most int) error {
	return &trackway.Error{Code: trackway.TooLarge, Msg: fmt.Sprintf("The body may have at most %d bytes, inflated.", most)}
}

// readBody reads and inflates the body, up to the route's maximum. release gives its room back, when the answer is sent; it
// is never nil. What cannot be taken is refused before it is read.
func (c *call) readBody() (release func(), err error) {
	release = func() {}
	if err := checkMedia(c.r.Header.Get("Content-Type")); err != nil {
		return release, err
	}
	if c.r.ContentLength > int64(c.route.maxBody) {
		return release, errTooLarge(c.route.maxBody)
	}
	c.taken = true
	in := io.Reader(c.r.Body)
	length := c.r.ContentLength // of the body as it will be in memory; -1: unknown
	if coding := c.r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		inflated, err := inflate(coding, in)
		if err != nil {
			return release, err
		}
		defer func() { _ = inflated.Close() }() // a reader; its errors were returned by Read
		in, length = inflated, -1
	}
	b := bodyReader{room: &c.room, most: c.route.maxBody}
	err = b.read(in, length)
	c.body = b.buf
	return func() { b.room.used.Add(-int64(cap(b.buf))) }, err
}

// checkMedia accepts what clients send JSON as; text/plain is what sendBeacon sends, the form type what curl -d does.
func checkMedia(contentType string) error {
	switch contentType {
	case "", "application/json":
		return nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return errMedia
	case media == "application/json", media == "text/plain", media == "application/x-www-form-urlencoded", strings.HasSuffix(media, "+json"):
		return nil
	}
	return errMedia
}

// inflate returns a reader of the decoded body (RFC 9110, section 8.4).
func inflate(coding string, body io.Reader) (io.ReadCloser, error) {
	switch strings.ToLower(coding) {
	case "gzip", "x-gzip":
		r, err := gzip.NewReader(body)
		if err != nil {
			return nil, badCoding(err)
		}
		return r, nil
	case "zstd":
		// One goroutine, and no window larger than RFC 9659 lets a client ask for.
		const window = 8 << 20
		r, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return nil, badCoding(err)
		}
		return r.IOReadCloser(), nil
	case "deflate":
		return inflateDeflate(body)
	}
	return nil, errCoding
}

// inflateDeflate takes both what "deflate" means (zlib, RFC 1950) and what many clients send under that name (RFC 1951 as it
// is): the first two bytes of zlib are a multiple of 31 and name method 8.
func inflateDeflate(body io.Reader) (io.ReadCloser, error) {
	var head [2]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		return nil, badCoding(err)
	}
	whole := io.MultiReader(bytes.NewReader(head[:]), body)
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		r, err := zlib.NewReader(whole)
		if err != nil {
			return nil, badCoding(err)
		}
		return r, nil
	}
	return flate.NewReader(whole), nil
}

// badCoding is the error for a body that is not what its Content-Encoding says, or that did not come whole.
func badCoding(err error) error {
	return &trackway.Error{Code: trackway.Invalid, Msg: "The body cannot be read: " + reason(err) + "."}
}

// reason says what is wrong with a body without repeating any of it.
func reason(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "it ends too early"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, zlib.ErrHeader), errors.Is(err, zstd.ErrMagicMismatch):
		return "it is not in the encoding that Content-Encoding names"
	}
	return "it is damaged, or did not come in time"
}

// bodyReader reads a body into memory that it takes from room as it grows.
type bodyReader struct {
	room *room
	most int
	buf  []byte
}

const firstRead = 4 << 10

// read reads all of in. A known length is taken at once, without growing.
func (b *bodyReader) read(in io.Reader, length int64) error {
	if length >= 0 && length <= int64(maxSmallBody) {
		if !b.grow(int(length)) {
			return errNoRoom
		}
		b.buf = b.buf[:length]
		if _, err := io.ReadFull(in, b.buf); err != nil {
			return badCoding(err)
		}
		return nil
	}
	for {
		if len(b.buf) == cap(b.buf) && !b.grow(max(firstRead, 2*cap(b.buf))) {
			return errNoRoom
		}
		n, err := in.Read(b.buf[len(b.buf):cap(b.buf)])
		b.buf = b.buf[:len(b.buf)+n]
		switch {
		case len(b.buf) > b.most:
			return errTooLarge(b.most)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return badCoding(err)
		}
	}
}

// grow gives buf this capacity.
func (b *bodyReader) grow(size int) bool {
	size = min(size, b.most+1) // one more than is accepted tells that there is more
	if !b.room.take(size - cap(b.buf)) {
		return false
	}
	grown := make([]byte, len(b.buf), size)
	copy(grown, b.buf)
	b.buf = grown
	return true
}

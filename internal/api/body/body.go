// Package body reads the bodies of requests: of the media types and encodings that clients use, inflated, up to a size, in memory that is
// taken from a bound which all of them share. Its one idea is that what cannot be taken is refused as early as it is seen: by its
// fields before any of it is read, by its size before it is inflated whole.
package body

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"trackway"
	"trackway/internal/api/room"
)

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

// Body is the body of a request that may be read: its fields say that it can be taken.
type Body struct {
	r       *http.Request
	most    int
	inflate func(io.Reader) (io.ReadCloser, error) // nil: it comes as it is
}

// Of returns the body of a request, of at most some bytes when it is inflated. It reads nothing. The error is a [*trackway.Error].
func Of(r *http.Request, most int) (Body, error) {
	if err := checkMedia(r.Header.Get("Content-Type")); err != nil {
		return Body{}, err
	}
	if r.ContentLength > int64(most) {
		return Body{}, errTooLarge(most)
	}
	inflate, err := inflater(r.Header.Get("Content-Encoding"))
	return Body{r: r, most: most, inflate: inflate}, err
}

// Read reads and inflates the body into memory out of m, for an address. release gives that back, when text is no longer used; it is
// never nil. The error is a [*trackway.Error].
func (b *Body) Read(m *room.Room, who netip.Addr) (text []byte, release func(), err error) {
	sent := reader{room: m, who: who, most: b.most}
	err = sent.read(b.r.Body, b.r.ContentLength)
	if err != nil || b.inflate == nil {
		return sent.buf, sent.release, err
	}
	defer sent.release()
	inflated := reader{room: m, who: who, most: b.most}
	err = inflated.inflate(b.inflate, sent.buf)
	return inflated.buf, inflated.release, err
}

// inflating bounds how many bodies are inflated at once: a decoder takes up to 8 MiB besides. It is held only while there
// is something to compute, for the body has come whole by then: nobody who sends slowly can hold it.
var inflating = make(chan struct{}, maxInflating)

const maxInflating = 8

func (b *reader) inflate(open func(io.Reader) (io.ReadCloser, error), sent []byte) error {
	inflating <- struct{}{}
	defer func() { <-inflating }()
	in, err := open(bytes.NewReader(sent))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // a reader; its errors were returned by Read
	return b.read(in, -1)
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

// inflater returns what decodes a Content-Encoding (RFC 9110, section 8.4), nil where there is nothing to decode.
func inflater(coding string) (func(io.Reader) (io.ReadCloser, error), error) {
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

func inflateGzip(body io.Reader) (io.ReadCloser, error) {
	r, err := gzip.NewReader(body)
	if err != nil {
		return nil, badCoding(err)
	}
	return r, nil
}

func inflateZstd(body io.Reader) (io.ReadCloser, error) {
	const window = 8 << 20 // no larger than RFC 9659 lets a client ask for
	r, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return nil, badCoding(err)
	}
	return r.IOReadCloser(), nil
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

// reader reads a body into memory that it takes from room as it grows.
type reader struct {
	room *room.Room
	who  netip.Addr // whose it is
	most int
	buf  []byte
}

// release gives the room back.
func (b *reader) release() {
	if cap(b.buf) > 0 {
		b.room.Release(b.who, cap(b.buf))
	}
}

// Sizes of what is taken at once: of a body of unknown length first, and of one that says how long it is.
const (
	firstRead = 4 << 10
	atOnce    = 64 << 10
)

// read reads all of in. A known length is taken at once, without growing.
func (b *reader) read(in io.Reader, length int64) error {
	if length >= 0 && length <= atOnce {
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
func (b *reader) grow(size int) bool {
	size = min(size, b.most+1) // one more than is accepted tells that there is more
	if !b.room.Take(b.who, size-cap(b.buf)) {
		return false
	}
	grown := make([]byte, len(b.buf), size)
	copy(grown, b.buf)
	b.buf = grown
	return true
}

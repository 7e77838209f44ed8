package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"trackway"
	"trackway/internal/clientip"
)

// maxBodiesInMemory bounds what all requests' bodies take together. Beyond it a request is told to come back (503), so that
// memory is bounded by this and not by the traffic. One address may take a share of it: whoever sends slowly, or a lot, has room
// refused to himself and to nobody else.
const (
	maxBodiesInMemory = 256 << 20
	shares            = 4 // so that a batch at its largest, 41 MB, has room
	addressBits       = 64
)

// room is how much memory bodies may still take.
type room struct {
	size int

	mu   sync.Mutex
	used int                  // in all
	by   map[clientip.Key]int // and by each address that has any
}

// take takes n bytes for an address, or none.
func (m *room) take(who clientip.Key, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > m.size || m.by[who]+n > m.size/shares {
		return false
	}
	if m.by == nil {
		m.by = make(map[clientip.Key]int)
	}
	m.used += n
	m.by[who] += n
	return true
}

// release gives n bytes back.
func (m *room) release(who clientip.Key, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
	if m.by[who] -= n; m.by[who] == 0 {
		delete(m.by, who)
	}
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
	inflate, err := inflater(c.r.Header.Get("Content-Encoding"))
	if err != nil {
		return release, err
	}
	c.taken = true
	sent := bodyReader{room: &c.room, who: clientip.KeyOf(c.ask.Addr, addressBits), most: c.route.maxBody}
	err = sent.read(c.r.Body, c.r.ContentLength)
	if err != nil || inflate == nil {
		c.body = sent.buf
		return sent.release, err
	}
	defer sent.release()
	body := bodyReader{room: sent.room, who: sent.who, most: sent.most}
	err = body.inflate(inflate, sent.buf)
	c.body = body.buf
	return body.release, err
}

// inflating bounds how many bodies are inflated at once: a decoder takes up to 8 MiB besides. It is held only while there
// is something to compute, for the body has come whole by then: nobody who sends slowly can hold it.
var inflating = make(chan struct{}, maxInflating)

const maxInflating = 8

func (b *bodyReader) inflate(open func(io.Reader) (io.ReadCloser, error), sent []byte) error {
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

// bodyReader reads a body into memory that it takes from room as it grows.
type bodyReader struct {
	room *room
	who  clientip.Key // whose it is
	most int
	buf  []byte
}

// release gives the room back.
func (b *bodyReader) release() {
	if cap(b.buf) > 0 {
		b.room.release(b.who, cap(b.buf))
	}
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
	if !b.room.take(b.who, size-cap(b.buf)) {
		return false
	}
	grown := make([]byte, len(b.buf), size)
	copy(grown, b.buf)
	b.buf = grown
	return true
}

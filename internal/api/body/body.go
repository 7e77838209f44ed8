// Package body reads the bodies of requests. It accepts the media types and
// encodings that clients use, inflates bodies, and bounds their size. All
// bodies share one budget of memory. A body takes memory, including what
// decoding needs, as bytes arrive and before they are stored. The length that a
// request announces does not matter. A body that arrives too slowly is refused.
package body

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"trackway"
	"trackway/internal/api/room"
)

var (
	errNoRoom  = &trackway.Error{Code: trackway.Overloaded, Msg: "The server has no room for this request at the moment. Try again."}
	errDropped = &trackway.Error{
		Code: trackway.Overloaded, Msg: "The server had no more room, and this body came more slowly than those of others. Try again.",
	}
	errTooSlow = &trackway.Error{
		Code: trackway.Overloaded, Msg: fmt.Sprintf("The body came too slowly: the server waits for %d seconds, and as long as it gets "+
			"%d bytes a second, for a minute. Try again.", int(grace/time.Second), leastRate),
	}
	errParts = &trackway.Error{
		Code: trackway.TooLarge, Msg: "The body has more members than this server has memory for. Send it in parts.",
	}
	errTooManyTimes = &trackway.Error{
		Code: trackway.TooLarge, Msg: fmt.Sprintf("The body may have at most %d times the bytes that were sent, inflated, if that is more than %d. "+
			"Send it without compression, or in smaller parts.", maxRatio, Light),
	}
	errBusy   = &trackway.Error{Code: trackway.Overloaded, Msg: "The server has too many large bodies to read at the moment. Try again."}
	errCoding = &trackway.Error{
		Code: trackway.Unsupported, Field: "Content-Encoding",
		Reason: trackway.Expected, What: "gzip, zstd or deflate, once",
	}
	errMedia = &trackway.Error{
		Code: trackway.Unsupported, Field: "Content-Type",
		Reason: trackway.Expected, What: "application/json or text/plain",
	}
)

func errTooLarge(most int) error {
	return &trackway.Error{Code: trackway.TooLarge, Msg: fmt.Sprintf("The body may have at most %d bytes, inflated.", most)}
}

// Body is the body of one request. The zero value is that of a request without
// one. Its methods are for one goroutine.
type Body struct {
	in      *Intake
	w       http.ResponseWriter
	r       *http.Request
	who     netip.Addr
	rules   Rules
	inflate inflater // nil: it comes as it is
	began   time.Time

	held      room.Holding
	text      []byte // that was returned, with all of its buffer
	forgotten bool   // nothing refers to the text any more
	large     bool   // it has a place
	waste     bool   // which was used for nothing
	timed     bool   // reading has a deadline
	state     state
}

// state is how far a body has been read.
type state uint8

const (
	unread state = iota
	begun        // there may be more of it
	broken       // there is no more to be had
	whole
)

// Rules say which bodies a route takes.
type Rules struct {
	Most     int // bytes, inflated
	Commands int // in a body

	// Takes returns the maximum number of bytes that decoding a body takes. Nil
	// stands for [DecodingTakes].
	Takes func(text []byte) int

	// Sniffs makes the server ignore the media type, and look at the first
	// bytes of the body, not at its header, to see whether it is gzip. Clients
	// of other products send gzip with the media type of forms.
	Sniffs bool
}

func (r *Rules) takes(text []byte) int {
	if r.Takes != nil {
		return r.Takes(text)
	}
	return DecodingTakes(text, r.Commands)
}

// Open prepares to read the body of a request from an address. It reads nothing
// yet. The error is a [*trackway.Error]: the request's header fields show that
// the body cannot be accepted.
func (b *Body) Open(in *Intake, w http.ResponseWriter, r *http.Request, who netip.Addr, rules Rules) (err error) {
	b.in, b.w, b.r, b.who, b.rules, b.began = in, w, r, who, rules, time.Now()
	b.rules.Most = min(rules.Most, in.Most())
	if err := checkMedia(r.Header.Get("Content-Type")); err != nil && !rules.Sniffs {
		return b.refuse(byMedia, err)
	}
	if r.ContentLength > int64(b.rules.Most) {
		return b.refuse(tooLarge, errTooLarge(b.rules.Most))
	}
	if b.inflate, err = inflaterOf(r.Header.Get("Content-Encoding")); err != nil {
		return b.refuse(byCoding, err)
	}
	b.held.Open(in.Memory, who, b.began, b)
	return nil
}

// Read reads and inflates the body, and reserves the memory for decoding it. A
// large body may wait for its place until ctx ends. The text is valid until
// [Body.Release]. The error is a [*trackway.Error].
func (b *Body) Read(ctx context.Context) (text []byte, err error) {
	text, err = b.read(ctx)
	if err != nil {
		return nil, b.refused(err)
	}
	b.text = text
	return text, nil
}

// read reads, inflates, waits if the text is large, and reserves the memory for
// decoding, in this order.
func (b *Body) read(ctx context.Context) ([]byte, error) {
	sent := buffer{held: &b.held, most: b.rules.Most}
	if err := b.receive(&sent); err != nil {
		return nil, err
	}
	if b.rules.Sniffs {
		b.sniff(sent.b)
	}
	if b.inflate == nil && len(sent.b) <= Light {
		return sent.b, b.settle(b.rules.takes(sent.b))
	}
	if err := b.settle(0); err != nil {
		return nil, err
	}
	text := sent
	if b.inflate != nil {
		text = buffer{held: &b.held, most: b.rules.Most}
		if err := b.inflated(ctx, sent.b, &text); err != nil {
			sent.free()
			return nil, err
		}
		sent.done()
	}
	if len(text.b) > Light {
		if err := b.wait(ctx); err != nil {
			return nil, err
		}
	}
	takes := b.rules.takes(text.b)
	if len(text.b)+takes > b.in.Memory.Share() {
		return nil, errParts // however often it is tried
	}
	return text.b, b.held.Take(takes)
}

// sniff checks whether the sent bytes are gzip (RFC 1952, section 2.3.1),
// whatever the header says. No JSON and no protocol buffer begins like gzip.
func (b *Body) sniff(sent []byte) {
	switch gzipped := bytes.HasPrefix(sent, []byte{0x1f, 0x8b}); {
	case gzipped:
		b.inflate = inflateGzip
	case isGzip(b.r.Header.Get("Content-Encoding")):
		b.inflate = nil
	}
}

// inflated inflates the sent bytes. If the result is large and has to wait,
// inflated keeps only the sent bytes until it has a place, and then starts
// again. Otherwise a few bytes on the wire could hold much memory while others
// are served.
func (b *Body) inflated(ctx context.Context, sent []byte, text *buffer) error {
	if len(sent) > Light { // of what little it may come to: a million empty texts take time, too
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
	err := b.inflate(b, sent, text)
	if !errors.Is(err, errNoPlace) {
		return err
	}
	text.free()
	if err := b.wait(ctx); err != nil {
		return err
	}
	return b.inflate(b, sent, text)
}

// settle ends reading, and takes what comes after it.
func (b *Body) settle(n int) error {
	err := b.held.Settle(n)
	if b.held.Dropped() {
		b.state = broken
		return err
	}
	if b.timed {
		b.readUntil(time.Time{}) // net/http would end the request's context at the deadline
	}
	return err
}

// wait waits for a place among the large bodies.
func (b *Body) wait(ctx context.Context) error {
	if b.large {
		return nil
	}
	began := time.Now()
	if !b.in.enterLarge(ctx, b.who) {
		return errBusy
	}
	b.in.metrics.waited.Observe(time.Since(began).Seconds())
	b.large = true
	return nil
}

// wastePause is how long an address gets no place for another large body after
// one that was inflated and then refused, or read in vain. Without it, bombs
// would keep processors busy.
const wastePause = time.Second

// InVain reports that the body was read in vain, for example because its key is
// unknown, which only the body could show.
func (b *Body) InVain() { b.waste = true }

// Decoded reports that the body has been decoded. A large body then leaves its
// place to the next one. The decoded content may still be used.
func (b *Body) Decoded() {
	switch {
	case b.large && b.waste:
		b.in.Large.LeaveLate(b.who, wastePause)
	case b.large:
		b.in.Large.Leave(b.who)
	}
	b.large = false
}

// Forgotten reports that nothing refers to the text any more, nor to any part
// of it. [Body.Release] then lets another body use its memory. Without this
// call, the garbage collector finds out. So call it only if everything has gone
// well: after an error, somebody may still be busy with the text, such as a
// connection to another server.
func (b *Body) Forgotten() { b.forgotten = true }

// Release gives everything back. Neither the text nor what was decoded from it
// may be used any more.
func (b *Body) Release() {
	b.Decoded()
	if b.forgotten {
		reuse(b.text)
	}
	b.text = nil
	b.held.Release()
}

// Whole reports whether the body has been read to its end.
func (b *Body) Whole() bool { return b.state == whole }

// Broken reports whether reading the body has failed, so that nothing more can
// be read.
func (b *Body) Broken() bool { return b.state == broken }

// CutOff implements [room.Cutter]: it wakes up a waiting reader.
func (b *Body) CutOff() { b.readUntil(b.began) }

// readUntil sets the deadline for reading. The deadline has no effect without a
// connection, as in tests.
func (b *Body) readUntil(end time.Time) {
	_ = http.NewResponseController(b.w).SetReadDeadline(end)
}

// refused returns the answer to an error, and counts it.
func (b *Body) refused(err error) error {
	switch {
	case errors.Is(err, room.ErrFull):
		return b.refuse(noRoom, errNoRoom)
	case errors.Is(err, room.ErrDropped):
		return b.refuse(dropped, errDropped)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return b.refuse(tooSlow, errTooSlow)
	case errors.Is(err, errBusy):
		return b.refuse(busy, errBusy)
	case errors.Is(err, errParts):
		return b.refuse(tooLarge, errParts)
	case errors.Is(err, errInflated):
		return b.refuse(inflated, errTooManyTimes)
	case errors.Is(err, errOverBound):
		return b.refuse(tooLarge, errTooLarge(b.rules.Most))
	}
	return b.refuse(damaged, &trackway.Error{Code: trackway.Invalid, Msg: "The body cannot be read: " + reason(err) + "."})
}

func (b *Body) refuse(why string, err error) error {
	b.waste = why == inflated || why == tooLarge || why == damaged
	b.in.metrics.refused.WithLabelValues(why).Inc()
	return err
}

// checkMedia accepts the media types under which clients send JSON. sendBeacon
// sends text/plain, and curl -d sends the type of forms.
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

// reason says what is wrong with a body without repeating any of it.
func reason(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "it ends too early"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, zlib.ErrHeader), errors.Is(err, zstd.ErrMagicMismatch):
		return "it is not in the encoding that Content-Encoding names"
	}
	return "it is damaged"
}

package shortcut

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// exchange is a plain request and its answer. After the handler has returned,
// it may keep strings of the request, but nothing else.
type exchange struct {
	head   head
	whole  bool // all of the body came with the head
	req    http.Request
	url    url.URL
	header http.Header // of the request
	values [maxFields]string
	body   body

	conn    *conn
	now     time.Time
	answer  http.Header
	status  int // 0: not set yet
	content []byte
	wire    []byte // head and content, as sent
	sent    bool
	last    bool // the connection closes after the answer
	err     error
}

var exchanges = sync.Pool{New: func() any {
	return &exchange{header: make(http.Header), answer: make(http.Header)}
}}

// keep is the largest buffer to reuse, in bytes.
const keep = 16 << 10

// run calls the handler for the request that b holds, and sends the answer. It
// returns false if the connection cannot be used any more.
func (x *exchange) run(c *conn, b []byte, now time.Time) (ok bool) {
	x.conn, x.now = c, now
	x.prepare(b)
	c.shortcut.handler.ServeHTTP(x, &x.req)
	if !x.sent {
		if x.answer["Connection"] == nil && !x.body.finish() {
			x.answer["Connection"] = closeConnection
		}
		x.send()
	}
	finished := x.body.finish()
	ok = finished && x.err == nil && !x.last
	x.reset()
	return ok
}

var closeConnection = []string{"close"}

// prepare makes the request as net/http would.
func (x *exchange) prepare(b []byte) {
	c, h := x.conn, &x.head
	if c.base == nil {
		ctx, end := context.WithCancel(c.ctx)
		c.broken = end
		c.base = new(http.Request{
			Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: c.RemoteAddr().String(),
		}).WithContext(ctx)
	}
	text := string(b[:h.size])
	h.put(x.header, text, &x.values)
	x.req = *c.base
	x.url = url.URL{Path: h.target.of(text)}
	x.body = body{came: b[h.size:], left: h.left(b), conn: c}
	x.req.URL, x.req.RequestURI, x.req.Host = &x.url, x.url.Path, h.host.of(text)
	x.req.Header, x.req.Body, x.req.ContentLength = x.header, &x.body, h.length
}

// reset forgets the state of one request.
func (x *exchange) reset() {
	clear(x.header)
	clear(x.answer)
	clear(x.values[:x.head.n])
	x.req, x.url, x.body, x.conn = http.Request{}, url.URL{}, body{}, nil
	x.status, x.sent, x.last, x.err = 0, false, false, nil
	if x.content = x.content[:0]; cap(x.content) > keep {
		x.content = nil
	}
	if x.wire = x.wire[:0]; cap(x.wire) > keep {
		x.wire = nil
	}
}

// Header implements [http.ResponseWriter].
func (x *exchange) Header() http.Header { return x.answer }

// WriteHeader implements [http.ResponseWriter].
func (x *exchange) WriteHeader(status int) {
	// Informational statuses are not sent: the client has nothing to wait for.
	if x.status == 0 && status >= http.StatusOK {
		x.status = status
	}
}

// Write implements [http.ResponseWriter].
func (x *exchange) Write(b []byte) (int, error) {
	x.WriteHeader(http.StatusOK)
	if x.sent {
		return 0, http.ErrContentLength
	}
	x.content = append(x.content, b...)
	return len(b), nil
}

// FlushError sends the answer if it is complete, for [http.ResponseController].
func (x *exchange) FlushError() error {
	if declared, ok := x.declared(); ok && declared == len(x.content) && !x.sent {
		x.send()
	}
	return x.err
}

// EnableFullDuplex does nothing: an answer never waits for the rest of the body
// if the handler flushes it.
func (x *exchange) EnableFullDuplex() error { return nil }

// SetReadDeadline sets the deadline for the rest of the body, if any. It is
// safe for concurrent use while the handler runs.
func (x *exchange) SetReadDeadline(end time.Time) error {
	if x.whole {
		return nil
	}
	return x.conn.readUntil(end)
}

// declared returns the length of the answer that the handler declared.
func (x *exchange) declared() (int, bool) {
	length := x.answer["Content-Length"]
	if len(length) == 0 {
		return 0, false
	}
	n, err := strconv.Atoi(length[0])
	return n, err == nil
}

// send sends the answer, with the fields that net/http would add.
func (x *exchange) send() {
	x.WriteHeader(http.StatusOK)
	x.sent = true
	hasBody := x.status != http.StatusNoContent && x.status != http.StatusNotModified
	if !hasBody {
		x.content = x.content[:0]
	}
	declared, ok := x.declared()
	x.last = ok && hasBody && declared != len(x.content) // the client waits for more

	w := strconv.AppendInt(append(x.wire[:0], "HTTP/1.1 "...), int64(x.status), 10)
	w = append(append(append(w, ' '), http.StatusText(x.status)...), "\r\n"...)
	w = x.appendFields(w)
	if x.answer["Date"] == nil {
		w = x.conn.shortcut.date.append(append(w, "Date: "...), x.now)
		w = append(w, "\r\n"...)
	}
	if !ok && hasBody {
		w = strconv.AppendInt(append(w, "Content-Length: "...), int64(len(x.content)), 10)
		w = append(w, "\r\n"...)
	}
	if x.answer["Content-Type"] == nil && len(x.content) > 0 {
		w = append(append(append(w, "Content-Type: "...), http.DetectContentType(x.content)...), "\r\n"...)
	}
	if x.conn.isClosing() {
		if !x.last {
			w = append(w, "Connection: close\r\n"...)
		}
		x.last = true
		_ = x.conn.hurry() // the write fails, too
	}
	x.wire = append(append(w, "\r\n"...), x.content...)
	_, x.err = x.conn.Conn.Write(x.wire)
}

// appendFields appends the fields of the answer, sorted by name.
func (x *exchange) appendFields(w []byte) []byte {
	var room [maxFields]field
	fields := room[:0]
	for name, values := range x.answer {
		at := len(fields) // insertion sort: there are about ten
		fields = append(fields, field{})
		for ; at > 0 && name < fields[at-1].name; at-- {
			fields[at] = fields[at-1]
		}
		fields[at] = field{name, values}
	}
	for _, f := range fields {
		for _, value := range f.values {
			w = append(append(append(append(w, f.name...), ": "...), oneLine(value)...), "\r\n"...)
			x.last = x.last || f.name == "Connection" && value == "close"
		}
	}
	return w
}

// field is a field of an answer.
type field struct {
	name   string
	values []string
}

// oneLine replaces characters that would end the field by spaces.
func oneLine(value string) string {
	for i := range len(value) {
		if value[i] == '\r' || value[i] == '\n' {
			return strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
		}
	}
	return value
}

// body is the body of a plain request.
type body struct {
	came   []byte // with the head, and not read yet
	left   int64  // bytes that are still on the connection
	conn   *conn
	err    error // of the connection
	closed bool
}

var errClosed = errors.New("the body was closed")

// Read returns io.EOF together with the last bytes, as net/http does.
func (b *body) Read(p []byte) (n int, err error) {
	if b.closed {
		return 0, errClosed
	}
	return b.read(p)
}

// read never reads more than the body from the connection. An error of the
// connection ends the request's context, as in net/http.
func (b *body) read(p []byte) (n int, err error) {
	if len(b.came) > 0 {
		n = copy(p, b.came)
		b.came = b.came[n:]
	} else if b.left > 0 && b.err == nil {
		n, b.err = b.conn.Conn.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		if b.err != nil {
			b.conn.broken()
		}
	}
	switch {
	case len(b.came) == 0 && b.left == 0:
		return n, io.EOF
	case errors.Is(b.err, io.EOF):
		return n, io.ErrUnexpectedEOF
	}
	return n, b.err
}

// finish reads what the handler has left, and reports whether that was
// possible.
func (b *body) finish() bool {
	b.came = nil
	if b.left == 0 {
		return true
	}
	for room := make([]byte, 4<<10); b.left > 0; {
		if _, err := b.read(room); err != nil && !errors.Is(err, io.EOF) {
			return false
		}
	}
	return true
}

// Close makes later reads return nothing.
func (b *body) Close() error {
	b.closed = true
	return nil
}

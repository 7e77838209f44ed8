package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/api/position"
	"trackway/internal/api/rest"
	"trackway/internal/format/tracking"
)

// statuses is the one table from codes to HTTP statuses. A conflict is a 400,
// like every failure of a single command.
var statuses = map[trackway.Code]int{
	trackway.Invalid:      http.StatusBadRequest,
	trackway.Unidentified: http.StatusUnauthorized,
	trackway.Forbidden:    http.StatusForbidden,
	trackway.NotFound:     http.StatusNotFound,
	trackway.Conflict:     http.StatusBadRequest,
	trackway.TooLarge:     http.StatusRequestEntityTooLarge,
	trackway.Unsupported:  http.StatusUnsupportedMediaType,
	trackway.Overloaded:   http.StatusServiceUnavailable,
	trackway.Internal:     http.StatusInternalServerError,
}

// Values of header fields that never change.
var (
	jsonType        = []string{"application/json"}
	closeConnection = []string{"close"}
	noStore         = []string{"no-store"}
	challenge       = []string{`Token realm="trackway"`} // not Basic: browsers would ask for a password
)

// answer sends a JSON answer. It returns nil, so that a handler can end with
// it.
func (c *call) answer(status int, body []byte) error {
	if c.making != nil {
		c.making.Keep(len(body)) // until it is sent
	}
	if c.r.ContentLength != 0 && !c.sent.Whole() {
		c.answerFirst(status, body)
		return nil
	}
	length := len(body)
	if length < short {
		length = -1
	}
	c.head(status, length)
	_, _ = c.w.Write(body) // if the client has gone there is nobody to tell
	return nil
}

// answerEmpty sends an answer without content. It returns nil, as answer does.
func (c *call) answerEmpty() error {
	if c.r.ContentLength != 0 && c.r.ProtoMajor == 1 {
		c.w.Header()["Connection"] = closeConnection // the body is not wanted
	}
	c.status = http.StatusNoContent
	c.w.WriteHeader(c.status)
	return nil
}

// net/http sets the length of short bodies: [http.ResponseWriter] promises it
// for those under "a few KB". Without this field most answers have eight
// fields. With more, a map of fields costs twice as much.
const short = 1 << 10

// head sends status and fields. A length below 0 is unknown. If no media type
// is set yet, head sets that of JSON.
func (c *call) head(status, length int) {
	h := c.w.Header()
	if h["Content-Type"] == nil {
		h["Content-Type"] = jsonType
	}
	if length >= 0 {
		h["Content-Length"] = []string{strconv.Itoa(length)}
	}
	c.sayPosition()
	c.status = status
	c.w.WriteHeader(status)
}

// sayPosition tells a client of a cluster how far the data goes.
func (c *call) sayPosition() {
	if log := c.shared.Of(c.grant.Project); log != nil {
		c.w.Header()[position.Header] = []string{log.Position()}
	}
}

// fail answers a call that was refused or failed, in the words of the route's
// format. Any error but a *trackway.Error is the server's own: fail logs it in
// full, and answers without detail.
func (c *call) fail(err error) {
	var known *trackway.Error
	isKnown := errors.As(err, &known)
	gone := c.r.Context().Err() != nil
	if isKnown && known.Code == trackway.Overloaded && c.sent.Broken() {
		gone = false // we gave the body up, and net/http treats any read error as the client's end
	}
	if !gone && c.status != 0 {
		c.span.Log(c.log).Error("answer broken off", "err", err, "route", c.route.path, "request_id", c.requestID())
	}
	if gone || c.status != 0 { // all that is left is to break off the answer, so that nobody takes it for complete
		panic(http.ErrAbortHandler)
	}
	if !isKnown {
		c.span.Log(c.log).Error("request failed", "err", err, "route", c.route.path, "request_id", c.requestID())
		known = &trackway.Error{Code: trackway.Internal, Msg: "Internal error, request " + c.requestID() + "."}
	}
	switch known.Code {
	case trackway.Overloaded:
		c.w.Header()["Retry-After"] = []string{"1"}
	case trackway.Unidentified:
		c.w.Header()["Www-Authenticate"] = challenge
	}
	c.sayMedia()
	_ = c.answer(c.format.Refusal(statuses[known.Code], known))
}

// sayMedia sets the media type of an answer in the route's format.
func (c *call) sayMedia() {
	if c.format.Media != nil {
		c.w.Header()["Content-Type"] = c.format.Media
	}
}

func (c *call) requestID() string { return c.w.Header()["X-Request-Id"][0] }

func (c *call) unknownRoute() error {
	const code = http.StatusNotFound
	return c.answer(code, tracking.AppendStatus(nil, code, "There is no such route. The routes are described in the documentation of this server's API."))
}

// notAllowed answers a known path that was called by another method.
func notAllowed(methods []string) func(*call) error {
	allow := []string{strings.Join(methods, ", ")}
	return func(c *call) error {
		c.w.Header()["Allow"] = allow
		const code = http.StatusMethodNotAllowed
		return c.answer(code, tracking.AppendStatus(nil, code, "This route is called by "+allow[0]+"."))
	}
}

// answerFirst sends the answer to a call without waiting for the rest of a body
// that is not needed. net/http would first read up to 256 KiB of the rest, so
// that the connection can be used again. Here a small body is read after the
// answer. If the body is large, or the client waits for permission to send it
// (Expect), the connection is closed, but only after the client has had a
// chance to read the answer.
func (c *call) answerFirst(status int, body []byte) {
	control := http.NewResponseController(c.w)
	again := !c.sent.Broken() && c.r.ContentLength > 0 && c.r.ContentLength <= maxSmallBody && c.r.Header.Get("Expect") == "" &&
		control.EnableFullDuplex() == nil
	if !again && c.r.ProtoMajor == 1 {
		c.w.Header()["Connection"] = closeConnection
		_ = control.EnableFullDuplex() // or there is nothing to read after the answer
	}
	c.head(status, len(body))
	_, _ = c.w.Write(body) // if the client has gone there is nobody to tell
	switch {
	case again:
		rest.Drain(control, c.r.Body, c.rest) // at most maxSmallBody
	case c.r.ProtoMajor == 1 && !c.sent.Broken() && c.lingering.TryEnter(c.ask.Addr): // too many would cost too much
		defer c.lingering.Leave(c.ask.Addr)
		rest.Linger(control, c.r, c.received)
	}
}

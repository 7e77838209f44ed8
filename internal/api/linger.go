package api

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// How long the server keeps reading a body that it has refused. A client may
// send all of its body before it reads the answer, and loses the answer if the
// connection is closed meanwhile (RFC 9112, section 9.6). After a small body,
// the connection can be used again.
const (
	restTime    = 10 * time.Second // for the rest of a small body
	lingerBytes = 1 << 20
	lingerTime  = 5 * time.Second
	closeTime   = 500 * time.Millisecond // for a client that sends more, to see the answer
)

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
		c.drain(control)
	case c.r.ProtoMajor == 1 && !c.sent.Broken():
		c.linger(control)
	}
}

// drain reads a small body after the answer.
func (c *call) drain(control *http.ResponseController) {
	_ = control.SetReadDeadline(time.Now().Add(c.rest))
	err := control.Flush()
	if err == nil {
		_, err = io.Copy(io.Discard, c.r.Body) // at most maxSmallBody
	}
	if err != nil {
		// net/http would read the rest as the next request. After such an error
		// it closes the connection, but not with full duplex.
		panic(http.ErrAbortHandler)
	}
}

// linger reads some of what a client still sends, and discards it. Afterwards
// net/http closes the connection. If too many linger already, it reads nothing.
func (c *call) linger(control *http.ResponseController) {
	if control.SetReadDeadline(time.Now().Add(lingerTime)) != nil || !c.lingering.TryEnter(c.ask.Addr) {
		return
	}
	defer c.lingering.Leave(c.ask.Addr)
	if control.Flush() != nil {
		return
	}
	_, err := io.CopyN(io.Discard, c.r.Body, lingerBytes)
	if err == nil {
		wait := time.NewTimer(closeTime)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-c.r.Context().Done():
		}
	}
	if !errors.Is(err, io.EOF) {
		_ = control.SetReadDeadline(c.received) // net/http reads no more, either
	}
}

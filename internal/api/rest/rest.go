// Package rest reads what a client still sends after the server has answered.
//
// A client may send all of its body before it reads the answer, and loses the
// answer if the connection is closed meanwhile (RFC 9112, section 9.6). After a
// small body, the connection can be used again.
package rest

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// Time is how long the rest of a small body may take.
const Time = 10 * time.Second

// MaxBytes is how much of a large body is read.
const MaxBytes = 1 << 20

const (
	lingerTime = 5 * time.Second
	closeTime  = 500 * time.Millisecond // for a client that sends more, to see the answer
)

// Drain reads a small body in at most the given time. It panics with
// [http.ErrAbortHandler] if the connection cannot be used again.
func Drain(w *http.ResponseController, body io.Reader, within time.Duration) {
	_ = w.SetReadDeadline(time.Now().Add(within))
	err := w.Flush()
	if err == nil {
		_, err = io.Copy(io.Discard, body)
	}
	if err != nil {
		// net/http would read the rest as the next request. After such an error
		// it closes the connection, but not with full duplex.
		panic(http.ErrAbortHandler)
	}
}

// Linger reads at most [MaxBytes] of the body, and discards them. Afterwards
// net/http closes the connection. The call arrived at received. Linger takes up
// to 5.5 s, so bound how many do it at the same time.
func Linger(w *http.ResponseController, r *http.Request, received time.Time) {
	if w.SetReadDeadline(time.Now().Add(lingerTime)) != nil || w.Flush() != nil {
		return
	}
	_, err := io.CopyN(io.Discard, r.Body, MaxBytes)
	if err == nil {
		wait := time.NewTimer(closeTime)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
		}
	}
	if !errors.Is(err, io.EOF) {
		_ = w.SetReadDeadline(received) // net/http reads no more, either
	}
}

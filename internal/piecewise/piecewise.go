// Package piecewise sends a long answer in pieces, so that memory is bounded. Its one idea is that whoever reads it has a bounded
// time for that, at 64 KiB/s in the mean: the snapshot that the answer is made of keeps the store from freeing space. It does not
// know what is sent, and bounds neither how many answers there are nor how long one is.
package piecewise

import (
	"net/http"
	"time"
)

// Size is how many bytes a piece has, at least: but for the last one, what is less is worth gathering more for.
const Size = 64 << 10

// FirstTime is how long the first piece may take to read, or a pause, once.
const FirstTime = time.Minute

const eachTime = time.Second // that each piece adds

// Sender sends the pieces of one answer. It is not safe for concurrent use.
type Sender struct {
	w    http.ResponseWriter
	left time.Duration // that the reader has
}

// To returns a sender of an answer. The time begins with the first piece.
func To(w http.ResponseWriter) Sender { return Sender{w: w, left: FirstTime} }

// Send sends a piece, in the time that is left. The server's own time, between two pieces, does not count. An error means that
// nobody reads any more.
func (s *Sender) Send(b []byte) error {
	s.left = min(s.left+eachTime, FirstTime)
	began := time.Now()
	writeUntil(s.w, began.Add(s.left))
	_, err := s.w.Write(b)
	s.left -= time.Since(began)
	return err
}

// KeepAlive gives an answer that is not sent in pieces more time, because something was done for it.
func KeepAlive(w http.ResponseWriter) { writeUntil(w, time.Now().Add(FirstTime)) }

func writeUntil(w http.ResponseWriter, end time.Time) {
	_ = http.NewResponseController(w).SetWriteDeadline(end) // not every writer has one
}

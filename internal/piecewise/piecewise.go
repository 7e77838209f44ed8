// Package piecewise sends a long answer in pieces, so that the memory for it is
// limited. It also limits the time that a client has to read the answer, at 64
// KiB/s on average: the snapshot that the answer is read from keeps the store
// from freeing space. The package does not know what is sent. It limits neither
// the number of answers nor their length.
package piecewise

import (
	"net/http"
	"time"
)

// Size is the least number of bytes in a piece. Only the last piece may be
// shorter.
const Size = 64 << 10

// FirstTime is how long a client may take for the first piece, or pause once.
const FirstTime = time.Minute

const eachTime = time.Second // added by each piece

// Sender sends the pieces of one answer. It is not safe for concurrent use.
type Sender struct {
	w    http.ResponseWriter
	left time.Duration // that the client has left
}

// To returns a sender of an answer. The client's time begins with the first
// piece.
func To(w http.ResponseWriter) Sender { return Sender{w: w, left: FirstTime} }

// Send sends a piece in the time that the client has left. The server's own
// time between two pieces does not count. An error means that nobody reads any
// more.
func (s *Sender) Send(b []byte) error {
	s.left = min(s.left+eachTime, FirstTime)
	began := time.Now()
	writeUntil(s.w, began.Add(s.left))
	_, err := s.w.Write(b)
	s.left -= time.Since(began)
	return err
}

// KeepAlive extends the time of an answer that is not sent in pieces, because
// something was done for it.
func KeepAlive(w http.ResponseWriter) { writeUntil(w, time.Now().Add(FirstTime)) }

func writeUntil(w http.ResponseWriter, end time.Time) {
	_ = http.NewResponseController(w).SetWriteDeadline(end) // not every writer supports deadlines
}

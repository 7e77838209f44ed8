package dashboard

import (
	"net/http"
	"time"
)

const (
	piece     = 64 << 10
	firstTime = time.Minute // to read the first piece, or to pause once
	pieceTime = time.Second // that each piece adds: 64 KiB/s, in the mean
)

// pieces sends a long answer in pieces, so that memory is bounded, and so is the time that whoever reads it has for that: the
// snapshot that it is made of keeps the store from freeing space. Others' answers have the same bound, in internal/api.
type pieces struct {
	w    http.ResponseWriter
	left time.Duration // that the reader has
}

// send sends a piece. The server's own time does not count. An error means that nobody reads any more.
func (p *pieces) send(b []byte) error {
	p.left = min(p.left+pieceTime, firstTime)
	began := time.Now()
	_ = http.NewResponseController(p.w).SetWriteDeadline(began.Add(p.left)) // not every writer has one
	_, err := p.w.Write(b)
	p.left -= time.Since(began)
	return err
}

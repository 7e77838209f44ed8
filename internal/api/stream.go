package api

import (
	"net/http"
	"time"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/wire"
)

// stream is an answer of unknown length. It is sent in pieces, so that memory is bounded however much there is; an answer that
// fits in one piece is sent with its length.
type stream struct {
	c     *call
	b     []byte
	media []string // its type; nil: JSON
	err   error    // of writing: the client has gone
}

const (
	piece     = 64 << 10
	pieceTime = time.Minute // to send one
)

func (c *call) stream() *stream { return &stream{c: c} }

// flush sends what has been gathered once it is worth it, and tells whether to go on.
func (st *stream) flush() bool {
	if len(st.b) < piece {
		return true
	}
	if st.c.status == 0 {
		st.sayMedia()
		st.c.head(http.StatusOK, -1)
	}
	st.c.keepAlive() // as long as the client takes pieces it may take all day; one that does not must not hold a snapshot for ever
	_, st.err = st.c.w.Write(st.b)
	st.b = st.b[:0]
	return st.err == nil
}

// keepAlive gives the answer more time, because something was done for it.
func (c *call) keepAlive() {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(pieceTime)) // not every writer has one
}

// sayMedia sets the media type, once nothing can fail any more: a failure is JSON.
func (st *stream) sayMedia() {
	if st.media != nil {
		st.c.w.Header()["Content-Type"] = st.media
	}
}

// end sends the rest.
func (st *stream) end() error {
	if st.err != nil {
		return nil //nolint:nilerr // the client has gone; there is nobody to tell
	}
	if st.c.status == 0 {
		st.sayMedia()
		return st.c.answer(http.StatusOK, st.b)
	}
	_, _ = st.c.w.Write(st.b) // as above
	return nil
}

// events appends a member that is an array of those events that the caller may read, then the end of the object, and sends all of
// it.
func (st *stream) events(open string, s query.Snapshot, customer trackway.Customer, f query.EventFilter) error {
	st.b = append(st.b, open...)
	var ok bool
	if f.Types, ok = readable(st.c.grant.Key, f.Types); !ok {
		st.b = append(st.b, "]}"...)
		return st.end()
	}
	first := true
	err := query.Events(st.c.r.Context(), s, st.c.grant.Project.Number, customer, f, func(e *trackway.Event) bool {
		if !first {
			st.b = append(st.b, ',')
		}
		first = false
		st.b = wire.AppendEvent(st.b, e)
		return st.flush()
	})
	if err != nil {
		return err
	}
	st.b = append(st.b, "]}"...)
	return st.end()
}

package api

import (
	"context"
	"net/http"

	"trackway"
	"trackway/internal/api/permit"
	"trackway/internal/format/tracking"
	"trackway/internal/piecewise"
	"trackway/internal/query"
)

// stream is an answer of unknown length. It is sent in pieces, so that memory
// is bounded however much there is. An answer that fits in one piece is sent
// with its length once it is complete, so a slow reader holds up nobody. A
// longer answer holds a place and a snapshot. So an address has few of them,
// and they have to be read at a minimum rate.
type stream struct {
	c     *reading
	b     []byte
	media []string // its type
	out   piecewise.Sender
	err   error // of writing: the client has gone
}

var errTooMany = &trackway.Error{
	Code: trackway.Overloaded, Msg: "Too many long answers are being read, by this address or in all: try again when some have ended.",
}

// streamed answers what do makes of a snapshot.
func (c *reading) streamed(media []string, do func(query.Snapshot, *stream) error) error {
	out := &stream{c: c, media: media, out: piecewise.To(c.w)}
	if err := out.fill(do); err != nil {
		return err
	}
	return out.end()
}

// fill runs do, with few others at the same time.
func (st *stream) fill(do func(query.Snapshot, *stream) error) error {
	c := st.c
	defer func() {
		if c.status != 0 {
			c.places.long.Leave(c.ask.Addr)
		}
	}()
	return c.in(c.places.answers, func(context.Context) error {
		return c.withSnapshot(func(s query.Snapshot) error { return do(s, st) })
	})
}

// flush sends what has been gathered if it is enough for a piece, and reports
// whether to continue.
func (st *stream) flush() bool {
	if len(st.b) < piecewise.Size {
		return true
	}
	if st.c.status == 0 {
		if !st.c.places.long.TryEnter(st.c.ask.Addr) {
			st.err = errTooMany
			return false
		}
		st.sayMedia()
		st.c.head(http.StatusOK, -1)
	}
	st.send()
	return st.err == nil
}

// send sends a piece.
func (st *stream) send() {
	st.err = st.out.Send(st.b)
	st.b = st.b[:0]
}

// sayMedia sets the media type once nothing can fail any more, because a
// failure is answered in JSON.
func (st *stream) sayMedia() { st.c.w.Header()["Content-Type"] = st.media }

// end sends the rest.
func (st *stream) end() error {
	switch {
	case st.c.status == 0 && st.err != nil:
		return st.err // it was not begun
	case st.c.status == 0:
		st.sayMedia()
		return st.c.answer(http.StatusOK, st.b)
	case st.err == nil:
		st.send() // if the client has gone there is nobody to tell
	}
	return nil
}

// events appends a member that is an array of those events that the caller may
// read, then the end of the object.
func (st *stream) events(open string, s query.Snapshot, customer trackway.Customer, f query.EventFilter) error {
	st.b = append(st.b, open...)
	var ok bool
	if f.Types, ok = permit.Types(st.c.grant.Key, f.Types); !ok {
		st.b = append(st.b, "]}"...)
		return nil
	}
	first := true
	err := query.Events(st.c.r.Context(), s, st.c.grant.Project.Number, customer, f, func(e *trackway.Event) bool {
		if !first {
			st.b = append(st.b, ',')
		}
		first = false
		st.b = tracking.AppendEvent(st.b, permit.Shown(st.c.grant.Key, e))
		return st.flush()
	})
	st.b = append(st.b, "]}"...)
	return err
}

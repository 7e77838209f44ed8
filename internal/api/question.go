package api

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	"trackway"
	"trackway/internal/api/room"
	"trackway/internal/httpcache"
	"trackway/internal/query"
)

const queryTime = 5 * time.Second // that a question may take

// The caller may keep a private answer, and no cache on the way may.
var (
	privateCache = []string{"private, no-cache"}                    // ask each time
	lastingCache = []string{"private, max-age=31536000, immutable"} // it will never be another
	// The numbers of a past time are final after more than a request takes.
	closeAfter  = time.Hour
	errTooSlow  = errors.New("the question took too long") // the cause of a deadline
	errNoReader = &trackway.Error{Code: trackway.Overloaded, Msg: "Too many questions are being answered at the moment: try again."}
	errNoAnswer = &trackway.Error{
		Code: trackway.Overloaded, Msg: "The answer was not found in time: ask about a shorter time, or for fewer types.",
	}
)

// versionTag is the entity tag of what the project's data, as they are now,
// give for this URL and key. It costs no look at the data. Another process may
// count the same versions for other data, so it is a part of it.
func (c *reading) versionTag() string {
	b := binary.BigEndian.AppendUint64(append([]byte(nil), c.process...), c.store.Version(c.grant.Project.Number))
	p := c.grant.Project
	b = fmt.Appendf(b, "%v %q %q ", c.grant.Key.Permissions, p.Hard, p.Soft) // results depend on these; fmt sorts keys
	return httpcache.ETag(append(b, c.r.URL.RequestURI()...))
}

// has answers 304 and returns true if the caller has what the tag names. The
// call is given back, so the tag must be one that is known without computing
// the answer. "*" names no tag: it is left to [call.answerTagged].
func (c *call) has(etag string, cache []string) bool {
	if !httpcache.Matches(c.r.Header["If-None-Match"], etag) {
		return false
	}
	c.giveBack()
	c.notModified(etag, cache)
	return true
}

// notModified answers 304.
func (c *call) notModified(etag string, cache []string) {
	h := c.w.Header()
	h["Etag"], h["Cache-Control"] = []string{etag}, cache
	delete(h, "Content-Type") // of what is not sent
	c.status = http.StatusNotModified
	c.w.WriteHeader(c.status)
}

// answerTagged answers with what a tag names; without one the answer is not to
// be kept, for the next may come further. If the caller turns out to have the
// answer, or asks with "*" whether there is any, it is 304. That was computed,
// so it costs a call.
func (c *call) answerTagged(etag string, cache []string, body []byte) error {
	if asked := c.r.Header["If-None-Match"]; etag != "" && (httpcache.Matches(asked, etag) || httpcache.Any(asked)) {
		c.notModified(etag, cache)
		return nil
	}
	h := c.w.Header()
	h["Cache-Control"] = noStore
	if etag != "" {
		h["Etag"], h["Cache-Control"] = []string{etag}, cache
	}
	return c.answer(http.StatusOK, body)
}

// answerFinal answers with numbers of a time that has passed: they are named by
// what they are, so that the name holds over restarts. The last change was when
// that time ended, at the latest.
func (c *call) answerFinal(until time.Time, body []byte) error {
	etag := httpcache.ETag(body)
	c.w.Header()["Last-Modified"] = []string{until.UTC().Format(http.TimeFormat)}
	return c.answerTagged(etag, lastingCache, body)
}

// final tells whether the numbers of a time that ended at until cannot change
// any more.
func (c *call) final(until time.Time) bool { return !until.Add(closeAfter).After(c.received) }

// question runs do on a snapshot, with a deadline, and with few others at once.
// do makes the answer and does not send it: a client that reads slowly must
// hold neither the place nor the snapshot. It holds the memory of its answer
// until that is sent, so that answers which nobody reads are bounded, too.
func (c *reading) question(do func(context.Context, query.Snapshot) error) error {
	err := c.in(c.places.questions, func(ctx context.Context) error {
		if err := c.reserve(); err != nil {
			return err
		}
		return c.withSnapshot(func(s query.Snapshot) error { return do(ctx, s) })
	})
	if errors.Is(err, errTooSlow) {
		return errNoAnswer
	}
	return err
}

// reserve takes the memory that an answer may need at most.
func (c *reading) reserve() error {
	h := new(room.Holding)
	h.Open(c.answers, c.ask.Addr, c.received, nil)
	if h.Settle(pageBytes) != nil {
		return errNoReader
	}
	c.making = h
	return nil
}

// in does something in one of some places, with a deadline for waiting and for
// doing it.
func (c *reading) in(p *room.Places, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(c.r.Context(), c.patience, errTooSlow)
	defer cancel()
	if !p.Enter(ctx, c.ask.Addr) {
		return errNoReader
	}
	defer p.Leave(c.ask.Addr)
	return do(ctx)
}

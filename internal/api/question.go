package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"trackway"
	"trackway/internal/api/position"
	"trackway/internal/api/room"
	"trackway/internal/httpcache"
	"trackway/internal/query"
)

const queryTime = 5 * time.Second // that a question may take

// Only the caller may keep a private answer, and no cache on the way.
var (
	privateCache = []string{"private, no-cache"}                    // ask each time
	lastingCache = []string{"private, max-age=31536000, immutable"} // it will never be another
	// After this, no request can still change the numbers of a period.
	closeAfter  = time.Hour
	errTooSlow  = errors.New("the question took too long") // the cause of a deadline
	errNoReader = &trackway.Error{Code: trackway.Overloaded, Msg: "Too many questions are being answered at the moment: try again."}
	errNoAnswer = &trackway.Error{
		Code: trackway.Overloaded, Msg: "The answer was not found in time: ask about a shorter time, or for fewer types.",
	}
)

// versionTag is the entity tag of the answer to this URL and key, based on the
// project's present data. It needs no access to the data. The servers of a
// cluster give the same tag for the same data. The tag names the program,
// because another one may make another answer of the same data.
func (c *reading) versionTag() string {
	p := c.grant.Project
	v := c.store.Version(p.Number)
	b := fmt.Appendf(nil, "%s %x %d %d ", c.program, v.Origin, v.Counter, v.Index)
	b = fmt.Appendf(b, "%v %q %q ", c.grant.Key.Permissions, p.Hard, p.Soft) // results depend on these; fmt sorts keys
	return position.Tag(c.shared.Of(p), v.Index, httpcache.ETag(append(b, c.r.URL.RequestURI()...)))
}

// has answers with 304 and returns true if the caller has the answer with this
// tag. The call is refunded, so the tag must be known without computing the
// answer. "*" names no tag, so [call.answerTagged] handles it.
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
	c.sayPosition()
	c.status = http.StatusNotModified
	c.w.WriteHeader(c.status)
}

// answerTagged sends an answer with its tag. An answer without a tag must not
// be kept, because the next one may be more complete. If the caller has the
// answer already, or sent "*", which any answer matches, answerTagged answers
// 304. The answer was computed, so this costs a call.
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

// answerFinal answers with the numbers of a past period. Their tag is made from
// their content, so that it stays the same after a restart. The last change was
// at its end, or earlier.
func (c *call) answerFinal(until time.Time, body []byte) error {
	etag := httpcache.ETag(body)
	c.w.Header()["Last-Modified"] = []string{until.UTC().Format(http.TimeFormat)}
	return c.answerTagged(etag, lastingCache, body)
}

// final reports whether the numbers of the time up to until can no longer
// change.
func (c *call) final(until time.Time) bool { return !until.Add(closeAfter).After(c.received) }

// question runs do on a snapshot, with a deadline, and with few others at the
// same time. do makes the answer and does not send it, so that a slow reader
// holds neither the place nor the snapshot. The memory of the answer stays
// reserved until it is sent, so that unread answers are bounded, too.
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

// reserve takes the maximum memory that an answer may need.
func (c *reading) reserve() error {
	h := new(room.Holding)
	h.Open(c.answers, c.ask.Addr, c.received, nil)
	if h.Settle(pageBytes) != nil {
		return errNoReader
	}
	c.making = h
	return nil
}

// in runs do in one of some places. One deadline holds for waiting and do.
func (c *reading) in(p *room.Places, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(c.r.Context(), c.patience, errTooSlow)
	defer cancel()
	if !p.Enter(ctx, c.ask.Addr) {
		return errNoReader
	}
	defer p.Leave(c.ask.Addr)
	return do(ctx)
}

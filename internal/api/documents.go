package api

import (
	"net/http"
	"strings"
	"time"

	"trackway/internal/guide"
)

// Values of header fields of documents.
var (
	noCache = []string{"no-cache"} // caches may keep it, but ask each time: a change must be seen at once
	noSniff = []string{"nosniff"}
)

// document returns the handler of something that is served as it is.
func document(of func(*guide.Guide) *guide.Document) func(*call) error {
	return func(c *call) error {
		d := of(c.access.Guide)
		h := c.w.Header()
		h["Content-Type"] = []string{d.Type}
		h["X-Content-Type-Options"] = noSniff
		if d.Policy != "" {
			h["Content-Security-Policy"] = []string{d.Policy}
			h["Referrer-Policy"] = []string{"no-referrer"}
		}
		return c.validated(d.ETag, d.Body)
	}
}

func contract(g *guide.Guide) *guide.Document { return &g.Contract }
func about(g *guide.Guide) *guide.Document    { return &g.Page }
func home(g *guide.Guide) *guide.Document     { return &g.Home }
func limits(g *guide.Guide) *guide.Document   { return &g.Limits }

// validated answers with a body, or with 304 if the caller has it already.
func (c *call) validated(etag string, body []byte) error {
	h := c.w.Header()
	h["Etag"] = []string{etag}
	h["Cache-Control"] = noCache
	if !matches(c.r.Header["If-None-Match"], etag) {
		return c.answer(http.StatusOK, body)
	}
	delete(h, "Content-Type") // of what is not sent
	c.giveBack()
	c.status = http.StatusNotModified
	c.w.WriteHeader(c.status)
	return nil
}

// matches compares the values of If-None-Match with an entity tag, weakly (RFC 9110, section 13.1.2).
func matches(values []string, etag string) bool {
	for _, list := range values {
		for one := range strings.SplitSeq(list, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == etag {
				return true
			}
		}
	}
	return false
}

// giveBack makes the call cost nothing, and has the answer's fields say so.
func (c *call) giveBack() {
	if c.decision.Limited {
		c.Limits.Refund(time.Now(), &c.ask, &c.decision)
		after := c.decision.Refunded()
		c.fields.Set(c.w.Header(), &after)
	}
}

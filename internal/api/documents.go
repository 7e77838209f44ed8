package api

import (
	"time"

	"trackway/internal/api/passing"
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
		return c.kept(d.ETag, noCache, d.Body)
	}
}

func contract(g *guide.Guide) *guide.Document { return &g.Contract }
func about(g *guide.Guide) *guide.Document    { return &g.Page }
func home(g *guide.Guide) *guide.Document     { return &g.Home }
func limits(g *guide.Guide) *guide.Document   { return &g.Limits }

// giveBack makes the call cost nothing, and the header fields of the answer
// show that. If no policy counted the call, it cost nothing anyway.
func (c *call) giveBack() {
	if c.by != nil {
		passing.Free(c.w.Header())
		return
	}
	c.traffic.GiveBack(c.received, &c.ask)
	c.limits.Refund(time.Now(), &c.ask, &c.decision)
	after := c.decision.Refunded()
	c.fields.Set(c.w.Header(), &after)
}

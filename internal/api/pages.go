package api

import (
	"net/http"

	"trackway/internal/guide"
	"trackway/web"
)

// forEver is for files whose name changes with what is in them (RFC 8246).
const forEver = "public, max-age=31536000, immutable"

// home answers the pages if they were built, else a page that says how to.
func (c *call) home() error {
	if c.Site.Index == nil {
		return document(home)(c)
	}
	return c.file(c.Site.Index, noCache[0])
}

// asset answers what the pages load.
func (c *call) asset() error {
	f := c.Site.Assets[c.r.PathValue("name")]
	if f == nil {
		return c.unknownRoute()
	}
	return c.file(f, forEver)
}

func (c *call) file(f *web.File, cache string) error {
	coding, etag, body := f.Accepting(c.r.Header.Get("Accept-Encoding"))
	h := c.w.Header()
	h["Content-Type"] = []string{f.Type}
	h["Content-Security-Policy"] = []string{web.Policy}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["X-Content-Type-Options"] = noSniff
	h["Vary"] = []string{"Accept-Encoding"}
	if coding != "" && !guide.Matches(c.r.Header["If-None-Match"], etag) {
		h["Content-Encoding"] = []string{coding}
	}
	return c.kept(etag, cache, body)
}

// kept answers with a body, or with 304 if the caller has it already. cache is what caches may do with it.
func (c *call) kept(etag, cache string, body []byte) error {
	h := c.w.Header()
	h["Etag"] = []string{etag}
	h["Cache-Control"] = []string{cache}
	if !guide.Matches(c.r.Header["If-None-Match"], etag) {
		return c.answer(http.StatusOK, body)
	}
	delete(h, "Content-Type") // of what is not sent
	c.giveBack()
	c.status = http.StatusNotModified
	c.w.WriteHeader(c.status)
	return nil
}

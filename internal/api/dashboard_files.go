package api

import (
	"trackway/internal/httpcache"
	"trackway/web"
)

// forEver is for files whose name changes with their content (RFC 8246).
var forEver = []string{"public, max-age=31536000, immutable"}

// loading is a call for a file of the dashboard.
type loading struct {
	*call

	built *web.Dashboard
}

// home answers with the pages, or, if they were not built, with a page that
// says how to build them.
func (c *loading) home() error {
	if c.built.Index == nil {
		return document(home)(c.call)
	}
	return c.file(c.built.Index, noCache)
}

// asset answers what the pages load.
func (c *loading) asset() error {
	f := c.built.Assets[c.r.PathValue("name")]
	if f == nil {
		return c.unknownRoute()
	}
	return c.file(f, forEver)
}

func (c *call) file(f *web.File, cache []string) error {
	coding, etag, body := f.Accepting(c.r.Header.Get("Accept-Encoding"))
	h := c.w.Header()
	h["Content-Type"] = []string{f.Type}
	h["Content-Security-Policy"] = []string{web.Policy}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["X-Content-Type-Options"] = noSniff
	h["Vary"] = []string{"Accept-Encoding"}
	if asked := c.r.Header["If-None-Match"]; coding != "" && !httpcache.Matches(asked, etag) && !httpcache.Any(asked) {
		h["Content-Encoding"] = []string{coding}
	}
	return c.kept(etag, cache, body)
}

// kept answers with a body that existed before the call, or with a free 304 if
// the caller has the body. cache is the answer's Cache-Control.
func (c *call) kept(etag string, cache []string, body []byte) error {
	if c.has(etag, cache) {
		return nil
	}
	return c.answerTagged(etag, cache, body)
}

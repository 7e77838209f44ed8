package api

import (
	"net/http"
	"strings"

	"trackway/internal/api/request"
)

// Public keys are meant for browsers of any site, so the tracking API answers them all (WHATWG Fetch, section 3.2). Callers that
// are no browsers send no Origin and are spared the fields.
var (
	anyOrigin = []string{"*"}
	byOrigin  = []string{"Origin"}
	byAsked   = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	exposed   = []string{"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, X-Served-By"}
	aDay      = []string{"86400"}
)

// letPagesRead lets a page of another site read the answer, if the route is for them. Others need not be bothered with the
// fields; but a cache that keeps an answer to a GET must know that it depends on who asked.
func (c *call) letPagesRead() {
	if !c.route.cors {
		return
	}
	h, page := c.w.Header(), c.r.Header.Get("Origin") != ""
	if page {
		h["Access-Control-Allow-Origin"] = anyOrigin
		h["Access-Control-Expose-Headers"] = exposed
	}
	if page || c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		h["Vary"] = byOrigin
	}
}

// options returns the handler of OPTIONS on a path that pages of any site may call by these methods. A preflight is answered at
// once and costs nothing, so that a page's limit is what it sends and not what its browser asks. Any other OPTIONS goes the way
// of every call.
func (s *Server) options(path string, methods []string) http.HandlerFunc {
	allow := []string{strings.Join(methods, ", ")}
	answer := func(h http.Header, asked []string) {
		h["Access-Control-Allow-Origin"] = anyOrigin
		h["Access-Control-Allow-Methods"] = allow
		h["Access-Control-Allow-Headers"] = request.MayBeSent(asked)
		h["Access-Control-Max-Age"] = aDay
		h["Vary"] = byAsked
	}
	rt := route{path: path, open: true, cors: true, do: func(c *call) error {
		answer(c.w.Header(), c.r.Header["Access-Control-Request-Headers"])
		c.w.Header()["Allow"] = []string{allow[0] + ", " + http.MethodOptions}
		return c.answerEmpty()
	}}
	return func(w http.ResponseWriter, r *http.Request) {
		if !request.IsPreflight(r) {
			s.serve(&rt, w, r)
			return
		}
		answer(w.Header(), r.Header["Access-Control-Request-Headers"])
		w.WriteHeader(http.StatusNoContent)
	}
}

package api

import (
	"net/http"
	"strings"
)

// Public keys are meant for browsers of any site, so the tracking API answers them all (WHATWG Fetch, section 3.2). Callers that
// are no browsers send no Origin and are spared the fields.
var (
	anyOrigin = []string{"*"}
	byOrigin  = []string{"Origin"}
	byAsked   = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	exposed   = []string{"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, X-Served-By"}
	usual     = []string{"Authorization, Content-Type, Content-Encoding, X-Request-Id"} // what a page may send, if it does not ask
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

// isPreflight tells whether a browser asks if a page may call (WHATWG Fetch, section 3.2.2). A browser sends no body with it: a
// request that has one is a call like any other.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header["Access-Control-Request-Method"] != nil && r.ContentLength == 0
}

// options returns the handler of OPTIONS on a path that pages of any site may call by these methods. A preflight is answered at
// once and costs nothing, so that a page's limit is what it sends and not what its browser asks. Any other OPTIONS goes the way
// of every call.
func (s *Server) options(path string, methods []string) http.HandlerFunc {
	allow := []string{strings.Join(methods, ", ")}
	answer := func(h http.Header, asked []string) {
		h["Access-Control-Allow-Origin"] = anyOrigin
		h["Access-Control-Allow-Methods"] = allow
		h["Access-Control-Allow-Headers"] = mayBeSent(asked)
		h["Access-Control-Max-Age"] = aDay
		h["Vary"] = byAsked
	}
	rt := route{path: path, open: true, cors: true, do: func(c *call) error {
		answer(c.w.Header(), c.r.Header["Access-Control-Request-Headers"])
		c.w.Header()["Allow"] = []string{allow[0] + ", " + http.MethodOptions}
		return c.answerEmpty()
	}}
	return func(w http.ResponseWriter, r *http.Request) {
		if !isPreflight(r) {
			s.serve(&rt, w, r)
			return
		}
		answer(w.Header(), r.Header["Access-Control-Request-Headers"])
		w.WriteHeader(http.StatusNoContent)
	}
}

// maxAsked bounds the field names that a preflight may ask for, in bytes. Tracing libraries add some two hundred.
const maxAsked = 4 << 10

// mayBeSent returns the header fields that a page may send: those that it asks for, whatever they are. The server ignores what
// it does not know, and libraries for tracing add fields of their own to each call: a field that is missing here would have the
// browser refuse the call. "*" would not do, since it does not stand for Authorization (WHATWG Fetch, section 3.2.5).
func mayBeSent(asked []string) []string {
	names := strings.Join(asked, ", ")
	if names == "" || len(names) > maxAsked || !isFieldNames(names) {
		return usual
	}
	return []string{names}
}

// isFieldNames reports whether s is a comma-separated list of names of fields: tokens (RFC 9110, section 5.6.2).
func isFieldNames(s string) bool {
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.Trim(name, " \t"); name == "" || strings.ContainsFunc(name, notInToken) {
			return false
		}
	}
	return true
}

func notInToken(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

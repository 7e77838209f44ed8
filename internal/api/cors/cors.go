// Package cors writes the header fields that let pages of other sites call a
// route (WHATWG Fetch, section 3.2). Public keys are meant for browsers of any
// site, so every site may. The package does not know which routes those are.
package cors

import (
	"net/http"
	"strings"
)

var (
	anyOrigin = []string{"*"}
	byOrigin  = []string{"Origin"}
	byAsked   = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	exposed   = []string{"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, X-Served-By, Trackway-Position"}
	usual     = []string{"Authorization, Content-Type, Content-Encoding, X-Request-Id"} // if a page does not ask
	aDay      = []string{"86400"}
)

// LetPagesRead sets the fields of an answer that a page of another site may
// read. A caller that is not a page gets only a few of them. A cache that keeps
// an answer to a GET must know that the answer depends on the caller.
func LetPagesRead(h http.Header, r *http.Request) {
	page := r.Header.Get("Origin") != ""
	if page {
		h["Access-Control-Allow-Origin"] = anyOrigin
		h["Access-Control-Expose-Headers"] = exposed
	}
	if page || r.Method == http.MethodGet || r.Method == http.MethodHead {
		h["Vary"] = byOrigin
	}
}

// IsPreflight reports whether a request is the question of a browser whether a
// page may call (WHATWG Fetch, section 3.2.2). Browsers send no body with it,
// so a request with a body is a call like any other.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header["Access-Control-Request-Method"] != nil && r.ContentLength == 0
}

// Allow sets the fields of an answer to OPTIONS: a page may call by these
// methods, and send the fields that r asks for.
func Allow(h http.Header, r *http.Request, methods []string) {
	h["Access-Control-Allow-Origin"] = anyOrigin
	h["Access-Control-Allow-Methods"] = methods
	h["Access-Control-Allow-Headers"] = mayBeSent(r.Header["Access-Control-Request-Headers"])
	h["Access-Control-Max-Age"] = aDay
	h["Vary"] = byAsked
}

// maxAsked bounds the field names that a preflight may ask for, in bytes.
// Tracing libraries add some two hundred.
const maxAsked = 4 << 10

// mayBeSent returns the header fields that a page may send: all those that it
// asks for. The server ignores fields that it does not know. Tracing libraries
// add fields of their own to each call, and if one were missing here, the
// browser would refuse the call. "*" is not enough, because it does not include
// Authorization (WHATWG Fetch, section 3.2.5).
func mayBeSent(asked []string) []string {
	names := strings.Join(asked, ", ")
	if names == "" || len(names) > maxAsked || !isFieldNames(names) {
		return usual
	}
	return []string{names}
}

// isFieldNames reports whether s is a comma-separated list of names of fields:
// tokens (RFC 9110, section 5.6.2).
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

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
	exposed   = []string{"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, X-Served-By"}
)

// isPreflight tells whether a browser asks if a page may call (WHATWG Fetch, section 3.2.2).
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header["Access-Control-Request-Method"] != nil
}

// preflight answers a browser's question whether it may call. It costs the caller nothing, so that a page's limit is what it
// sends and not what its browser asks.
func preflight(methods []string) http.HandlerFunc {
	allow := strings.Join(methods, ", ")
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Access-Control-Allow-Origin"] = anyOrigin
		h.Set("Access-Control-Allow-Methods", allow)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, X-Request-Id")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	}
}

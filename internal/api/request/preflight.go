package request

import (
	"net/http"
	"strings"
)

// usual is what a page may send, if it does not ask.
var usual = []string{"Authorization, Content-Type, Content-Encoding, X-Request-Id"}

// IsPreflight tells whether a browser asks if a page may call (WHATWG Fetch, section 3.2.2). A browser sends no body with it: a
// request that has one is a call like any other.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header["Access-Control-Request-Method"] != nil && r.ContentLength == 0
}

// maxAsked bounds the field names that a preflight may ask for, in bytes. Tracing libraries add some two hundred.
const maxAsked = 4 << 10

// MayBeSent returns the header fields that a page may send: those that it asks for, whatever they are. The server ignores what
// it does not know, and libraries for tracing add fields of their own to each call: a field that is missing here would have the
// browser refuse the call. "*" would not do, since it does not stand for Authorization (WHATWG Fetch, section 3.2.5).
func MayBeSent(asked []string) []string {
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

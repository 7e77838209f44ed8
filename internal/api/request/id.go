// Package request knows what a request says before anything is done for it: its
// path, its id, its access token.
package request

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"sync/atomic"
)

// IDs gives each request an id: the caller's own if it is sane, or else the
// next one of this process. The ids of a process are unique, but not secret.
// IDs is safe for concurrent use.
type IDs struct {
	prefix string
	last   atomic.Uint64
}

// NewIDs returns ids with a random beginning.
func NewIDs() *IDs {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return &IDs{prefix: hex.EncodeToString(b[:]) + "-"}
}

// Of returns the id of a request as the value of a header field.
func (ids *IDs) Of(r *http.Request) []string {
	if own := r.Header["X-Request-Id"]; len(own) == 1 && sane(own[0]) {
		return own
	}
	return []string{ids.prefix + strconv.FormatUint(ids.last.Add(1), 36)}
}

// sane reports whether an id can be repeated in a header field and in a log as
// it is.
func sane(id string) bool {
	const most = 64
	if id == "" || len(id) > most {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// Package httpcache makes and compares entity tags. Callers use them to get an
// answer only if it has changed (RFC 9110, sections 8.8.3 and 13.1.2).
package httpcache

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// ETag returns a strong validator for a body, in quotes: its SHA-256, truncated
// to 128 bits.
func ETag(body []byte) string {
	const enough = 16
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:enough]) + `"`
}

// Matches reports whether the values of If-None-Match contain an entity tag,
// compared weakly. It does not match "*": that names no tag, so it does not
// show that the caller has an answer. See [Any].
func Matches(values []string, etag string) bool {
	etag = strings.TrimPrefix(etag, "W/")
	return lists(values, func(one string) bool { return strings.TrimPrefix(one, "W/") == etag })
}

// Any reports whether the values of If-None-Match contain "*", which stands for
// any answer.
func Any(values []string) bool {
	return lists(values, func(one string) bool { return one == "*" })
}

// lists reports whether a field that is a list has an element that satisfies
// such.
func lists(values []string, such func(string) bool) bool {
	for _, list := range values {
		for one := range strings.SplitSeq(list, ",") {
			if such(strings.TrimSpace(one)) {
				return true
			}
		}
	}
	return false
}

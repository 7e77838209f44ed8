package request

import (
	"net/url"
	"strings"
)

// Collapse collapses slashes in an address. An escaped slash is part of a name,
// and stays.
func Collapse(u *url.URL) {
	escaped := collapseSlashes(u.EscapedPath())
	if path, err := url.PathUnescape(escaped); err == nil {
		u.Path, u.RawPath = path, escaped
	}
}

// IsClean reports whether a path has no segments "." and "..". The mux would
// redirect a path that has them, past the limits, and to a path that a proxy
// before us might not allow.
func IsClean(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// collapseSlashes makes each run of slashes one, because clients join
// "https://host/" and "/track". The server does not redirect them, because many
// clients do not follow a redirect with a POST.
func collapseSlashes(path string) string {
	b := make([]byte, 0, len(path))
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b = append(b, path[i])
		}
	}
	return string(b)
}

// AccessToken returns the access_token parameter of a query.
func AccessToken(query string) string { return Parameter(query, "access_token") }

// Parameter returns the first value of a parameter of a query.
func Parameter(query, name string) string {
	if query == "" {
		return ""
	}
	values, err := url.ParseQuery(query)
	if err != nil && len(values) == 0 {
		return ""
	}
	return values.Get(name)
}

// Same returns path and query of an address, without the parameters that choose
// a server.
func Same(u *url.URL) string {
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		path = "/"
	}
	var kept []string
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		if name, _, _ := strings.Cut(pair, "="); name != "server" && name != "region" && pair != "" {
			kept = append(kept, pair)
		}
	}
	if len(kept) == 0 {
		return path
	}
	return path + "?" + strings.Join(kept, "&")
}

// Package httpsonly answers plain HTTP for a server that speaks HTTPS. It sends
// readers of pages on, and refuses API calls.
package httpsonly

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// Config holds the settings of a handler.
type Config struct {
	// URL returns where clients reach the server, without a path. If that is
	// empty, they reach it at the host that they asked for, at Port.
	URL  func() string
	Port uint16 // of the HTTPS listener

	// Challenge answers requests of an authority for certificates, and reports
	// whether it did. nil: there is no authority.
	Challenge func(http.ResponseWriter, *http.Request) bool
}

// Handler returns a handler that redirects GET and HEAD without a key by 308.
// It refuses other requests by 403 and says which URL to use. If they were
// redirected, their sender would not notice that each call sends its key and
// its data in the clear first. An answer closes the connection.
func Handler(c Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.Challenge != nil && c.Challenge(w, r) {
			return
		}
		w.Header().Set("Connection", "close")
		base, ok := c.base(r.Host)
		switch {
		case !ok:
			refuse(w, http.StatusBadRequest, "The Host header must name a host.")
		case r.URL.Opaque != "": // base and this could be a URL of another host
			refuse(w, http.StatusBadRequest, "The request must name a path.")
		case (r.Method == http.MethodGet || r.Method == http.MethodHead) && !hasKey(r):
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, base+r.URL.RequestURI(), http.StatusPermanentRedirect) //nolint:gosec // base is the host that the client asked for
		default:
			refuse(w, http.StatusForbidden, "This server speaks HTTPS only: use "+base+". A key that was sent here may have been read on its way.")
		}
	})
}

// hasKey reports whether a request brings a key in one of the ways that the API
// knows: see [auth.Keys.Authorize] and package dialect.
func hasKey(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" || r.Header.Get("X-Write-Key") != "" || r.URL.Query().Has("access_token")
}

// base returns the URL of the HTTPS server for a request to host.
func (c *Config) base(host string) (base string, ok bool) {
	if url := c.URL(); url != "" {
		return url, true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if _, err := netip.ParseAddr(name); err != nil && !isName(name) {
		return "", false
	}
	const https = 443
	if c.Port == https {
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		return "https://" + name, true
	}
	return "https://" + net.JoinHostPort(name, strconv.Itoa(int(c.Port))), true
}

func isName(s string) bool {
	const most = 253
	return s != "" && len(s) <= most && strings.IndexFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.'
	}) < 0
}

// refuse answers in the format of the tracking API.
func refuse(w http.ResponseWriter, status int, why string) {
	body, _ := json.Marshal(struct { // strings can always be encoded
		Errors  []string `json:"errors"`
		Success bool     `json:"success"`
	}{[]string{why}, false})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // nobody may be left to read it
}

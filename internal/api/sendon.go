package api

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"trackway"
	"trackway/internal/api/cors"
	"trackway/internal/api/request"
	"trackway/internal/ask"
)

// sendsOn reports whether a request came to a host that only redirects, and has
// to be redirected to a server.
func (s *Server) sendsOn(r *http.Request) bool {
	hosts := s.access.Load().RedirectHosts
	if len(hosts) == 0 || cors.IsPreflight(r) { // which must not be answered by a redirect (WHATWG Fetch, section 4.8)
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host // without a port
	}
	return slices.Contains(hosts, strings.ToLower(strings.TrimSuffix(host, ".")))
}

// sendOn redirects the caller to a server that is up: the one that the
// parameter server names, or one of a region.
func (c *serving) sendOn() error {
	query := c.r.URL.Query()
	to, known, up := c.fleet.Pick(query.Get("server"), query.Get("region"))
	switch {
	case !known && query.Has("server"):
		return unknownServer("server")
	case !known:
		return unknownServer("region")
	case !up:
		return errNoServer
	}
	status := http.StatusTemporaryRedirect
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		status = http.StatusFound
	}
	h := c.w.Header()
	h["Location"] = []string{strings.TrimRight(to.URL, "/") + request.Same(c.r.URL)}
	h["Cache-Control"] = noStore
	return c.answer(status, fmt.Appendf(nil, `{"server":%q}`, to.Name)) // a name has nothing to be escaped
}

var errNoServer = &trackway.Error{Code: trackway.Overloaded, Msg: "No such server is up at the moment: try again, or choose another one."}

func unknownServer(field string) error {
	return ask.Invalid(field, "one that /api/servers tells")
}

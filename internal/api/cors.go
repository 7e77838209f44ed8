package api

import (
	"net/http"
	"strings"

	"trackway/internal/api/cors"
	"trackway/internal/format/tracking"
)

// options returns the handler of OPTIONS on a path that pages of any site may
// call by these methods. It answers a preflight at once, and does not count it:
// the limit should count the requests of a page, not the questions of its
// browser. Any other OPTIONS request is a call like any other.
func (s *Server) options(path string, methods []string) http.HandlerFunc {
	allow := []string{strings.Join(methods, ", ")}
	rt := route{path: path, open: true, format: tracking.Open, do: func(c *call) error {
		cors.Allow(c.w.Header(), c.r, allow)
		c.w.Header()["Allow"] = []string{allow[0] + ", " + http.MethodOptions}
		return c.answerEmpty()
	}}
	return func(w http.ResponseWriter, r *http.Request) {
		if !cors.IsPreflight(r) {
			s.serve(&rt, w, r)
			return
		}
		cors.Allow(w.Header(), r, allow)
		w.WriteHeader(http.StatusNoContent)
	}
}

// Package dialect lists the routes that clients of other products call, and
// finds out whose key such a call has. Their paths name no project, so the key
// does: in a header field, or in the body. Package api serves the routes, with
// the same steps as all others. The formats are packages of their own below
// internal/format.
package dialect

import (
	"net/http"
	"slices"
	"time"

	"trackway"
	"trackway/internal/auth"
	"trackway/internal/format"
)

// Route is one row of the table. A call to its paths may end in a slash.
type Route struct {
	Method string
	Path   string
	Also   []string // other paths of the route, with the same parameters; the contract lists them under x-also

	// Admit finds out whose call it is. If it is nil, anybody may call.
	Admit Admit
	Needs trackway.Permission // of the key; empty: any key will do

	Format  *format.Format
	Vary    func(r *http.Request) *format.Format // chooses another format by the header; nil: always Format
	MaxBody int                                  // bytes, inflated; 0: there is no body

	// Reply answers a call that brings no commands. If it is nil, the body has
	// commands, and Format decodes it.
	Reply func(q *Question) (status int, answer []byte)
}

// Admit returns the project and the key of a call. It is first called before
// the body is read, with a nil body. If only the body can tell, it returns an
// empty grant and no error. It is then called again with the whole body, which
// is not nil. This happens only after the limit by address has admitted the
// call, and the body is bounded and has reserved its memory like any other.
type Admit func(keys *auth.Keys, now time.Time, r *http.Request, body []byte) (auth.Grant, *trackway.Error)

// ByToken returns an Admit for calls that are sent with a public key's token.
// find returns the token, or "" if it finds nothing. It is called as Admit is.
func ByToken(find func(r *http.Request, body []byte) string) Admit {
	return func(keys *auth.Keys, now time.Time, r *http.Request, body []byte) (auth.Grant, *trackway.Error) {
		token := find(r, body)
		if token == "" && body == nil {
			return auth.Grant{}, nil
		}
		return keys.ByToken(now, token)
	}
}

// Question is a call that brings no commands.
type Question struct {
	Request *http.Request
	Body    []byte     // whole
	Grant   auth.Grant // empty if anybody may call
}

// Routes returns all rows. There may be no two for a path and a method.
func Routes() []Route {
	return slices.Concat(segmentRoutes(), postHogRoutes(), otlpRoutes(), originalRoutes())
}

// Paths returns all paths of a route: with and without a slash at the end.
func (rt *Route) Paths() (paths []string) {
	for _, path := range append([]string{rt.Path}, rt.Also...) {
		paths = append(paths, path, path+"/{$}")
	}
	return paths
}

// Package position lets a caller read at one server of a cluster what another
// server has acknowledged.
package position

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"trackway/internal/ask"
)

// Log is the log that several servers share, as their readers see it.
type Log interface {
	// Position names how far this server's data goes. It includes everything
	// that this server has acknowledged.
	Position() string

	// Current reports whether this server may answer at once: its data includes
	// everything that it has acknowledged, or it cannot get the rest for now.
	Current() bool

	// Reach waits until this server's data includes everything that it has
	// acknowledged, a position that another server has named, and, if latest is
	// set, everything that any server has acknowledged. The position may be
	// empty. An error is for the client.
	Reach(ctx context.Context, position string, latest bool) error
}

// Header names the position of an answer, and the one that a caller sends.
const Header = "Trackway-Position"

const consistency = "consistency"

// Await waits until a reader may read. A reader sees what this server has
// acknowledged; it may also ask for everything that was acknowledged, or for
// what another server has told it. Await takes the parameter out of the query.
// If log is nil, the server stands alone.
func Await(ctx context.Context, log Log, r *http.Request) error {
	latest := false
	if strings.Contains(r.URL.RawQuery, consistency) {
		if values, err := url.ParseQuery(r.URL.RawQuery); err == nil && values.Has(consistency) {
			if values.Get(consistency) != "strong" {
				return ask.Invalid(consistency, "strong")
			}
			latest = true
			values.Del(consistency)
			r.URL.RawQuery = values.Encode()
		}
	}
	at := r.Header.Get(Header)
	if log == nil || at == "" && !latest && log.Current() {
		return nil
	}
	return log.Reach(ctx, at, latest)
}

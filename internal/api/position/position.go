// Package position lets a caller read at one server of a cluster what another
// server has acknowledged.
package position

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"trackway"
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
	// empty. An error is for the client. It is [ErrBehind] as soon as the
	// leader can answer instead, unless the reader [Stays].
	Reach(ctx context.Context, position string, latest bool) error

	// Leader carries questions to the server that leads.
	Leader() http.RoundTripper
}

// Logs returns the log with the data of a project, by its number. It may be
// that of all projects. If it is not known, it is nil. Logs itself is nil if
// the server stands alone.
type Logs func(project uint32) Log

// Of returns the log with the data of a project, which may be nil.
func (l Logs) Of(p *trackway.Project) Log {
	switch {
	case l == nil:
		return nil
	case p == nil:
		return l(0)
	}
	return l(p.Number)
}

// ErrBehind says that this server lacks what the caller has seen. Another one
// may have it.
var ErrBehind error = &trackway.Error{Code: trackway.Overloaded, Msg: "This server does not have what the others have at the moment. Try again."}

type stay struct{}

// Stay returns a context whose reader must be answered here: the question was
// passed on before, or cannot be.
func Stay(ctx context.Context) context.Context { return context.WithValue(ctx, stay{}, true) }

// Stays reports whether a context is from [Stay].
func Stays(ctx context.Context) bool { return ctx.Value(stay{}) != nil }

// Header names the position of an answer, and the one that a caller sends.
const Header = "Trackway-Position"

const consistency = "consistency"

// tagTime limits how long a reader waits for what an entity tag names.
const tagTime = time.Second

// Tag adds a position to the entity tag of a project's data: the index of the
// last change of that data. So a server that lacks this change knows that the
// caller has seen it. If log is nil or the change has no index in it, Tag
// returns the tag as it is.
func Tag(log Log, index uint64, etag string) string {
	if log == nil || index == 0 {
		return etag
	}
	partition, _, _ := strings.Cut(log.Position(), ".")
	return `"` + partition + "." + strconv.FormatUint(index, 10) + "-" + etag[1:]
}

// tagged returns the position in the first entity tag of If-None-Match, or an
// empty text.
func tagged(values []string) string {
	if len(values) == 0 {
		return ""
	}
	_, tag, _ := strings.Cut(values[0], `"`)
	at, _, ok := strings.Cut(tag, "-")
	if !ok || !strings.Contains(at, ".") {
		return ""
	}
	return at
}

// Await waits until a reader may read. A reader sees what this server has
// acknowledged; it may also ask for everything that was acknowledged, or for
// what another server has told it, above all by the entity tag of an answer.
// Await takes the parameter out of the query. If log is nil, the server stands
// alone.
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
	if log == nil {
		return nil
	}
	at := r.Header.Get(Header)
	if at != "" || latest {
		return log.Reach(ctx, at, latest)
	}
	if !log.Current() {
		if err := log.Reach(ctx, "", false); err != nil {
			return err
		}
	}
	seen := tagged(r.Header["If-None-Match"])
	if seen == "" || Stays(ctx) {
		return nil // the caller gets what this server has
	}
	ctx, cancel := context.WithTimeout(ctx, tagTime)
	defer cancel()
	if err := log.Reach(ctx, seen, false); errors.Is(err, ErrBehind) {
		return err // the leader may have it
	}
	return nil
}

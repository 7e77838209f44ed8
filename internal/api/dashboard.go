package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"trackway"
	"trackway/internal/api/administered"
	"trackway/internal/api/passing"
	"trackway/internal/people"
)

// Dashboard answers what the server's own pages ask, /grid/…, and the admin
// API.
type Dashboard interface {
	// Handler returns the handler of a route of the table, such as
	// "GET /grid/start"; nil if the dashboard does not know it.
	Handler(route string) DashboardHandler
}

// DashboardHandler answers a request, or returns an error. The caller may see
// only a *[trackway.Error]. DashboardHandler gets the caller's address, and
// calls giveBack before it answers a call that is to cost nothing.
type DashboardHandler = func(w http.ResponseWriter, r *http.Request, from netip.Addr, giveBack func()) error

var errNoBody = &trackway.Error{Code: trackway.Invalid, Msg: "This route takes no body."}

// visiting is a call of the dashboard's pages.
type visiting struct {
	*reading

	answer DashboardHandler
}

// visit passes the call to the dashboard, which decides by itself whether to
// let it in. Limits, metrics and common header fields are the same as on the
// other routes. If only another server can answer, that does.
func (c *visiting) visit() error {
	err := c.here()
	if away, ok := errors.AsType[*people.ElsewhereError](err); ok {
		var done bool
		done, err = c.atHolder(c.r.Context(), away.Project, passing.ByUser(away, c.ask.Addr))
		if !done && err == nil {
			err = errNoReader // it has just got the data
		}
	}
	return err
}

func (c *visiting) here() error {
	switch {
	case c.route.maxBody > 0:
		c.r.Body = io.NopCloser(bytes.NewReader(c.body))
	case c.r.ContentLength != 0: // net/http would wait for it before the answer, with a place held
		return errNoBody
	}
	if c.route.admin {
		c.r = administered.By(c.r, c.grant.Key.Name)
	}
	w := &dashboardWriter{ResponseWriter: c.w, c: c.call, begun: func() {}}
	if c.route.place == nil {
		return c.answer(w, c.r, c.ask.Addr, c.giveBack)
	}
	p := c.route.place(&c.places)
	ctx, cancel := context.WithTimeout(c.r.Context(), c.patience)
	defer cancel()
	if !p.Enter(ctx, c.ask.Addr) {
		return errNoReader
	}
	leave := sync.OnceFunc(func() { p.Leave(c.ask.Addr) })
	defer leave()
	switch p {
	case c.places.questions:
		if err := c.reserve(); err != nil {
			return err
		}
		w.begun = func() { // it is answered whole, and may be read slowly
			leave()
			if size, err := strconv.Atoi(c.w.Header().Get("Content-Length")); err == nil {
				c.making.Keep(size)
			}
		}
	case c.places.trials:
		w.begun = leave // the work is done
	case c.places.long: // net/http would end the request's context when the deadline for reading it passes
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
	}
	return c.answer(w, c.r, c.ask.Addr, c.giveBack)
}

// dashboardWriter notes how the pages' handler answers.
type dashboardWriter struct {
	http.ResponseWriter

	c     *call
	begun func() // called when the answer begins
}

// WriteHeader notes the status. A stream is measured when it begins.
func (w *dashboardWriter) WriteHeader(status int) {
	w.c.status = status
	w.begun()
	if w.c.route.stream {
		w.c.observer.measured(w.c)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *dashboardWriter) Write(b []byte) (int, error) {
	if w.c.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w *dashboardWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Package onward passes what operators ask about a project on to a server of
// the cluster that holds its data. Exports and imports are passed on while they
// go on: no server collects them. A call that was passed on is never passed on
// again.
package onward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"trackway/internal/api/passing"
	"trackway/internal/control/relay"
)

// Path is the beginning of the paths of calls that are passed on.
const Path = "/operated/"

// Bounds. A batch of an import is the largest body.
const (
	mostCalls = 16 // under way: half of the connections to a server
	maxBody   = 4 << 20
	enterTime = 5 * time.Second
)

// The reasons why a call was not carried out, or is not known to be.
var (
	errMany   = errors.New("too many commands are passed on to other servers at the moment: try again")
	errLarge  = errors.New("the request is larger than 4 MiB")
	errNobody = errors.New("this server does not hold the data of the project, and none that does has answered: see trackway cluster status")
	errLost   = errors.New("the server that holds the data of the project has not answered, so it is not known whether this was carried out")
)

// Sender passes calls on. It is safe for concurrent use.
type Sender struct {
	places        chan struct{}
	log           *slog.Logger
	quiet, answer time.Duration // see quietTime
}

// New returns a sender.
func New(log *slog.Logger) *Sender {
	return &Sender{make(chan struct{}, mostCalls), log, quietTime, answerTime}
}

// To returns a handler that has a server answer that holds the data. The best
// holder comes first. Another one is tried only if the one before has surely
// not carried the call out, or if the call is a question. A server that hangs
// is given up.
func (s *Sender) To(holders []http.RoundTripper) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "holder", Path: Path})
		},
		Transport:     &carrier{s, holders},
		FlushInterval: -1, // at once
		ModifyResponse: func(res *http.Response) error {
			res.Body = &watched{ReadCloser: res.Body, log: s.log, of: res.Request}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { relay.Refuse(w, err.Error()) },
		ErrorLog:     slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // watched says it
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody {
			relay.Refuse(w, errLarge.Error())
			return
		}
		waiting, cancel := context.WithTimeout(r.Context(), enterTime)
		defer cancel()
		select {
		case s.places <- struct{}{}:
		case <-waiting.Done():
			relay.Refuse(w, errMany.Error())
			return
		}
		defer func() { <-s.places }()
		relay.Tell(r)
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		proxy.ServeHTTP(w, r)
	})
}

// carrier carries a request to one of several servers.
type carrier struct {
	*Sender

	holders []http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	var body *recorded
	if r.Body != nil && r.Body != http.NoBody {
		body = &recorded{from: r.Body}
	}
	var silent []error
	for _, holder := range c.holders {
		ctx, g := guard(r.Context(), holder, c.quiet, c.answer)
		try := r.Clone(ctx)
		if body != nil {
			try.Body = &moving{body.replay(), g}
			try.GetBody = func() (io.ReadCloser, error) { return &moving{body.replay(), g}, nil }
		}
		res, err := holder.RoundTrip(try)
		if err == nil && !passing.Elsewhere(res) {
			res.Request, res.Body = r, &answered{moving{res.Body, g}, ctx}
			return res, nil
		}
		why := (*silentError)(nil)
		if errors.As(context.Cause(ctx), &why) {
			silent = append(silent, why)
		}
		g.end(nil)
		switch {
		case err == nil:
			_ = res.Body.Close() // it says nothing more
		case r.Context().Err() != nil:
			return nil, err
		case r.Method != http.MethodGet && !errors.Is(err, passing.ErrNotCarriedOut):
			return nil, because(errLost, silent)
		}
	}
	return nil, because(errNobody, silent)
}

// because adds to an error which servers have stopped answering.
func because(err error, silent []error) error {
	for _, why := range silent {
		err = fmt.Errorf("%w: %w", err, why)
	}
	return err
}

// watched is the answer of another server. It logs why the answer was cut off,
// since the caller only sees that it was.
type watched struct {
	io.ReadCloser

	log *slog.Logger
	of  *http.Request
}

// Read implements [io.Reader].
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) && w.of.Context().Err() == nil {
		w.log.Warn("the server that holds the data of a project has cut its answer off", "route", strings.TrimPrefix(w.of.URL.Path, Path), "err", err)
	}
	return n, err
}

type passed struct{}

// Taken serves the calls that other servers pass on to this one.
func Taken(next http.Handler) http.Handler {
	return http.StripPrefix(strings.TrimSuffix(Path, "/"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		relay.Believe(r)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), passed{}, true)))
	}))
}

// Passed reports whether another server has passed a call on.
func Passed(ctx context.Context) bool { return ctx.Value(passed{}) != nil }

// NotHere tells the server that has passed a call on that this one does not
// hold the data, and has not carried it out.
func NotHere(w http.ResponseWriter, _ *http.Request) {
	relay.Refuse(w, passing.NotHere(w).Error())
}

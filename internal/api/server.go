// Package api is the public HTTP face: it speaks the wire format of the tracking API and of the data API. Its one idea is
// that a request takes the same few steps in the same order, cheap refusals first, and that each step has one way to refuse:
//
//	address, limit (429) → project and key (400 401 403) → body (413 415) and room for it (503) → decode (400) → do it → answer
//
// routes.go is the table of what is served. The package decides nothing about customers; it does not know how they are kept.
package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/api/body"
	"trackway/internal/api/cors"
	"trackway/internal/api/request"
	"trackway/internal/api/room"
	"trackway/internal/auth"
	"trackway/internal/clientip"
	"trackway/internal/fleet"
	"trackway/internal/guide"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/pace"
	"trackway/internal/limit/traffic"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/query"
	"trackway/internal/rates"
	"trackway/web"
)

// Ingester takes in the commands that came at a time; a nil error and a result without one mean that the command is durable.
// A result that comes with an error is of a command that was refused already.
type Ingester interface {
	Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error
}

// Eraser erases personal data. On return no answer shows it any more, durably; the erasure says when the last byte of it is
// gone from the files.
type Eraser interface {
	Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (query.Erasure, error)

	// Erasures lists those of a project, the newest first.
	Erasures(project uint32) ([]query.Erasure, error)
}

// Config is what a server is made of. All fields are required.
type Config struct {
	Access   Access
	Limits   *limit.Limiter
	Ingest   Ingester
	Store    query.Store
	Eraser   Eraser
	Fleet    *fleet.Fleet
	History  *history.Log // of the limits
	Watch    *watch.Watch // of their callers
	Traffic  *traffic.Recorder
	Rates    *rates.Meter
	Live     *live.Hub
	Version  string // the program's
	Log      *slog.Logger
	Registry prometheus.Registerer
	Bodies   int // bytes that all bodies may take together; 0: 256 MiB
	Answers  int // bytes that all answers that are made whole may take together; 0: 128 MiB

	Dashboard Dashboard     // answers what the dashboard's pages ask
	Built     web.Dashboard // its files
}

// Access is what a reload may replace. It is not written any more.
type Access struct {
	Name    string // this server's, sent as X-Served-By
	Keys    *auth.Keys
	Clients *clientip.Resolver
	Guide   *guide.Guide

	RedirectHosts []string // lower case: calls to them are sent on to a server that is up
}

// Server is the public handler. Safe for concurrent use.
type Server struct {
	Config

	access  atomic.Pointer[access]
	mux     *http.ServeMux
	ids     *request.IDs
	bodies  *body.Intake
	metrics *metrics
	started time.Time
	pace    *pace.Pace

	process  []byte // random: names this process in entity tags
	answers  *room.Room
	places   places
	patience time.Duration // that a question may take
	rest     time.Duration // that the rest of a small body may take, after the answer

	warnedForwarded atomic.Bool // an untrusted peer sent a forwarded address; said once
}

// New returns the handler for the public listener.
func New(c Config) *Server {
	answers := newAnswerMemory(cmp.Or(c.Answers, maxAnswerMemory))
	s := &Server{
		Config: c, mux: http.NewServeMux(), ids: request.NewIDs(),
		bodies: body.NewIntake(cmp.Or(c.Bodies, maxBodiesInMemory), c.Registry), metrics: newMetrics(c.Registry), started: time.Now(),
		pace: pace.New(time.Now()), process: []byte(rand.Text()), answers: answers, places: newPlaces(answers), patience: queryTime, rest: restTime,
	}
	c.Registry.MustRegister(room.NewCollector(s.places.named(s.bodies)), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "trackway_answers_memory_bytes", Help: "Memory that answers take now that are made whole and have not been sent.",
	}, func() float64 { return float64(answers.Used()) }))
	s.Reload(c.Access)
	s.register()
	return s
}

// Reload lets later requests in by other keys, and finds their address by other rules. Requests under way are not affected.
func (s *Server) Reload(a Access) { s.access.Store(&access{Access: a, servedBy: []string{a.Name}}) }

// Access returns what is in force.
func (s *Server) Access() Access { return s.access.Load().Access }

// Clients returns the resolver of addresses in force.
func (s *Server) Clients() *clientip.Resolver { return s.access.Load().Clients }

// access is an Access with its name as the value of a header field.
type access struct {
	Access

	servedBy []string
}

// ServeHTTP serves one request of the public listener.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["X-Request-Id"] = s.ids.Of(r)
	h["X-Served-By"] = s.access.Load().servedBy
	asterisk := r.URL.Path == "*" // OPTIONS about the whole server (RFC 9110, section 7.1): no route, and counted like one
	if asterisk || r.URL.Path == "" {
		r.URL.Path = "/" // also "GET http://host" and "CONNECT host:80", which the mux would redirect
	}
	if strings.Contains(r.URL.Path, "//") {
		request.Collapse(r.URL)
	}
	if asterisk || strings.Contains(r.URL.Path, "/.") && !request.IsClean(r.URL.EscapedPath()) {
		s.serve(&route{path: "/", open: true, do: (*call).unknownRoute}, w, r)
		return
	}
	if s.sendsOn(r) {
		s.serve(&route{path: "(sent on)", open: true, cors: true, do: (*call).sendOn}, w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// call is one request on its way.
type call struct {
	*Server
	access   *access // as it was when the call came
	w        http.ResponseWriter
	r        *http.Request
	route    *route
	received time.Time
	grant    auth.Grant
	sent     body.Body
	body     []byte // whole, inflated; belongs to this request alone
	status   int    // that was answered; 0: nothing yet
	ask      limit.Call
	decision limit.Decision
	fields   limit.Fields
	watched  *watch.Call   // nil: the sample does not hold it
	observed bool          // it is in the metrics
	making   *room.Holding // what the answer takes; nil: it is no question's
}

// serve takes a request of a route through the steps.
func (s *Server) serve(rt *route, w http.ResponseWriter, r *http.Request) {
	c := &call{Server: s, access: s.access.Load(), w: w, r: r, route: rt, received: time.Now()}
	defer c.end()
	c.steps(r.Context())
}

// end counts the call, however it ended. A panic is a bug of ours: it is logged, and the connection closed.
func (c *call) end() {
	bug := recover()
	if c.making != nil {
		c.making.Release() // the answer was sent
	}
	c.observe()
	c.count()
	if bug == nil {
		return
	}
	if bug != http.ErrAbortHandler { //nolint:errorlint // what was panicked with, not what it wraps
		c.Log.Error("panic", "bug", bug, "stack", string(debug.Stack()), "route", c.route.path, "request_id", c.requestID())
	}
	panic(http.ErrAbortHandler)
}

// count counts the call by how it was answered.
func (c *call) count() {
	now := time.Now()
	if c.status >= http.StatusOK && c.status < http.StatusBadRequest {
		c.Rates.Count(now, rates.Answered, 1)
		return
	}
	c.Rates.Count(now, rates.Erred, 1)
	switch {
	case c.status == http.StatusTooManyRequests:
		c.Rates.Count(now, rates.Limited, 1)
	case c.status >= http.StatusInternalServerError:
		c.Rates.Count(now, rates.Failed, 1)
	}
}

// steps takes the call through the steps. Each refuses by answering.
func (c *call) steps(ctx context.Context) {
	if c.route.cors {
		cors.LetPagesRead(c.w.Header(), c.r)
	}
	if !c.route.free && !cors.IsPreflight(c.r) && !c.allowed() {
		return
	}
	if !c.route.open {
		if err := c.authorize(); err != nil {
			c.noteCall(err)
			c.refuse(err)
			return
		}
		if p := c.route.needs; p != "" && !c.grant.Key.May(p) {
			err := notAuthorized(p)
			c.noteCall(err)
			c.fail(err)
			return
		}
	}
	if c.route.maxBody > 0 {
		defer c.sent.Release() // when the answer is sent
		if err := c.read(ctx); err != nil {
			c.noteCall(err)
			c.fail(err)
			return
		}
	}
	if err := c.route.do(c); err != nil {
		c.fail(err)
	}
}

// authorize lets the call in, or returns why not.
func (c *call) authorize() (err *trackway.Error) {
	if c.grant.Key != nil {
		return nil // the limits asked already
	}
	if c.route.server {
		c.grant, err = c.access.Keys.Operator(c.received, c.r.Header.Get("Authorization"))
		return err
	}
	authorization, query := c.r.Header.Get("Authorization"), request.AccessToken(c.r.URL.RawQuery)
	c.grant, err = c.access.Keys.Authorize(c.received, c.r.PathValue("token"), authorization, query)
	return err
}

// maxBodiesInMemory, or [Config.Bodies], bounds what all requests' bodies take together. Beyond it the slowest are dropped, and then
// requests are told to come back (503), so that memory is bounded by this and not by the traffic. An address has half of it, where
// a batch at its largest, 41 MB, has room.
const maxBodiesInMemory = 256 << 20

// read reads the body.
func (c *call) read(ctx context.Context) (err error) {
	if err = c.sent.Open(c.bodies, c.w, c.r, c.ask.Addr, c.route.maxBody); err != nil {
		return err
	}
	c.body, err = c.sent.Read(ctx)
	return err
}

// Package api is the public HTTP face. Every request takes the same few steps
// in the same order, cheap refusals first, and each step has one way to refuse:
//
//	address, limit (429) → project and key (400 401 403) → body (413 415) and room for it (503) → decode (400) → do it → answer
//
// routes.go is the table of what is served, and by which format. A handler is a
// method of a type that has the call and only what the handler needs. The
// package decides nothing about customers, nor knows how they are stored.
package api

import (
	"cmp"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/alarm"
	"trackway/internal/api/body"
	"trackway/internal/api/passing"
	"trackway/internal/api/position"
	"trackway/internal/api/request"
	"trackway/internal/api/rest"
	"trackway/internal/api/room"
	"trackway/internal/audit"
	"trackway/internal/auth"
	"trackway/internal/catalogue"
	"trackway/internal/clientip"
	"trackway/internal/contract/book"
	"trackway/internal/fleet"
	"trackway/internal/format/tracking"
	"trackway/internal/guide"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/pace"
	"trackway/internal/limit/traffic"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/query"
	"trackway/internal/rates"
	"trackway/internal/suspect"
	"trackway/internal/trace"
	"trackway/web"
)

// Ingester stores commands with their times of receipt. If the error is nil,
// each command whose result has no error is durable. If a result already has an
// error before the call, its command was refused before.
//
// Commands and results consist of parts of a request's body, whose memory other
// requests get. If the error is nil, nothing refers to any of them any more.
type Ingester interface {
	Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error
}

// Eraser erases personal data. When Erase returns, no answer shows the data any
// more, even after a crash. The erasure reports when the last byte has left the
// files.
type Eraser interface {
	Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (query.Erasure, error)

	// Erasures lists the erasures of a project, newest first.
	Erasures(project uint32) ([]query.Erasure, error)
}

// Config has the parts of a server. All fields are required, unless they say
// what nil means.
type Config struct {
	Access    Access
	Limits    *limit.Limiter
	Ingest    Ingester
	Store     query.Store
	Eraser    Eraser
	Fleet     *fleet.Fleet
	History   *history.Log // of the limits
	Watch     *watch.Watch // of their callers
	Traffic   *traffic.Recorder
	Rates     *rates.Meter
	Live      *live.Hub
	Types     *catalogue.Set
	Suspects  *suspect.Labeler
	Version   string // the program's
	Log       *slog.Logger
	Registry  prometheus.Registerer
	Bodies    int           // bytes that all bodies may take together; 0: 256 MiB
	Answers   int           // bytes that all answers that are made whole may take together; 0: 128 MiB
	CPUs      int           // processors for which refusals are paced; 0: as many as may run Go code
	Shared    position.Logs // nil: the server stands alone
	Traces    *trace.Tracer // nil: no request is traced
	Audit     *audit.Log    // nil: nothing is recorded
	Contracts *book.Book
	Holders   passing.Holders // nil: this server holds all data

	Dashboard Dashboard     // answers what the dashboard's pages ask
	Built     web.Dashboard // its files

	Alarms func(now time.Time) alarm.Report // what rings, and what has rung
}

// Access is what a reload may replace. It must not be changed while it is in
// use.
type Access struct {
	Name    string // this server's, sent as X-Served-By
	Keys    *auth.Keys
	Clients *clientip.Resolver
	Guide   *guide.Guide

	RedirectHosts []string // lower case: calls to them are sent on to a server that is up
}

// Server is the public handler. Safe for concurrent use.
type Server struct {
	*front

	access atomic.Pointer[access]
	mux    *http.ServeMux
	ids    *request.IDs

	// The parts that the routes need: see routes.
	ingest    Ingester
	reader    *reader
	eraser    Eraser
	servers   *servers
	limiting  *limitFacts
	dashboard Dashboard
	built     *web.Dashboard
	alarms    func(now time.Time) alarm.Report
}

// New returns the handler for the public listener. It panics if the dashboard
// has no handler for one of its routes in the table.
func New(c Config) *Server {
	answers := newAnswerMemory(cmp.Or(c.Answers, maxAnswerMemory))
	places := newPlaces(answers)
	now := time.Now()
	s := &Server{
		front: &front{
			bodies: body.NewIntake(cmp.Or(c.Bodies, maxBodiesInMemory), c.Registry), limits: c.Limits, traffic: c.Traffic, pace: pace.New(now, cmp.Or(c.CPUs, runtime.GOMAXPROCS(0))),
			observer:  &observer{limits: c.Limits, live: c.Live, rates: c.Rates, watch: c.Watch, metrics: newMetrics(c.Registry)},
			lingering: places.lingering, rest: rest.Time, log: c.Log, shared: c.Shared, traces: c.Traces, audit: c.Audit,
			passed: places.passed, away: passing.Away{Holders: c.Holders, Places: places.away, Streams: places.streams},
		},
		mux: http.NewServeMux(), ids: request.NewIDs(), ingest: c.Ingest, eraser: c.Eraser, dashboard: c.Dashboard, built: &c.Built, alarms: c.Alarms,
		reader:   &reader{store: c.Store, places: places, answers: answers, program: c.Version, patience: queryTime, types: c.Types, suspects: c.Suspects, contracts: c.Contracts},
		servers:  &servers{fleet: c.Fleet, rates: c.Rates, version: c.Version, started: now},
		limiting: &limitFacts{limits: c.Limits, history: c.History, watch: c.Watch},
	}
	c.Registry.MustRegister(room.NewCollector(places.named(s.bodies)), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "trackway_answers_memory_bytes", Help: "Memory that answers take now that are made whole and have not been sent.",
	}, func() float64 { return float64(answers.Used()) }))
	s.Reload(c.Access)
	s.register()
	return s
}

// Reload changes the keys that later requests may use, and the rules that find
// their address. It does not affect requests in progress.
func (s *Server) Reload(a Access) { s.access.Store(&access{Access: a, servedBy: []string{a.Name}}) }

// Access returns what is in force.
func (s *Server) Access() Access { return s.access.Load().Access }

// Clients returns the resolver of addresses in force.
func (s *Server) Clients() *clientip.Resolver { return s.access.Load().Clients }

// access is an Access, with the server's name as the value of a header field.
type access struct {
	Access

	servedBy []string
}

// ServeHTTP serves one request of the public listener.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["X-Request-Id"] = s.ids.Of(r)
	h["X-Served-By"] = s.access.Load().servedBy
	asterisk := r.URL.Path == "*" // OPTIONS * (RFC 9110, section 7.1) has no route, and counts like a call that has
	if asterisk || r.URL.Path == "" {
		r.URL.Path = "/" // also "GET http://host" and "CONNECT host:80", which the mux would redirect
	}
	if strings.Contains(r.URL.Path, "//") {
		request.Collapse(r.URL)
	}
	if asterisk || strings.Contains(r.URL.Path, "/.") && !request.IsClean(r.URL.EscapedPath()) {
		s.serve(&route{path: "/", open: true, format: tracking.Own, do: (*call).unknownRoute}, w, r)
		return
	}
	if s.sendsOn(r) {
		s.serve(&route{path: "(sent on)", open: true, format: tracking.Open, do: s.serves((*serving).sendOn)}, w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

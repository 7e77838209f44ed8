// Package dashboard answers the requests of the dashboard's pages: /grid/…. A
// page loads its data once, and later only asks whether it has changed: each
// answer has a version that is cheap to compute. People sign in with a
// password; there are no users, and the server stores no sessions (session.go).
// The steps of the public listener (internal/api) come first: they find the
// address, count the call, and write the errors. The package decides nothing
// about customers: it reads and erases through the same interfaces as the API.
package dashboard

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/alarm"
	"trackway/internal/destination"
	"trackway/internal/fleet"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/traffic"
	"trackway/internal/limit/trial"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/query"
	"trackway/internal/rates"
)

// Eraser erases personal data. The erasure is durable when the call returns.
type Eraser interface {
	Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (query.Erasure, error)
}

// Config is what a dashboard needs. All fields are required.
type Config struct {
	Facts   Facts
	Store   query.Store
	Log     live.Log
	Live    *live.Hub
	Eraser  Eraser
	Rates   *rates.Meter
	Limits  *limit.Limiter
	Watch   *watch.Watch
	History *history.Log
	Fleet   *fleet.Fleet
	Health  func() Health
	Version string // of the program
	Logger  *slog.Logger
	Traffic *traffic.Recorder
	Floors  []limit.Floor // the promises that no limit may break

	Destinations func() []destination.Status
	Alarms       func(now time.Time) alarm.Report
}

// Facts are what a reload can replace. They are immutable.
type Facts struct {
	Password  [32]byte // SHA-256; zero means that nobody can sign in
	Projects  []trackway.Project
	Overrides []trackway.Override
}

// Server answers the requests of the pages. It is safe for concurrent use.
type Server struct {
	Config

	routes  map[string]route // by method and path
	facts   atomic.Pointer[facts]
	origin  *http.CrossOriginProtection
	process string       // part of each version, because counts start again with the process
	streams atomic.Int32 // open ones
	bench   trial.Bench
}

type route struct {
	open bool // does not require a session
	do   func(*request) error
}

// New returns a dashboard.
func New(c Config) *Server {
	s := &Server{Config: c, origin: http.NewCrossOriginProtection(), process: newProcess()}
	s.routes = map[string]route{
		"POST /grid/session":   {true, (*request).signIn},
		"DELETE /grid/session": {true, (*request).signOut},
		"GET /grid/start":      {false, (*request).start},
		"GET /grid/overview":   {false, (*request).overview},
		"GET /grid/live":       {false, (*request).live},
		"GET /grid/customers":  {false, (*request).customers},
		"GET /grid/customer":   {false, (*request).customer},
		"GET /grid/events":     {false, (*request).events},
		"GET /grid/export":     {false, (*request).export},
		"POST /grid/anonymize": {false, (*request).anonymize},
		"GET /grid/limits":     {false, (*request).limits},
		"GET /grid/record":     {false, (*request).record},
		"POST /grid/record":    {false, (*request).setRecord},
		"GET /grid/simulate":   {false, (*request).simulate},
		"GET /grid/suggest":    {false, (*request).suggest},

		"GET /grid/destinations": {false, (*request).destinations},
		"GET /grid/alarms":       {false, (*request).alarms},
	}
	s.bench.Record, s.bench.Limits = c.Traffic, s.tried
	s.Reload(c.Facts)
	return s
}

// Reload makes later requests use other facts. A new password ends all sessions
// and their streams.
func (s *Server) Reload(f Facts) { s.facts.Store(newFacts(f)) }

// facts are Facts in the form in which requests use them.
type facts struct {
	Facts

	key      []byte // signs sessions
	byToken  map[string]*trackway.Project
	byNumber map[uint32]*trackway.Project
	made     time.Time
}

func newFacts(from Facts) *facts {
	f := &facts{
		Facts: from, key: sessionKey(from.Password), made: time.Now(),
		byToken: make(map[string]*trackway.Project), byNumber: make(map[uint32]*trackway.Project),
	}
	for i := range f.Projects {
		p := &f.Projects[i]
		f.byToken[p.Token], f.byNumber[p.Number] = p, p
	}
	return f
}

// request is one request to the dashboard.
type request struct {
	*Server
	facts   *facts // those in force when it came
	w       http.ResponseWriter
	r       *http.Request
	now     time.Time
	expires time.Time // end of the session

	giveBack func() // makes the call free of charge
}

var (
	errSignIn   = &trackway.Error{Code: trackway.Unidentified, Msg: "Sign in first."}
	errNoSignIn = &trackway.Error{
		Code: trackway.Unidentified,
		Msg: "Nobody can sign in: the configuration has no password. Make one (openssl rand -hex 16), and write its SHA-256 " +
			"(printf %s PASSWORD | sha256sum) into it: dashboard: {password_sha256: …}. Then reload.",
	}
	errOrigin = &trackway.Error{Code: trackway.Forbidden, Field: "Origin", Msg: "Pages of other sites may not do this."}
)

// Handler returns the handler of a route, such as "GET /grid/start", or nil if
// there is no such route. If the handler returns an error, it has not sent an
// answer. An error other than a *[trackway.Error] is the server's fault. The
// handler calls giveBack before it answers with a 304 that took no computing.
func (s *Server) Handler(route string) func(w http.ResponseWriter, r *http.Request, giveBack func()) error {
	rt, ok := s.routes[route]
	if !ok {
		return nil
	}
	return func(w http.ResponseWriter, r *http.Request, giveBack func()) error {
		return s.serve(rt, w, r, giveBack)
	}
}

func (s *Server) serve(route route, w http.ResponseWriter, r *http.Request, giveBack func()) error {
	q := &request{Server: s, facts: s.facts.Load(), w: w, r: r, now: time.Now(), giveBack: giveBack}
	if s.origin.Check(r) != nil {
		return errOrigin
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store") // unless the answer has a version
	if !route.open {
		if q.expires = q.facts.session(r, q.now); q.expires.IsZero() {
			if q.facts.Password == ([32]byte{}) {
				return errNoSignIn
			}
			return errSignIn
		}
	}
	err := route.do(q)
	if err != nil {
		h.Del("Etag") // that of the answer that failed
		h.Set("Cache-Control", "no-store")
	}
	return err
}

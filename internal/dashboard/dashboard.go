// Package dashboard answers what the dashboard's pages ask: /grid/…. A page asks
// once, and then again only whether something is new: each answer has a version
// that is cheap to know. People sign in with a password; there are no users and no
// sessions to keep (session.go). The public listener's steps (internal/api) come
// first: they find the address, count the call and write the errors. The package
// decides nothing about customers: it reads and erases by the same means as the API.
package dashboard

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/fleet"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/query"
	"trackway/internal/rates"
)

// Eraser erases personal data, durably on return.
type Eraser interface {
	Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (query.Erasure, error)
}

// Config is what a dashboard is made of. All fields are required.
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
	Version string // the program's
	Logger  *slog.Logger
}

// Facts is what a reload may replace. Immutable.
type Facts struct {
	Password [32]byte // SHA-256; zero: nobody can sign in
	Projects []trackway.Project
}

// Server answers the pages. Safe for concurrent use.
type Server struct {
	Config

	routes  map[string]route // by method and path
	facts   atomic.Pointer[facts]
	origin  *http.CrossOriginProtection
	process string       // in each version, for what is counted begins anew with the process
	streams atomic.Int32 // that are open
}

type route struct {
	open bool // nobody has to be signed in
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
	}
	s.Reload(c.Facts)
	return s
}

// Reload has later requests see other facts. Another password ends all sessions, and the streams of who has them.
func (s *Server) Reload(f Facts) { s.facts.Store(newFacts(f)) }

// facts are Facts, ready for use.
type facts struct {
	Facts

	key      []byte // of sessions
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

// request is one request on its way.
type request struct {
	*Server
	facts   *facts // as they were when it came
	w       http.ResponseWriter
	r       *http.Request
	now     time.Time
	expires time.Time // of the session

	giveBack func() // makes the call cost nothing
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

// Handler returns what answers a route, such as "GET /grid/start"; nil if there is
// none. An error is one that was not answered; if it is not a *[trackway.Error] it
// is the server's own. giveBack is called before a 304 is answered that took no
// computing.
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
	h.Set("Cache-Control", "no-store") // unless there is a version
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
		h.Del("Etag") // of what it would have been
		h.Set("Cache-Control", "no-store")
	}
	return err
}

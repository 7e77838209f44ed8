// Package dashboard answers the requests of the dashboard's pages: /grid/…. A
// page loads its data once, and later only asks whether it has changed: each
// answer has a version that is cheap to compute. People sign in as a user with
// roles (internal/people), or with the one password of the configuration. The
// table of routes says which role each of them needs; access.go says what a
// user sees of an answer. The steps of the public listener (internal/api) come
// first: they find the address, count the call, and write the errors. The
// package decides nothing about customers: it reads and erases through the same
// interfaces as the API.
package dashboard

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/alarm"
	"trackway/internal/audit"
	"trackway/internal/catalogue"
	"trackway/internal/control/members"
	"trackway/internal/control/relay"
	"trackway/internal/destination/listing"
	"trackway/internal/fleet"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/traffic"
	"trackway/internal/limit/trial"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/people"
	"trackway/internal/people/openid"
	"trackway/internal/query"
	"trackway/internal/rates"
	"trackway/internal/suspect"
)

// Eraser erases personal data. The erasure is durable when the call returns.
type Eraser interface {
	Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (query.Erasure, error)
}

// Config is what a dashboard needs. All fields are required, unless they say
// what nil means.
type Config struct {
	Facts   Facts
	Store   query.Store
	Log     func(project uint32) live.Log // that has a project
	Live    *live.Hub
	Holds   func(project uint32) bool // whether this server has the data of a project; nil: it has all
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

	Destinations func(context.Context) ([]listing.Row, []relay.Unanswered, error)
	Cluster      func() members.Status // nil: the server stands alone
	// ChangeUsers replaces the users by those that a function makes of them. It
	// is durable, and in force, when it returns: it calls [Server.Use].
	ChangeUsers func(ctx context.Context, change func(people.List) (people.List, error)) error
	Types       *catalogue.Set
	Suspects    *suspect.Labeler
	Contracts   Contracts
	Alarms      func(now time.Time) alarm.Report
	Audit       *audit.Log // nil: nothing is recorded
}

// Facts are what a reload can replace. They are immutable.
type Facts struct {
	Password  [32]byte // SHA-256; zero means that nobody can sign in by it
	Users     people.List
	Provider  *openid.Provider // nil: none
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

	sessions  people.Sessions
	passwords people.Passwords
}

// route is one row of the table. Only [Server.serve] and [request.project]
// decide by it: a handler gets no project but from the latter, or from
// [request.projects].
type route struct {
	needs people.Role // in the project of the request, or in any if it names none; Nobody: no session is required
	whole bool        // the role has to be one for all projects: the answer is about the server
	do    func(*request) error
}

// New returns a dashboard.
func New(c Config) *Server {
	s := &Server{Config: c, origin: http.NewCrossOriginProtection(), process: newProcess()}
	s.routes = map[string]route{
		"GET /grid/session":    {people.Nobody, false, (*request).ways},
		"POST /grid/session":   {people.Nobody, false, (*request).signIn},
		"DELETE /grid/session": {people.Nobody, false, (*request).signOut},

		"GET /grid/oidc":          {people.Nobody, false, (*request).toProvider},
		"GET /grid/oidc/callback": {people.Nobody, false, (*request).fromProvider},

		"GET /grid/start":      {people.Viewer, false, (*request).start},
		"GET /grid/overview":   {people.Viewer, false, (*request).overview},
		"GET /grid/live":       {people.Viewer, false, (*request).live},
		"GET /grid/customers":  {people.Viewer, false, (*request).customers},
		"GET /grid/customer":   {people.Viewer, false, (*request).customer},
		"GET /grid/catalogue":  {people.Viewer, false, (*request).catalogue},
		"GET /grid/bots":       {people.Viewer, false, (*request).bots},
		"GET /grid/contracts":  {people.Viewer, false, (*request).contracts},
		"POST /grid/contract":  {people.Analyst, false, (*request).tryContract},
		"GET /grid/contract":   {people.Analyst, false, (*request).suggestContract},
		"GET /grid/events":     {people.Viewer, false, (*request).events},
		"GET /grid/export":     {people.Analyst, false, (*request).export},
		"POST /grid/anonymize": {people.Operator, false, (*request).anonymize},

		"GET /grid/limits":       {people.Viewer, true, (*request).limits},
		"GET /grid/record":       {people.Analyst, true, (*request).record},
		"POST /grid/record":      {people.Operator, true, (*request).setRecord},
		"GET /grid/simulate":     {people.Analyst, true, (*request).simulate},
		"GET /grid/suggest":      {people.Analyst, true, (*request).suggest},
		"GET /grid/alarms":       {people.Viewer, true, (*request).alarms},
		"GET /grid/destinations": {people.Viewer, true, (*request).destinations},

		"GET /grid/sessions":    {people.Viewer, false, (*request).listSessions},
		"DELETE /grid/sessions": {people.Viewer, false, (*request).endSession},
		"GET /grid/users":       {people.Admin, true, (*request).listUsers},
		"POST /grid/users":      {people.Admin, true, (*request).addUser},
		"PUT /grid/users":       {people.Admin, true, (*request).changeUser},
		"DELETE /grid/users":    {people.Admin, true, (*request).removeUser},
		"GET /grid/audit":       {people.Admin, true, (*request).listAudit},
	}
	s.bench.Record, s.bench.Limits = c.Traffic, s.tried
	s.Reload(c.Facts)
	return s
}

// Reload makes later requests use other facts. A new password of the
// configuration ends all its sessions and their streams. A user's sessions end
// with the user, or with another password or other roles, and those of accounts
// with other terms of the provider.
func (s *Server) Reload(f Facts) {
	s.facts.Store(newFacts(f))
	s.sessions.Keep(f.Users, f.Provider.Terms())
}

// Use makes later requests use other users. It must not run at the same time as
// Reload.
func (s *Server) Use(users people.List) {
	f := s.facts.Load().Facts
	f.Users = users
	s.Reload(f)
}

// Sessions returns the sessions of all users.
func (s *Server) Sessions() []people.Session {
	return s.sessions.List(time.Now(), func(*people.Session) bool { return true })
}

// SignOut ends all sessions of a user, or of the accounts of a name, and
// returns how many there were.
func (s *Server) SignOut(user string) int {
	return s.sessions.End(func(o *people.Session) bool { return o.User == user })
}

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
	route   route
	w       http.ResponseWriter
	r       *http.Request
	from    netip.Addr // the caller's address; invalid if it is unknown
	now     time.Time
	session people.Session
	user    *people.User // whose session it is

	giveBack func() // makes the call free of charge
}

var (
	errSignIn   = &trackway.Error{Code: trackway.Unidentified, Msg: "Sign in first."}
	errNoSignIn = &trackway.Error{
		Code: trackway.Unidentified,
		Msg: "Nobody can sign in: the configuration has no password, and there are no users. Make a user: trackway user add NAME --role admin. " +
			"Or make a password (openssl rand -hex 16), and write its SHA-256 " +
			"(printf %s PASSWORD | sha256sum) into the configuration: dashboard: {password_sha256: …}. Then reload.",
	}
	errOrigin = &trackway.Error{Code: trackway.Forbidden, Field: "Origin", Msg: "Pages of other sites may not do this."}
)

// closed reports whether nobody can sign in.
func (f *facts) closed() bool {
	return f.Password == ([32]byte{}) && len(f.Users) == 0 && f.Provider == nil
}

// Handler returns the handler of a route, such as "GET /grid/start", or nil if
// there is no such route. If the handler returns an error, it has not sent an
// answer. An error other than a *[trackway.Error] is the server's fault. The
// handler gets the caller's address, which is invalid if it is unknown, and
// calls giveBack before it answers with a 304 that took no computing.
func (s *Server) Handler(route string) func(w http.ResponseWriter, r *http.Request, from netip.Addr, giveBack func()) error {
	rt, ok := s.routes[route]
	if !ok {
		return nil
	}
	return func(w http.ResponseWriter, r *http.Request, from netip.Addr, giveBack func()) error {
		return s.serve(&request{Server: s, facts: s.facts.Load(), route: rt, w: w, r: r, from: from, now: time.Now(), giveBack: giveBack})
	}
}

func (s *Server) serve(q *request) error {
	if s.origin.Check(q.r) != nil {
		return errOrigin
	}
	h := q.w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store") // unless the answer has a version
	if q.route.needs != people.Nobody {
		if err := q.enter(); err != nil {
			return err
		}
	}
	err := q.route.do(q)
	if err != nil {
		h.Del("Etag") // that of the answer that failed
		h.Set("Cache-Control", "no-store")
	}
	return err
}

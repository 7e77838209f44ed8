package api

import (
	"maps"
	"net/http"
	"slices"

	"trackway"
	"trackway/internal/api/administered"
	"trackway/internal/api/dialect"
	"trackway/internal/api/room"
	"trackway/internal/api/traced"
	"trackway/internal/format"
	"trackway/internal/format/tracking"
	"trackway/internal/suspect"
)

// Sizes of bodies, inflated. An event may have 800 KB, and the rest of a body
// is small.
const (
	maxSmallBody  = 64 << 10
	maxSingleBody = trackway.MaxEventBytes + 16<<10
	maxBulkBody   = 1 << 20 // a thousand customers with four identifiers at their longest
	maxBatchBody  = trackway.MaxCommands*trackway.MaxEventBytes + 64<<10
)

// route is one row of the table.
type route struct {
	method  string
	path    string
	open    bool                // nobody has to say who they are
	needs   trackway.Permission // what the key has to have; empty: any key of the project will do
	server  bool                // it is about the server and no project: a key of any will do
	admin   bool                // it changes the configuration: only a key of the server will do
	free    bool                // it costs nothing
	format  *format.Format      // how the callers speak
	stream  bool                // the answer goes on for as long as the caller stays
	maxBody int                 // bytes; 0: there is no body
	current bool                // it reads what other servers of a cluster may have changed

	anywhere bool                       // it needs no data of the project
	place    func(*places) *room.Places // which the dashboard needs; nil: none
	do       func(*call) error          // nil: the dashboard answers
	dialect  *dialect.Route             // nil: it is a route of this server's own API
}

const (
	trackPath = "/track/v2/projects/{token}/"
	dataPath  = "/data/v2/projects/{token}/"

	projectPath = "/api/projects/{token}/"
)

// routes is all that the public listener serves. Nothing else lists the routes:
// the guide, the checks of limits and the tests receive them (published.go).
func (s *Server) routes() []route {
	return slices.Concat(s.ownRoutes(), adminRoutes(), s.dialects())
}

func (s *Server) ownRoutes() []route {
	return []route{
		{method: "GET", path: trackPath + "system/time", format: tracking.Open, anywhere: true, do: (*call).systemTime},
		{method: "POST", path: trackPath + tracking.Customers, needs: trackway.SetCustomers, format: tracking.Single(tracking.Customers), maxBody: maxSingleBody, do: s.takes},
		{method: "POST", path: trackPath + tracking.Events, needs: trackway.SetEvents, format: tracking.Single(tracking.Events), maxBody: maxSingleBody, do: s.takes},
		{method: "POST", path: trackPath + tracking.Clicks, needs: trackway.SetEvents, format: tracking.Single(tracking.Clicks), maxBody: maxSingleBody, do: s.takes},
		{method: "POST", path: trackPath + "batch", format: tracking.Batch, maxBody: maxBatchBody, do: s.takes},

		{method: "POST", path: dataPath + "customers/export-one", needs: trackway.GetCustomers, format: tracking.Data, maxBody: maxSmallBody, current: true, do: s.reads((*reading).exportOne)},
		{method: "POST", path: dataPath + "customers/events", needs: trackway.GetEvents, format: tracking.Data, maxBody: maxSmallBody, current: true, do: s.reads((*reading).events)},
		{method: "POST", path: dataPath + "customers/attributes", needs: trackway.GetCustomers, format: tracking.Data, maxBody: maxSmallBody, current: true, do: s.reads((*reading).attributes)},
		{method: "POST", path: dataPath + "customers/export", needs: trackway.GetCustomers, format: tracking.Data, maxBody: maxSmallBody, current: true, do: s.reads((*reading).export)},
		{method: "POST", path: dataPath + "customers/anonymize", needs: trackway.GDPR, format: tracking.Data, maxBody: maxSmallBody, do: s.erases((*erasing).anonymize)},
		{method: "POST", path: dataPath + "customers/anonymize_bulk", needs: trackway.GDPR, format: tracking.Data, maxBody: maxBulkBody, do: s.erases((*erasing).anonymizeBulk)},
		{method: "GET", path: dataPath + "consent/categories", format: tracking.OpenData, current: true, do: s.reads((*reading).consentCategories)},

		{method: "GET", path: "/api/servers", open: true, format: tracking.Open, do: s.serves((*serving).serverList)},
		{method: "GET", path: "/api/srvlist", open: true, format: tracking.Own, do: s.serves((*serving).serverNames)},
		{method: "GET", path: "/api/status", open: true, format: tracking.Own, do: s.serves((*serving).serverStatus)},
		{method: "GET", path: "/api/limits", open: true, format: tracking.Own, do: document(limits)},
		{method: "GET", path: "/api/limits/changes", server: true, needs: trackway.Admin, format: tracking.Own, do: s.aboutLimits((*limiting).changes)},
		{method: "GET", path: "/api/limits/usage", server: true, needs: trackway.Admin, format: tracking.Own, do: s.aboutLimits((*limiting).limitUsage)},
		{method: "GET", path: "/api/limits/callers", server: true, needs: trackway.Admin, format: tracking.Own, do: s.aboutLimits((*limiting).limitCallers)},
		{method: "GET", path: "/api/limits/record", server: true, needs: trackway.Admin, format: tracking.Own, do: s.aboutLimits((*limiting).record)},
		{method: "POST", path: "/api/limits/record", server: true, needs: trackway.Admin, format: tracking.Own, maxBody: maxSmallBody, do: s.aboutLimits((*limiting).record)},
		{method: "GET", path: "/api/alarms", server: true, needs: trackway.Admin, format: tracking.Own, do: func(c *call) error { return c.operated(s.alarms(c.received)) }},
		{method: "GET", path: "/api/audit", server: true, needs: trackway.Admin, format: tracking.Own, do: (*call).listAudit},

		{method: "GET", path: projectPath + "customers", needs: trackway.GetCustomers, format: tracking.Own, current: true, do: s.reads((*reading).customers)},
		{method: "GET", path: projectPath + "customers/{id}", needs: trackway.GetCustomers, format: tracking.Own, current: true, do: s.reads((*reading).customer)},
		{method: "GET", path: projectPath + "customers/{id}/events", needs: trackway.GetEvents, format: tracking.Own, current: true, do: s.reads((*reading).timeline)},
		{method: "GET", path: projectPath + "erasures", needs: trackway.GDPR, format: tracking.Own, do: s.erases((*erasing).erasures)},
		{method: "GET", path: projectPath + "events", needs: trackway.GetEvents, format: tracking.Own, current: true, do: s.reads((*reading).projectEvents)},
		{method: "GET", path: projectPath + "stats", needs: trackway.GetEvents, format: tracking.Own, current: true, do: s.reads((*reading).stats)},
		{method: "GET", path: projectPath + "catalogue", needs: trackway.GetEvents, format: tracking.Own, do: s.reads((*reading).catalogue)},
		{method: "GET", path: projectPath + "bots", needs: trackway.GetEvents, format: tracking.Own, do: s.reads((*reading).bots)},
		{method: "GET", path: projectPath + "contracts", needs: trackway.GetEvents, format: tracking.Own, do: s.reads((*reading).contractList)},
		{method: "GET", path: projectPath + "usage", needs: trackway.Admin, format: tracking.Own, current: true, do: s.reads((*reading).projectUsage)},

		{method: "GET", path: "/openapi.yaml", open: true, free: true, format: tracking.Own, do: document(contract)},
		{method: "GET", path: "/about/api", open: true, free: true, format: tracking.Own, do: document(about)},
		{method: "GET", path: "/{$}", open: true, free: true, format: tracking.Own, do: s.loads((*loading).home)},
		{method: "GET", path: "/assets/{name}", open: true, free: true, format: tracking.Own, do: s.loads((*loading).asset)},

		{method: "GET", path: "/grid/session", open: true, format: tracking.Own},
		{method: "POST", path: "/grid/session", open: true, format: tracking.Own, maxBody: maxSmallBody},
		{method: "DELETE", path: "/grid/session", open: true, format: tracking.Own},
		{method: "GET", path: "/grid/oidc", open: true, format: tracking.Own},
		{method: "GET", path: "/grid/oidc/callback", open: true, format: tracking.Own},
		{method: "GET", path: "/grid/start", open: true, format: tracking.Own, place: forQuestions},
		{method: "GET", path: "/grid/overview", open: true, format: tracking.Own, place: forQuestions},
		{method: "GET", path: "/grid/live", open: true, format: tracking.Own, stream: true, place: forWatchers},
		{method: "GET", path: "/grid/customers", open: true, format: tracking.Own, place: forQuestions},
		{method: "GET", path: "/grid/customer", open: true, format: tracking.Own, place: forQuestions},
		{method: "GET", path: "/grid/events", open: true, format: tracking.Own, place: forQuestions},
		{method: "GET", path: "/grid/export", open: true, format: tracking.Own, place: forLong},
		{method: "POST", path: "/grid/anonymize", open: true, format: tracking.Own, maxBody: maxSmallBody, place: forErasures},
		{method: "GET", path: "/grid/limits", open: true, format: tracking.Own},
		{method: "GET", path: "/grid/record", open: true, format: tracking.Own},
		{method: "POST", path: "/grid/record", open: true, format: tracking.Own, maxBody: maxSmallBody},
		{method: "GET", path: "/grid/simulate", open: true, format: tracking.Own, place: forTrials},
		{method: "GET", path: "/grid/suggest", open: true, format: tracking.Own, place: forTrials},
		{method: "GET", path: "/grid/destinations", open: true, format: tracking.Own},
		{method: "GET", path: "/grid/sessions", open: true, format: tracking.Own},
		{method: "DELETE", path: "/grid/sessions", open: true, format: tracking.Own},
		{method: "GET", path: "/grid/users", open: true, format: tracking.Own},
		{method: "POST", path: "/grid/users", open: true, format: tracking.Own, maxBody: maxSmallBody},
		{method: "PUT", path: "/grid/users", open: true, format: tracking.Own, maxBody: maxSmallBody},
		{method: "DELETE", path: "/grid/users", open: true, format: tracking.Own},
		{method: "GET", path: "/grid/catalogue", open: true, format: tracking.Own, place: forQuestions},
		{method: "GET", path: "/grid/bots", open: true, format: tracking.Own},
		{method: "GET", path: "/grid/contracts", open: true, format: tracking.Own},
		{method: "GET", path: "/grid/contract", open: true, format: tracking.Own, place: forTrials},
		{method: "POST", path: "/grid/contract", open: true, format: tracking.Own, maxBody: maxSmallBody, place: forTrials},
		{method: "GET", path: "/grid/alarms", open: true, format: tracking.Own},
		{method: "GET", path: "/grid/audit", open: true, format: tracking.Own},
	}
}

// adminRoutes are those of the admin API.
func adminRoutes() (routes []route) {
	for _, r := range administered.Routes() {
		rt := route{method: r.Method, path: r.Path, admin: true, format: tracking.Own}
		if r.Body {
			rt.maxBody = maxSmallBody
		}
		routes = append(routes, rt)
	}
	return routes
}

// The handlers of the table, each with the call and what it needs.

func (s *Server) takes(c *call) error {
	in := s.reader.suspects.Ingest(s.ingest, c.grant.Project, c.grant.Key, suspect.Origin{Address: c.ask.Addr, Agent: c.r.UserAgent()})
	return (&taking{c, traced.Ingest(in, c.span)}).take()
}

func (s *Server) reads(do func(*reading) error) func(*call) error {
	return func(c *call) error { return do(&reading{c, s.reader}) }
}

func (s *Server) erases(do func(*erasing) error) func(*call) error {
	return func(c *call) error { return do(&erasing{&reading{c, s.reader}, s.eraser}) }
}

func (s *Server) serves(do func(*serving) error) func(*call) error {
	return func(c *call) error { return do(&serving{&reading{c, s.reader}, s.servers}) }
}

func (s *Server) aboutLimits(do func(*limiting) error) func(*call) error {
	return func(c *call) error { return do(&limiting{c, s.limiting}) }
}

func (s *Server) loads(do func(*loading) error) func(*call) error {
	return func(c *call) error { return do(&loading{c, s.built}) }
}

// visits returns the handler of a route that the dashboard answers.
func (s *Server) visits(route string) func(*call) error {
	answer := s.dashboard.Handler(route)
	if answer == nil {
		panic("bug: the dashboard does not know " + route)
	}
	return func(c *call) error { return (&visiting{&reading{c, s.reader}, answer}).visit() }
}

// register puts the table into the mux. It also registers the answers for
// everything that is not in the table: 405 on a path that has other methods,
// and 404 elsewhere. The same policies limit these as the routes.
func (s *Server) register() {
	methods, foreign := map[string][]string{}, map[string]bool{}
	for _, rt := range s.routes() {
		if rt.do == nil {
			rt.do = s.visits(rt.method + " " + rt.path)
		}
		for _, path := range rt.paths() {
			s.handle(rt.method+" "+path, rt)
			methods[path] = append(methods[path], rt.method)
			foreign[path] = foreign[path] || rt.format.AnySite
			if rt.method == http.MethodGet {
				methods[path] = append(methods[path], http.MethodHead)
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(methods)) {
		allowed, of := methods[path], tracking.Own
		if foreign[path] {
			of = tracking.Open
			s.mux.HandleFunc("OPTIONS "+path, s.options(path, methods[path]))
			allowed = append(allowed, http.MethodOptions)
		}
		s.handle(path, route{path: path, open: true, format: of, do: notAllowed(allowed)})
	}
	for _, path := range []string{"/track", "/track/"} { // the former, or the mux would redirect it to the latter
		s.handle(path, route{path: "/track/", open: true, format: tracking.Open, do: (*call).unknownRoute})
	}
	s.handle("/", route{path: "/", open: true, format: tracking.Own, do: (*call).unknownRoute})
}

func (s *Server) handle(pattern string, rt route) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(&rt, w, r) })
}

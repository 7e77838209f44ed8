package api

import (
	"maps"
	"net/http"
	"slices"

	"trackway"
	"trackway/internal/api/room"
	"trackway/internal/format/tracking"
)

// Sizes of bodies, inflated. An event may have 800 KB; what goes around it is small.
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
	open    bool                       // nobody has to say who they are
	needs   trackway.Permission        // what the key has to have; empty: any key of the project will do
	server  bool                       // it is about the server and no project: a key of any will do
	free    bool                       // it costs nothing
	cors    bool                       // browsers of any site may call it
	data    bool                       // errors are an object of arrays, as the data API's clients expect
	stream  bool                       // the answer goes on for as long as the caller stays
	maxBody int                        // bytes; 0: there is no body
	place   func(*places) *room.Places // which the pages' handler needs; nil: none
	do      func(*call) error
}

const (
	track = "/track/v2/projects/{token}/"
	data  = "/data/v2/projects/{token}/"

	project = "/api/projects/{token}/"
)

// routes is all that the public listener serves.
func routes() []route {
	return []route{
		{method: "GET", path: track + "system/time", cors: true, do: (*call).systemTime},
		{method: "POST", path: track + tracking.Customers, needs: trackway.SetCustomers, cors: true, maxBody: maxSingleBody, do: single(tracking.Customers)},
		{method: "POST", path: track + tracking.Events, needs: trackway.SetEvents, cors: true, maxBody: maxSingleBody, do: single(tracking.Events)},
		{method: "POST", path: track + tracking.Clicks, needs: trackway.SetEvents, cors: true, maxBody: maxSingleBody, do: single(tracking.Clicks)},
		{method: "POST", path: track + "batch", cors: true, maxBody: maxBatchBody, do: (*call).batch}, // each command needs its own

		{method: "POST", path: data + "customers/export-one", needs: trackway.GetCustomers, data: true, maxBody: maxSmallBody, do: (*call).exportOne},
		{method: "POST", path: data + "customers/events", needs: trackway.GetEvents, data: true, maxBody: maxSmallBody, do: (*call).events},
		{method: "POST", path: data + "customers/attributes", needs: trackway.GetCustomers, data: true, maxBody: maxSmallBody, do: (*call).attributes},
		{method: "POST", path: data + "customers/export", needs: trackway.GetCustomers, data: true, maxBody: maxSmallBody, do: (*call).export},
		{method: "POST", path: data + "customers/anonymize", needs: trackway.GDPR, data: true, maxBody: maxSmallBody, do: (*call).anonymize},
		{method: "POST", path: data + "customers/anonymize_bulk", needs: trackway.GDPR, data: true, maxBody: maxBulkBody, do: (*call).anonymizeBulk},
		{method: "GET", path: data + "consent/categories", cors: true, data: true, do: (*call).consentCategories},

		{method: "GET", path: "/api/servers", open: true, cors: true, do: (*call).servers},
		{method: "GET", path: "/api/srvlist", open: true, do: (*call).serverNames},
		{method: "GET", path: "/api/status", open: true, do: (*call).serverStatus},
		{method: "GET", path: "/api/limits", open: true, do: document(limits)},
		{method: "GET", path: "/api/limits/changes", server: true, needs: trackway.Admin, do: (*call).changes},
		{method: "GET", path: "/api/limits/usage", server: true, needs: trackway.Admin, do: (*call).limitUsage},
		{method: "GET", path: "/api/limits/callers", server: true, needs: trackway.Admin, do: (*call).limitCallers},

		{method: "GET", path: project + "customers", needs: trackway.GetCustomers, do: (*call).customers},
		{method: "GET", path: project + "customers/{id}", needs: trackway.GetCustomers, do: (*call).customer},
		{method: "GET", path: project + "customers/{id}/events", needs: trackway.GetEvents, do: (*call).timeline},
		{method: "GET", path: project + "erasures", needs: trackway.GDPR, do: (*call).erasures},
		{method: "GET", path: project + "events", needs: trackway.GetEvents, do: (*call).projectEvents},
		{method: "GET", path: project + "stats", needs: trackway.GetEvents, do: (*call).stats},
		{method: "GET", path: project + "usage", needs: trackway.Admin, do: (*call).projectUsage},

		{method: "GET", path: "/openapi.yaml", open: true, free: true, do: document(contract)},
		{method: "GET", path: "/about/api", open: true, free: true, do: document(about)},
		{method: "GET", path: "/{$}", open: true, free: true, do: (*call).home},
		{method: "GET", path: "/assets/{name}", open: true, free: true, do: (*call).asset},

		{method: "POST", path: "/grid/session", open: true, maxBody: maxSmallBody, do: (*call).dashboard},
		{method: "DELETE", path: "/grid/session", open: true, do: (*call).dashboard},
		{method: "GET", path: "/grid/start", open: true, place: forQuestions, do: (*call).dashboard},
		{method: "GET", path: "/grid/overview", open: true, place: forQuestions, do: (*call).dashboard},
		{method: "GET", path: "/grid/live", open: true, stream: true, place: forWatchers, do: (*call).dashboard},
		{method: "GET", path: "/grid/customers", open: true, place: forQuestions, do: (*call).dashboard},
		{method: "GET", path: "/grid/customer", open: true, place: forQuestions, do: (*call).dashboard},
		{method: "GET", path: "/grid/events", open: true, place: forQuestions, do: (*call).dashboard},
		{method: "GET", path: "/grid/export", open: true, place: forLong, do: (*call).dashboard},
		{method: "POST", path: "/grid/anonymize", open: true, maxBody: maxSmallBody, place: forErasures, do: (*call).dashboard},
		{method: "GET", path: "/grid/limits", open: true, do: (*call).dashboard},
	}
}

// register puts the table into the mux, together with what answers where the table says nothing: 405 on a path that has
// other methods, 404 elsewhere. Those are limited like any route, by the same policies.
func (s *Server) register() {
	methods, foreign := map[string][]string{}, map[string]bool{}
	for _, rt := range routes() {
		s.handle(rt.method+" "+rt.path, rt)
		methods[rt.path] = append(methods[rt.path], rt.method)
		foreign[rt.path] = foreign[rt.path] || rt.cors
		if rt.method == http.MethodGet {
			methods[rt.path] = append(methods[rt.path], http.MethodHead)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(methods)) {
		allowed := methods[path]
		cors := foreign[path]
		if cors {
			s.mux.HandleFunc("OPTIONS "+path, s.options(path, methods[path]))
			allowed = append(allowed, http.MethodOptions)
		}
		s.handle(path, route{path: path, open: true, cors: cors, do: notAllowed(allowed)})
	}
	for _, path := range []string{"/track", "/track/"} { // the former, or the mux would redirect it to the latter
		s.handle(path, route{path: "/track/", open: true, cors: true, do: (*call).unknownRoute})
	}
	s.handle("/", route{path: "/", open: true, do: (*call).unknownRoute})
}

func (s *Server) handle(pattern string, rt route) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(&rt, w, r) })
}

package dashboard

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/api"
	"trackway/internal/destination"
	"trackway/internal/limit/history"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/people"
	"trackway/internal/people/openid"
	"trackway/internal/suspect"
)

const (
	goodPassword = "a good password"
	otherToken   = "22345678-1234-1234-1234-123456789abc"
)

// aHash is that of goodPassword.
var aHash = sync.OnceValue(func() string { return people.Hash(goodPassword) })

// actors are those of the matrix, with the roles of each. Nobody is not
// signed in.
var actors = []struct {
	name  string
	roles []string
}{
	{"nobody", nil},
	{"viewer", []string{"viewer"}},
	{"analyst", []string{"analyst"}},
	{"operator", []string{"operator"}},
	{"admin", []string{"admin"}},
	{"viewer-here", []string{"viewer:" + token}},
	{"operator-here", []string{"operator:" + token}},
	{"operator-elsewhere", []string{"operator:" + otherToken}},
	{"mixed", []string{"viewer:" + token, "operator:" + otherToken}},
}

// The outcomes for an actor.
const (
	signIn  = "sign in" // 401
	mayNot  = "may not" // 403
	none    = "none"    // 404: there is no such project
	partly  = "partly"  // without what names a customer
	allowed = "yes"     // with everything that the route has
)

// matrix says who may do what. The outcomes are in the order of the actors.
var matrix = map[string]struct {
	path, body string // instead of the route's
	names      bool   // the whole answer names customers or callers
	who        []string
}{
	"GET /grid/session": {who: []string{allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed}},
	"POST /grid/session": {
		body: `{"name":"victim","password":"` + goodPassword + `"}`,
		who:  []string{allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed},
	},
	"DELETE /grid/session": {who: []string{allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed}},

	"GET /grid/oidc":          {who: []string{allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed}},
	"GET /grid/oidc/callback": {who: []string{allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed}},

	"GET /grid/start":    {who: []string{signIn, allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed}},
	"GET /grid/overview": {who: []string{signIn, allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed}},
	"GET /grid/live": {
		path: "/grid/live?rejected=1", names: true,
		who: []string{signIn, partly, allowed, allowed, allowed, partly, allowed, partly, partly},
	},
	"GET /grid/customers": {
		path: "/grid/customers?project=" + token, names: true,
		who: []string{signIn, partly, allowed, allowed, allowed, partly, allowed, none, partly},
	},
	"GET /grid/customer": {
		path: "/grid/customer?customer=1&project=" + token, names: true,
		who: []string{signIn, partly, allowed, allowed, allowed, partly, allowed, none, partly},
	},
	"GET /grid/events": {
		path: "/grid/events?project=" + token, names: true,
		who: []string{signIn, partly, allowed, allowed, allowed, partly, allowed, none, partly},
	},
	"GET /grid/catalogue": {
		path: "/grid/catalogue?project=" + token, // it has values that many customers share, and names nobody
		who:  []string{signIn, allowed, allowed, allowed, allowed, allowed, allowed, none, allowed},
	},
	"GET /grid/bots": {
		path: "/grid/bots?project=" + token,
		who:  []string{signIn, allowed, allowed, allowed, allowed, allowed, allowed, none, allowed},
	},
	"GET /grid/contracts": {
		path: "/grid/contracts?project=" + token, // it has what the configuration says, counts and types of values
		who:  []string{signIn, allowed, allowed, allowed, allowed, allowed, allowed, none, allowed},
	},
	"GET /grid/contract": {
		path: "/grid/contract?type=visit&project=" + token,
		who:  []string{signIn, mayNot, allowed, allowed, allowed, mayNot, allowed, none, mayNot},
	},
	"POST /grid/contract": {
		body: `{"project":"` + token + `","type":"visit","schema":"{\"required\":[\"page\"]}"}`,
		who:  []string{signIn, mayNot, allowed, allowed, allowed, mayNot, allowed, none, mayNot},
	},
	"GET /grid/export": {
		path: "/grid/export?customer=1&project=" + token, names: true,
		who: []string{signIn, mayNot, allowed, allowed, allowed, mayNot, allowed, none, mayNot},
	},
	"POST /grid/anonymize": {
		body: `{"project":"` + token + `","customer":"1"}`,
		who:  []string{signIn, mayNot, mayNot, allowed, allowed, mayNot, allowed, none, mayNot},
	},

	"GET /grid/limits": {names: true, who: []string{signIn, partly, allowed, allowed, allowed, mayNot, mayNot, mayNot, mayNot}},
	"GET /grid/record": {who: []string{signIn, mayNot, allowed, allowed, allowed, mayNot, mayNot, mayNot, mayNot}},
	"POST /grid/record": {
		body: `{"record":true}`,
		who:  []string{signIn, mayNot, mayNot, allowed, allowed, mayNot, mayNot, mayNot, mayNot},
	},
	"GET /grid/simulate": {
		path: "/grid/simulate?policy=grid&limit=1", names: true,
		who: []string{signIn, mayNot, allowed, allowed, allowed, mayNot, mayNot, mayNot, mayNot},
	},
	"GET /grid/suggest":      {path: "/grid/suggest?policy=grid", who: []string{signIn, mayNot, allowed, allowed, allowed, mayNot, mayNot, mayNot, mayNot}},
	"GET /grid/alarms":       {who: []string{signIn, allowed, allowed, allowed, allowed, mayNot, mayNot, mayNot, mayNot}},
	"GET /grid/destinations": {names: true, who: []string{signIn, partly, allowed, allowed, allowed, mayNot, mayNot, mayNot, mayNot}},

	"GET /grid/sessions":    {who: []string{signIn, allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed}},
	"DELETE /grid/sessions": {who: []string{signIn, allowed, allowed, allowed, allowed, allowed, allowed, allowed, allowed}},
	"GET /grid/users":       {who: []string{signIn, mayNot, mayNot, mayNot, allowed, mayNot, mayNot, mayNot, mayNot}},
	"POST /grid/users": {
		body: `{"name":"somebody","password":"` + goodPassword + `","roles":["viewer"]}`,
		who:  []string{signIn, mayNot, mayNot, mayNot, allowed, mayNot, mayNot, mayNot, mayNot},
	},
	"PUT /grid/users": {
		body: `{"name":"victim","roles":["admin"]}`,
		who:  []string{signIn, mayNot, mayNot, mayNot, allowed, mayNot, mayNot, mayNot, mayNot},
	},
	"GET /grid/audit":    {who: []string{signIn, mayNot, mayNot, mayNot, allowed, mayNot, mayNot, mayNot, mayNot}},
	"DELETE /grid/users": {path: "/grid/users?name=victim", who: []string{signIn, mayNot, mayNot, mayNot, allowed, mayNot, mayNot, mayNot, mayNot}},
}

// peopled is a fixture with two projects, users, and data that names somebody
// in every answer that can.
func peopled(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	facts := f.facts.Load().Facts
	facts.Projects = append(slices.Clone(facts.Projects), trackway.Project{Name: "shop", Token: otherToken, Hard: []string{"registered"}})
	if err := f.store.Register(facts.Projects); err != nil {
		t.Fatal(err)
	}
	facts.Users = people.List{{Name: "victim", Password: aHash(), All: people.Viewer}}
	for _, a := range actors[1:] {
		u, err := people.NewUser(a.name, aHash(), a.roles)
		if err != nil {
			t.Fatal(err)
		}
		facts.Users = append(facts.Users, u)
	}
	f.Reload(facts)
	f.apply(t, "", "jane-secret", "", "secret@x")
	f.apply(t, "view", "", "secret-cookie", "secret@x")
	f.apply(t, "view", "jane-secret", "secret-cookie", "secret@x") // this merges the two
	f.Live.Reject(&live.Rejection{
		Project: 1, Received: 7, Command: "customers", Reason: "No.", Address: netip.MustParseAddr("203.0.113.77"),
		IDs: []trackway.Identifier{{Name: "registered", Value: "jane-secret"}},
	})
	for i, field := range []string{"customer_ids", "customer_ids.jane-secret"} {
		f.Live.Reject(&live.Rejection{
			Project: 1, Received: trackway.Micros(8 + i), Command: "customers", Field: field, Address: netip.MustParseAddr("203.0.113.77"),
			Reason: "Field '" + field + `': expected registered or cookie, got "jane-secret".`,
		})
	}
	f.Live.Reject(&live.Rejection{
		Project: 1, Received: 10, Command: "jane-secret", Field: "name", Reason: "Field 'name': expected customers, got 'jane-secret'.",
		Address: netip.MustParseAddr("203.0.113.77"),
	})
	f.Live.Reject(&live.Rejection{Received: 8, Reason: "No such project.", Address: netip.MustParseAddr("203.0.113.77")})
	for _, refused := range []bool{false, true} {
		f.Watch.Note(&watch.Call{At: time.Now(), Policies: []string{"grid"}, Addr: netip.MustParseAddr("203.0.113.77"), Refused: refused, Weight: 1})
	}
	override := trackway.Override{Policy: "grid", Address: netip.MustParsePrefix("203.0.113.77/32"), Limit: 1}
	if err := f.History.Record(time.Now(), f.Limits.Set().Policies(), []trackway.Override{override}, history.Access{}); err != nil {
		t.Fatal(err)
	}
	wantOK(t, f.signedIn().send(t, http.MethodPost, "/grid/record", `{"record":true}`))
	f.come(t, "203.0.113.77", 3)
	f.destinations = []destination.Status{{Name: "warehouse", Kind: "postgres", State: destination.Retrying, Error: "bad value secret@x"}}
	return f
}

// naming are the texts that name somebody in the data of peopled.
var naming = []string{"jane-secret", "secret-cookie", "secret@x", "203.0.113.77"}

// as makes a request of an actor, in a new session, and says what came of it.
func (f *fixture) as(t *testing.T, actor, method, path, body string, fields ...string) (outcome string, w *httptest.ResponseRecorder) {
	t.Helper()
	f.cookie = ""
	if actor != "nobody" {
		facts := f.facts.Load()
		user := facts.Users.Find(actor)
		if f.vouched {
			var err error
			if user, err = people.Vouched(people.Account{Subject: actor, Terms: facts.Provider.Terms()}, actor, user.Roles()); err != nil {
				t.Fatal(err)
			}
		}
		f.cookie, _ = f.sessions.Begin(user, netip.MustParseAddr("203.0.113.9"), time.Now(), time.Hour)
	}
	if strings.HasPrefix(path, "/grid/live") {
		w = f.glance(t, path)
	} else {
		w = f.send(t, method, path, body, fields...)
	}
	names := slices.ContainsFunc(naming, func(text string) bool { return strings.Contains(w.Body.String(), text) })
	switch text := w.Header().Get("error"); {
	case w.Code == http.StatusOK && names:
		return "names", w
	case w.Code == http.StatusOK, w.Code == http.StatusSeeOther:
		return "yes", w
	case text == errSignIn.Msg:
		return signIn, w
	case strings.HasPrefix(text, "This needs the role "), text == errSearch.Msg:
		return mayNot, w
	case text == "There is no such project.":
		return none, w
	default:
		return text, w
	}
}

// glance reads what a stream sends at once, or else until its first tick.
func (f *fixture) glance(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.AddCookie(&http.Cookie{Name: cookieName, Value: f.cookie})
	w := &glancing{httptest.NewRecorder(), cancel}
	f.ServeHTTP(w, r)
	return w.ResponseRecorder
}

type glancing struct {
	*httptest.ResponseRecorder

	stop func()
}

func (w *glancing) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("event: event")) || bytes.Contains(b, []byte("event: stats")) {
		w.stop()
	}
	return w.ResponseRecorder.Write(b)
}

// TestMatrix tries every route as every actor: as a user of the server, and as
// an account of a provider with the same roles, for whom each gate has to open
// and to stay closed in the same way. A route without a row fails.
func TestMatrix(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(newFixture(t).routes)), slices.Sorted(maps.Keys(matrix))); diff != "" {
		t.Fatal("(-routes +matrix):\n" + diff)
	}
	for _, vouched := range []bool{false, true} {
		for route, row := range matrix {
			t.Run(strings.ReplaceAll(route, "/", " ")+map[bool]string{true: ", vouched"}[vouched], func(t *testing.T) {
				t.Parallel()
				f := peopled(t).with(openid.New(openid.Settings{Issuer: "http://127.0.0.1:1"}, "http://127.0.0.1:2"))
				f.vouched = vouched
				method, path, _ := strings.Cut(route, " ")
				if row.path != "" {
					path = row.path
				}
				for i, a := range actors {
					want := row.who[i]
					switch {
					case want == allowed && row.names:
						want = "names"
					case want == partly:
						want = "yes"
					}
					if got, w := f.as(t, a.name, method, path, row.body); got != want {
						t.Errorf("%s: got %s, want %s: %s %s", a.name, got, want, w.Header().Get("error"), w.Body)
					}
				}
			})
		}
	}
}

// TestViewerSearch checks that a viewer cannot find out who somebody is by
// asking for it.
func TestViewerSearch(t *testing.T) {
	t.Parallel()
	f := peopled(t)
	for search, want := range map[string]string{
		"q=jane":                                  mayNot,
		"q=registered%3Djane-secret":              mayNot,
		"q=cookie%3Dsecret-cookie":                mayNot,
		"q=email%3Dsecret@x":                      mayNot,
		"q=plan%3Dgold":                           "yes",
		"cursor=" + "aXJlZ2lzdGVyZWQAamFuZQ":      "Field 'cursor': expected the 'next' of an answer to the same question.",
		"q=plan%3D&cursor=aXJlZ2lzdGVyZWQAamFuZQ": "Field 'cursor': expected the 'next' of an answer to the same question.",
	} {
		if got, w := f.as(t, "viewer", http.MethodGet, "/grid/customers?project="+token, "", searchField, search); got != want {
			t.Errorf("%s: got %s, want %s: %s", search, got, want, w.Body)
		}
	}
	if got, w := f.as(t, "analyst", http.MethodGet, "/grid/customers?project="+token, "", searchField, "q=email%3Dsecret@x"); got != "names" {
		t.Errorf("an analyst gets %s: %s", got, w.Body)
	}
}

// TestViewerAgents: a user agent is what a stranger sent, so a viewer does not
// see it.
func TestViewerAgents(t *testing.T) {
	t.Parallel()
	f := peopled(t)
	p := *f.facts.Load().byToken[token]
	p.Bots.Property = "suspect"
	cmds := []trackway.Command{{Kind: trackway.AddEvent, Type: "visit", IDs: []trackway.Identifier{{Name: "cookie", Value: "a"}}}}
	in := f.Suspects.Ingest(takesAll{}, &p, nil, suspect.Origin{Agent: "jane-doe-bot"})
	if err := in.Accept(&p, trackway.MicrosOf(time.Now()), cmds, make([]trackway.Result, 1)); err != nil {
		t.Fatal(err)
	}
	for user, sees := range map[string]bool{"viewer": false, "analyst": true} {
		_, w := f.as(t, user, http.MethodGet, "/grid/bots?project="+token, "")
		if strings.Contains(w.Body.String(), "jane-doe-bot") != sees || !strings.Contains(w.Body.String(), `"events":1`) {
			t.Errorf("%s: got %s", user, w.Body)
		}
	}
}

// takesAll stores nothing.
type takesAll struct{}

func (takesAll) Accept(*trackway.Project, trackway.Micros, []trackway.Command, []trackway.Result) error {
	return nil
}

// TestOtherProjects checks that a user's answers about all projects are about
// those of the user.
func TestOtherProjects(t *testing.T) {
	t.Parallel()
	f := peopled(t)
	for _, path := range []string{"/grid/start", "/grid/overview", "/grid/live"} {
		_, w := f.as(t, "operator-elsewhere", http.MethodGet, path, "")
		if strings.Contains(w.Body.String(), token) || strings.Contains(w.Body.String(), `"view"`) {
			t.Errorf("%s shows another project: %s", path, w.Body)
		}
	}
	if _, w := f.as(t, "operator-elsewhere", http.MethodGet, "/grid/overview", ""); !strings.Contains(w.Body.String(), `"totals":{"customers":0,"events":0}`) {
		t.Errorf("the totals include another project: %s", w.Body)
	}
	first, w := f.as(t, "operator", http.MethodGet, "/grid/start", "")
	if w2 := f.send(t, http.MethodGet, "/grid/start", "", "If-None-Match", w.Header().Get("Etag")); first != "yes" || w2.Code != http.StatusNotModified {
		t.Errorf("got %s, then %d", first, w2.Code)
	}
	f.cookie, _ = f.sessions.Begin(f.facts.Load().Users.Find("viewer"), netip.Addr{}, time.Now(), time.Hour)
	if w := f.send(t, http.MethodGet, "/grid/start", "", "If-None-Match", w.Header().Get("Etag")); w.Code != http.StatusOK {
		t.Errorf("the answer of somebody else counts as unchanged: got %d", w.Code)
	}
}

// TestSessionsOpenNoKeyRoutes checks that all other routes want a key, whatever
// session comes with them: no route outside the pages reads the cookie.
func TestSessionsOpenNoKeyRoutes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, route := range api.Routes() {
		if !strings.Contains(route, " /grid/") && f.Handler(route) != nil {
			t.Errorf("%s is a route of the pages, and not in the matrix", route)
		}
	}
}

// TestMatrixInDocs checks that docs/people.md has the same matrix.
func TestMatrixInDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/people.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]string{signIn: "–", mayNot: "–", allowed: "yes", partly: "in part"}
	for route, row := range matrix {
		cells := []string{"| `" + route + "`"}
		for _, outcome := range row.who[:5] {
			cells = append(cells, words[outcome])
		}
		line := strings.Join(cells, " | ") + " |"
		if !strings.Contains(string(text), line) {
			t.Errorf("docs/people.md lacks the line\n%s", line)
		}
	}
}

func TestShownReason(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field, text string
		part        string
		shown       bool
	}{
		{"", "No such project.", "", true},
		{"event_type", "Field 'event_type' is required.", "event_type", true},
		{"event_type", "Not authorized: this key may not send events of the type 'jane'.", "event_type", false},
		{"customer_ids", `Field 'customer_ids': expected registered, got "jane".`, "customer_ids", false},
		{"customer_ids.jane", "Field 'customer_ids.jane': expected text, got a number.", "customer_ids", false},
	} {
		if part, text := shownReason(c.field, c.text); part != c.part || (text == c.text) != c.shown || strings.Contains(text, "jane") {
			t.Errorf("%s: got %q, %q", c.text, part, text)
		}
	}
}

package api

import (
	"crypto/sha256"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/api/dialect"
	"trackway/internal/auth"
)

const (
	streamID    = "a-stream"
	closedToken = "22222222-2222-2222-2222-222222222222" // of a project that needs keys
)

// admittance says how a route of a dialect takes keys, and what its calls need.
type admittance struct {
	place   place // of a public key in a call; nil: nobody needs a key
	private bool  // a private key will do, too
	batch   bool  // the answer is 200, and says what became of each command
	quiet   bool  // it does not say so
	streams bool  // the id of a stream will do, without a key
	old     bool  // the body names the project, whose configuration has to permit calls without a key

	// Bodies with one good command, and the permission that it needs. Calls
	// that bring no command need none.
	sends map[string]trackway.Permission
}

// place puts a public key, or none, into a call.
type place func(path, body, key string) (newPath, newBody, authorization string)

func inUser(path, body, key string) (newPath, newBody, authorization string) {
	return path, body, asUser(key + ":")
}

func inToken(path, body, key string) (newPath, newBody, authorization string) {
	if key == "" {
		return path, body, ""
	}
	return path, body, "Token " + key
}

func inBody(path, body, key string) (newPath, newBody, authorization string) {
	return path, `{"api_key":"` + key + `",` + body[1:], ""
}

func inPath(path, body, key string) (newPath, newBody, authorization string) {
	return strings.ReplaceAll(path, "{writeKey}", key), body, ""
}

// inStream names the project by its token.
func inStream(path, body, key string) (newPath, newBody, authorization string) {
	path, body, authorization = inToken(path, body, key)
	if !strings.Contains(path, "{stream}") {
		path += "?stream_id={stream}"
	}
	return strings.ReplaceAll(path, "{stream}", projectToken), body, authorization
}

// admittances has a row for each route of a dialect.
func admittances() map[string]admittance {
	const (
		buys  = `{"customer_ids":{"registered":"u"},"event_type":"buy"}`
		is    = `{"customer_ids":{"registered":"u"},"properties":{"plan":"pro"}}`
		old   = `{"customer_ids":{"registered":"u"},"project_id":"` + projectToken + `",`
		asked = `{"customer_ids":{"cookie":"c"}}`
	)
	type bodies = map[string]trackway.Permission
	event := func(body string) bodies { return bodies{body: trackway.SetEvents} }
	segment := func(sends bodies) admittance { return admittance{place: inUser, sends: sends} }
	segmentBatch := admittance{place: inUser, batch: true, quiet: true, sends: bodies{
		`{"batch":[{"type":"track","userId":"u","event":"buy"}]}`:                   trackway.SetEvents,
		`{"batch":[{"type":"page","userId":"u"}]}`:                                  trackway.SetEvents,
		`{"batch":[{"type":"identify","userId":"u","traits":{"plan":"pro"}}]}`:      trackway.SetCustomers,
		`{"batch":[{"type":"alias","userId":"u","previousId":"an-anonymous-one"}]}`: trackway.SetCustomers,
	}}
	nobody := func(body string) admittance { return admittance{sends: bodies{body: ""}} }
	rows := map[string]admittance{
		"POST /v1/track":    segment(event(`{"userId":"u","event":"buy"}`)),
		"POST /v1/page":     segment(event(`{"userId":"u"}`)),
		"POST /v1/screen":   segment(event(`{"userId":"u"}`)),
		"POST /v1/group":    segment(event(`{"userId":"u","groupId":"g"}`)),
		"POST /v1/identify": segment(bodies{`{"userId":"u","traits":{"plan":"pro"}}`: trackway.SetCustomers}),
		"POST /v1/alias":    segment(bodies{`{"userId":"u","previousId":"an-anonymous-one"}`: trackway.SetCustomers}),
		"POST /v1/batch":    segmentBatch, "POST /v1/import": segmentBatch,
		"GET /v1/projects/{writeKey}/settings": {place: inPath, sends: bodies{"": ""}},

		"POST /batch": {place: inBody, batch: true, sends: bodies{
			`{"batch":[{"event":"buy","distinct_id":"u"}]}`:                              trackway.SetEvents,
			`{"event":"buy","distinct_id":"u"}`:                                          trackway.SetEvents,
			`{"batch":[{"event":"$identify","distinct_id":"u","$set":{"plan":"pro"}}]}`:  trackway.SetCustomers,
			`{"event":"$create_alias","distinct_id":"u","properties":{"alias":"other"}}`: trackway.SetCustomers,
		}},
		"POST /flags": nobody(`{"distinct_id":"u"}`), "GET /array/{key}/config": nobody(""), "GET /array/{key}/config.js": nobody(""),

		"POST /v1/logs": {place: inToken, private: true, batch: true, sends: event(
			`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"buy","attributes":[{"key":"user.id","value":{"stringValue":"u"}}]}]}]}]}`)},

		"POST /track/u/v1/customers":        {place: inStream, private: true, streams: true, sends: bodies{is: trackway.SetCustomers}},
		"POST /track/u/v1/customers/events": {place: inStream, private: true, streams: true, sends: event(buys)},
		"POST /track/u/v1/campaigns/clicks": {place: inStream, private: true, streams: true, sends: event(`{"customer_ids":{"registered":"u"},"url":"https://shop.example"}`)},
		"POST /track/u/v1/batch": {place: inStream, private: true, streams: true, batch: true, sends: bodies{
			`{"commands":[{"name":"customers/events","data":` + buys + `}]}`: trackway.SetEvents,
			`{"commands":[{"name":"customers","data":` + is + `}]}`:          trackway.SetCustomers,
		}},
		"GET /data/v2/streams/{stream}/consent/categories": {place: inStream, private: true, streams: true, sends: bodies{"": ""}},

		"POST /bulk":       {old: true, sends: event(`{"commands":[{"name":"crm/events","data":` + old + `"type":"buy"}}]}`)},
		"POST /crm/events": {old: true, sends: event(old + `"type":"buy"}`)},
		"POST /crm/customers": {old: true, sends: bodies{
			strings.Replace(old, "customer_ids", "ids", 1) + `"properties":{"plan":"pro"}}`: trackway.SetCustomers,
		}},

		"POST /campaigns/send-self-check-notification":                 nobody(asked),
		"POST /campaigns/streams/{token}/send-self-check-notification": nobody(asked),
		"GET /webxp/projects/{token}/segments":                         nobody(""),
		"GET /wxstatic/projects/{token}/bundle-android.json":           nobody(""),
		"GET /wxstatic/projects/{token}/bundle-ios.json":               nobody(""),
	}
	for _, path := range []string{
		"s/{token}/inappmessages", "s/{token}/inappcontentblocks", "projects/{token}/appinbox/fetch", "projects/{token}/appinbox/markasread",
		"projects/{token}/cookies/{cookie}/link-ids",
	} {
		rows["POST /webxp/"+path] = nobody(asked)
	}
	return rows
}

// keyFor names the keys by what they may do. The names are their ids, and the
// secrets of the private ones.
var keyFor = map[trackway.Permission]string{"": "all", trackway.SetEvents: "events", trackway.SetCustomers: "customers"}

const privatePrefix = "private-" // of the ids of private keys

// newDialectFixture is a server with these keys.
func newDialectFixture(t *testing.T, policies ...trackway.Policy) *fixture {
	t.Helper()
	f := newFixture(t, policies...)
	project := trackway.Project{
		Name: "demo", Number: 1, Token: projectToken, Hard: []string{"registered"}, Soft: []string{"cookie"}, User: "registered", Device: "cookie",
		StreamID: streamID, Legacy: true,
	}
	for permission, name := range keyFor {
		var permissions map[trackway.Permission][]string
		if permission != "" {
			permissions = map[trackway.Permission][]string{permission: nil}
		}
		project.Keys = append(project.Keys,
			trackway.Key{Name: name, Kind: trackway.PublicKey, ID: name, Permissions: permissions},
			trackway.Key{Name: privatePrefix + name, Kind: trackway.PrivateKey, ID: privatePrefix + name, Secret: sha256.Sum256([]byte(name)), Permissions: permissions},
		)
	}
	access := f.access.Load().Access
	access.Keys = auth.New([]trackway.Project{project, {Name: "closed", Number: 2, Token: closedToken}})
	f.Reload(access)
	return f
}

// dialectTrial makes calls to one path of a dialect's route.
type dialectTrial struct {
	*fixture
	*admittance

	method, path string
	from         netip.Addr
	body         string
	needs        trackway.Permission // of the command in the body; empty if there is no command
}

// answer is what a call gets.
type answer struct {
	status int
	says   string // a part of the body
	stored bool   // the command
}

func (d *dialectTrial) good() answer { return answer{http.StatusOK, "", d.needs != ""} }

// lacks is the answer if the key may not send the command.
func (d *dialectTrial) lacks() answer {
	missing := "this key does not have the permission " + string(d.needs)
	switch {
	case d.quiet:
		return answer{http.StatusOK, `{"success":true}`, false}
	case d.batch:
		return answer{http.StatusOK, missing, false}
	}
	return answer{http.StatusForbidden, missing, false}
}

var (
	noKey       = answer{http.StatusUnauthorized, "Access key not provided", false}
	unknownKey  = answer{http.StatusUnauthorized, "Access key not found", false}
	wrongSecret = answer{http.StatusForbidden, "Invalid secret", false}
)

// wants makes a call, and checks its answer.
func (d *dialectTrial) wants(want answer, path, body, authorization string) *httptest.ResponseRecorder {
	d.t.Helper()
	path = strings.NewReplacer("{token}", projectToken, "{cookie}", "c", "{key}", "any").Replace(path)
	r := httptest.NewRequest(d.method, path, strings.NewReader(body))
	r.Header.Set("X-Forwarded-For", d.from.String())
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	before, w := d.ingest.stored, httptest.NewRecorder()
	d.ServeHTTP(w, r)
	stored := d.ingest.stored - before
	if w.Code != want.status || !strings.Contains(w.Body.String(), want.says) || (stored == 1) != want.stored || stored > 1 {
		d.t.Errorf("%s %s with %q: %s\ngot %d %s, %d stored, want %+v", d.method, path, authorization, body, w.Code, w.Body, stored, want)
	}
	return w
}

// public makes a call with a public key.
func (d *dialectTrial) public(key string, want answer) {
	d.t.Helper()
	path, body, authorization := d.place(d.path, d.body, key)
	d.wants(want, path, body, authorization)
}

// private makes a call with a private key, on which most routes look as on a
// public key that they do not know.
func (d *dialectTrial) private(name, secret string, want answer) {
	d.t.Helper()
	if !d.admittance.private {
		want = unknownKey
	}
	path, body, _ := d.place(d.path, d.body, privatePrefix+name)
	d.wants(want, path, body, asUser(privatePrefix+name+":"+secret))
}

// keys makes calls with all kinds of keys.
func (d *dialectTrial) keys() {
	d.public("all", d.good())
	d.public("unknown", unknownKey)
	if !strings.Contains(d.path, "{writeKey}") { // without a key, it would be another path
		d.public("", noKey)
	}
	d.private("all", "all", d.good())
	d.private("all", "wrong", wrongSecret)
	if d.needs == "" {
		return
	}
	other := keyFor[map[trackway.Permission]trackway.Permission{
		trackway.SetEvents: trackway.SetCustomers, trackway.SetCustomers: trackway.SetEvents,
	}[d.needs]]
	d.public(keyFor[d.needs], d.good())
	d.public(other, d.lacks())
	d.private(other, other, d.lacks())
}

// stream makes calls that name a stream by its id, which admits them without a
// key.
func (d *dialectTrial) stream() {
	named := func(stream, authorization string, want answer) {
		d.t.Helper()
		path, body, _ := inStream(d.path, d.body, "")
		d.wants(want, strings.ReplaceAll(path, projectToken, stream), body, authorization)
	}
	named(streamID, "", d.good())
	named(streamID, "Bearer a.b.c", d.good())
	named(streamID, "Token unknown", unknownKey)
	named("unknown", "", answer{http.StatusBadRequest, "Invalid project id", false})
	if d.needs == trackway.SetEvents {
		named(streamID, "Bearer customers", d.lacks())
	}
}

// legacy makes calls of old clients.
func (d *dialectTrial) legacy() {
	d.wants(d.good(), d.path, d.body, "")
	d.wants(answer{http.StatusForbidden, "legacy: true", false}, d.path, strings.ReplaceAll(d.body, projectToken, closedToken), "")
	d.wants(answer{http.StatusBadRequest, "Invalid project id", false}, d.path, strings.ReplaceAll(d.body, projectToken, "unknown"), "")
}

// eachDialectPath calls do for each path of each route, with each body and from
// an address of its own. It fails if a route has no row in the table.
func eachDialectPath(t *testing.T, do func(d dialectTrial)) {
	t.Helper()
	rows, from := admittances(), netip.MustParseAddr("198.51.100.1")
	for _, rt := range dialect.Routes() {
		name := rt.Method + " " + rt.Path
		row, ok := rows[name]
		if !ok {
			t.Errorf("no test says who may call %s", name)
		}
		delete(rows, name)
		for _, path := range rt.Paths() {
			for body, needs := range row.sends {
				do(dialectTrial{nil, &row, rt.Method, strings.TrimSuffix(path, "{$}"), from, body, needs})
				from = from.Next()
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		t.Errorf("there is no route %s", name)
	}
}

// TestDialectKeys: each route of a dialect lets in the keys that it should, and
// no other ones, under all of its paths.
func TestDialectKeys(t *testing.T) {
	t.Parallel()
	f := newDialectFixture(t)
	eachDialectPath(t, func(d dialectTrial) {
		d.fixture = f
		switch {
		case d.old:
			d.legacy()
		case d.place == nil:
			for _, authorization := range []string{"", "Token all", "Token unknown"} {
				d.wants(d.good(), d.path, d.body, authorization)
			}
		default:
			d.keys()
		}
		if d.streams {
			d.stream()
		}
	})
}

// TestDialectLimits: each path of a dialect refuses calls over the limit, with
// any key or none, and says for how many seconds.
func TestDialectLimits(t *testing.T) {
	t.Parallel()
	f := newDialectFixture(t, trackway.Policy{Name: "track", Paths: []string{"/"}, Limit: 1, Window: time.Hour, AllowBelowFloor: true})
	eachDialectPath(t, func(d dialectTrial) {
		d.fixture = f
		over := answer{http.StatusTooManyRequests, "Too many requests", false}
		for _, want := range []answer{d.good(), over} {
			path, body, authorization := d.path, d.body, ""
			if d.place != nil {
				path, body, authorization = d.place(path, body, "all")
			}
			w := d.wants(want, path, body, authorization)
			if wait, err := strconv.Atoi(w.Header().Get("Retry-After")); want == over && (err != nil || wait < 1 || wait > 3600) {
				t.Errorf("%s %s: got Retry-After %q", d.method, path, w.Header().Get("Retry-After"))
			}
			if want == over {
				d.wants(over, path, d.body, "")
			}
		}
	})
}

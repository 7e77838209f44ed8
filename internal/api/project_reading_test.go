package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trackway"
	"trackway/internal/auth"
	"trackway/internal/change"
	"trackway/internal/query"
	"trackway/internal/store"
)

// stored is a server over a real store.
type stored struct {
	*fixture

	store     *store.Store
	snapshots atomic.Int64 // that were taken
}

func (r *stored) Snapshot() query.Snapshot              { r.snapshots.Add(1); return r.store.Snapshot() }
func (r *stored) Version(project uint32) change.Version { return r.store.Version(project) }

func newReading(t testing.TB, policies ...trackway.Policy) *stored {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if p := []trackway.Project{{Token: projectToken}}; s.Register(p) != nil || p[0].Number != 1 {
		t.Fatal(p)
	}
	r := &stored{fixture: newFixture(t, policies...), store: s}
	r.reader.store, r.front.log = r, slog.New(slog.DiscardHandler)
	return r
}

func (r *stored) get(path string, fields ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	key := "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret))
	return r.send(http.MethodGet, "/api/projects/"+projectToken+"/"+path, nil, append([]string{"Authorization", key}, fields...)...)
}

func (r *stored) apply(cmds ...trackway.Command) {
	r.t.Helper()
	results := make([]trackway.Result, len(cmds))
	if err := r.store.Apply(cmds, results); err != nil {
		r.t.Fatal(err)
	}
	for i := range results {
		if results[i].Err != nil {
			r.t.Fatal(results[i].Err)
		}
	}
}

const november22 = trackway.Micros(1_795_305_600_000_000) // 2026-11-22T00:00:00Z

var (
	janeID = trackway.Identifier{Name: "registered", Value: "jane", Hard: true}
	device = trackway.Identifier{Name: "cookie", Value: "c//1 +?"}
)

func visit(typ string, after time.Duration, ids ...trackway.Identifier) trackway.Command {
	at := november22 + trackway.Micros(after.Microseconds())
	return trackway.Command{
		Kind: trackway.AddEvent, Project: 1, IDs: ids, Type: typ, Time: at - 3600e6, TimeGiven: true, Received: at,
		Properties: []trackway.Property{{Name: "n", Value: []byte(`"<&>"`)}},
	}
}

func setPlan(value string, after time.Duration, ids ...trackway.Identifier) trackway.Command {
	c := visit("", after, ids...)
	c.Kind, c.Properties = trackway.UpdateCustomer, []trackway.Property{{Name: "plan", Value: []byte(value)}}
	return c
}

// fill makes three customers, two of which become one.
func (r *stored) fill() {
	r.apply(
		visit("visit", 0, device), visit("visit", time.Second, janeID), setPlan(`"gold"`, 2*time.Second, janeID, device),
		visit("purchase", 2*time.Hour, janeID), setPlan("7", 3*time.Hour, trackway.Identifier{Name: "cookie", Value: "d"}),
	)
}

func TestReadingAProject(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.fill()
	const (
		first  = `{"customer":"1","created":1795305600,"ids":{"registered":"jane","cookie":["c//1 +?"]},"properties":{"plan":"gold"}}`
		third  = `{"customer":"3","created":1795316400,"ids":{"cookie":["d"]},"properties":{"plan":7}}`
		visit1 = `{"seq":"1","customer":"1","received":1795305600,"type":"visit","timestamp":1795302000,"properties":{"n":"<&>"}}`
		bought = `{"seq":"4","customer":"1","received":1795312800,"type":"purchase","timestamp":1795309200,"properties":{"n":"<&>"}}`
		end    = `],"next":null,"complete":true}`
		found  = `{"page":1,"total":null,"rowsperpage":100,"records":null,"rows":[`
	)
	for path, want := range map[string]string{
		"customers":                   `{"page":1,"total":1,"rowsperpage":100,"records":2,"rows":[` + third + "," + first + end,
		"customers?order=oldest":      first + "," + third + end,
		"customers?rows=1&page=2":     `{"page":2,"total":2,"rowsperpage":1,"records":2,"rows":[` + first + end,
		"customers?q=c":               found + first + end,
		"customers?q=ja":              found + first + end,
		"customers?q=nobody":          found + end,
		"customers?q=plan%3Dgold":     found + first + end,
		"customers?q=plan%3D7":        found + third + end,
		"customers?q=registered=jane": found + first + end,
		"customers?q=registered=jan":  found + end,

		"customers/1":               `"ids":{"registered":"jane","cookie":["c//1 +?"]},"properties":[{"name":"plan","value":"gold","updated":1795302002}],"merges":[{"time":1795305602,"cause":{"registered":"jane","cookie":["c//1 +?"]},"survivor":{"cookie":["c//1 +?"]},"absorbed":{"registered":"jane"}}]}`,
		"customers/2":               `{"customer":"1",`, // it was absorbed
		"customers/registered=jane": `{"customer":"1",`,
		"customers/cookie=" + url.PathEscape(device.Value): `{"customer":"1",`,

		"customers/1/events?type=visit&type=purchase&rows=1":   `{"page":1,"total":null,"rowsperpage":1,"records":null,"rows":[` + bought + `],"next":"`,
		"customers/1/events?order=oldest&until=1795302001":     found + visit1 + end,
		"customers/2/events?since=2026-11-22T00:30:00%2B00:00": found + bought + end,
		"customers/3/events": found + end,

		"events?rows=1":        `{"page":1,"total":4,"rowsperpage":1,"records":4,"rows":[` + bought + `],"next":"`,
		"events?type=purchase": found + bought + end,
		"events?order=oldest&until=2026-11-22T00:00:01Z": found + visit1 + end,
		"events?since=2026-11-22T02:00:00.0Z":            found + bought + end,
		"events?since=2026-11-23":                        found + end,
		"events?type=purchase&quarantined=false":         found + bought + end,
		"events?quarantined=true":                        found + end,
		"customers/3/events?quarantined=all":             found + end,
		"events?page=3&rows=2":                           `{"page":3,"total":2,"rowsperpage":2,"records":4,"rows":[` + end,

		"stats": `{"by":"time","interval":"month","rows":[{"start":1793491200,"type":"merge","events":1},` +
			`{"start":1793491200,"type":"purchase","events":1},{"start":1793491200,"type":"visit","events":2}]}`,
		"stats?interval=day&type=visit":                    `"rows":[{"start":1795219200,"type":"visit","events":2}]}`,
		"stats?interval=hour&type=purchase&by=received":    `"rows":[{"start":1795312800,"type":"purchase","events":1}]}`,
		"stats?interval=hour&by=received&until=1795309200": `"rows":[{"start":1795305600,"type":"merge","events":1},{"start":1795305600,"type":"visit","events":2}]}`,
		"stats?since=2026-11-22T03:00:00Z":                 `"rows":[]}`,
		"usage?month=2026-11":                              `"months":[{"month":"2026-11","processed":3,"stored":3,`,
		"usage?month=2026-10":                              `"months":[],"days":[]`,
	} {
		w := r.get(path)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: got %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
}

func TestReadingRefuses(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.fill()
	for path, want := range map[string]string{
		"customers?page=0":                        "Field 'page': expected a whole number from 1 to 10000.",
		"customers?page=101":                      "Field 'page': expected at most 100 with this many rows; farther on by 'cursor'",
		"customers?rows=1001":                     "Field 'rows'",
		"customers/1?page=1":                      "Field 'page': expected nothing: there are no parameters.",
		"customers?pages=1":                       "Field 'pages': expected nothing: the parameters are q, page, rows, order, cursor.",
		"customers?q=a&q=b":                       "Field 'q': expected one value.",
		"customers?q=a&order=oldest":              "Field 'order'",
		"customers?order=up":                      "Field 'order': expected newest or oldest.",
		"customers?cursor=x":                      "Field 'cursor'",
		"customers?cursor=x&page=1":               "Field 'page': expected nothing where there is a cursor.",
		"customers?q=%zz":                         "Field 'query': expected a well-formed query",
		"customers/jane":                          "Field 'id'",
		"customers/0x1":                           "Field 'id'",
		"customers/plan=gold":                     "Field 'id': expected the number of a customer, or name=value of an identifier: registered, cookie.",
		"customers/1?rows=1":                      "Field 'rows'",
		"customers/1/events?since=1.1234567":      "Field 'since': expected Unix seconds or ISO 8601",
		"events?since=-1":                         "Field 'since'",
		"events?since=1.":                         "Field 'since'",
		"events?until=yesterday":                  "Field 'until'",
		"events?since=5&until=5":                  "Field 'until': expected a time after since.",
		"events?quarantined=yes":                  "Field 'quarantined': expected all or true or false.",
		"events?type=":                            "Field 'type'",
		"events?" + strings.Repeat("type=a&", 51): "Field 'type': expected at most 50 types.",
		"stats?interval=week":                     "Field 'interval': expected month or day or hour.",
		"stats?by=me":                             "Field 'by'",
		"stats?since=1795305601":                  "Field 'since': expected the beginning of an hour",
		"stats?type=a&type=b":                     "Field 'type': expected one type.",
		"usage?month=2026-11&since=2026-11-01":    "Field 'month'",
		"usage?month=11":                          "Field 'month'",
		"usage?day=2026-11-01":                    "Field 'day'",
		"usage?until=":                            "Field 'until': expected a day, such as 2026-11-22.",
		"usage?since=":                            "Field 'since': expected a day",
		"usage?month=":                            "Field 'month'",
		"usage?=true":                             "Field 'query': expected nothing: the parameters are since, until, month.",
		"customers?=true":                         `{"success":false,"errors":["Field 'query': expected nothing: the parameters are q, page`,
		"customers?%zz":                           `{"success":false,"errors":["Field 'query': expected a well-formed query`,
	} {
		check(t, r.get(path), http.StatusBadRequest, want)
	}
	for _, path := range []string{"customers", "customers/1", "customers/1/events", "events", "stats", "usage", "erasures"} {
		none := r.send(http.MethodGet, "/api/projects/none/"+path, nil, byKey()...)
		check(t, none, http.StatusBadRequest, `{"success":false,"error":"Invalid project id"}`)
	}
	for _, path := range []string{"customers/99", "customers/99/events", "customers/registered=nobody", "customers/0"} {
		check(t, r.get(path), http.StatusNotFound, "Customer does not exist")
	}
	for _, path := range []string{"customers", "customers/1", "customers/1/events", "events", "stats"} {
		w := r.send(http.MethodGet, "/api/projects/"+projectToken+"/"+path, nil)
		check(t, w, http.StatusForbidden, "does not have the permission")
	}
}

// TestCursors: all pages together hold all rows.
func TestCursors(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	for i := range 25 {
		r.apply(visit("visit", time.Duration(i)*time.Second, janeID), setPlan("1", 0, trackway.Identifier{Name: "cookie", Value: fmt.Sprint("x", i)}))
	}
	for path, want := range map[string]int{"customers?": 26, "customers?q=x&": 25, "customers?q=plan=1&": 25, "events?": 25, "customers/1/events?": 25} {
		got, cursor := 0, ""
		for {
			var p struct {
				Page *int
				Rows []json.RawMessage
				Next *string
			}
			if err := json.Unmarshal(r.get(path+"rows=10"+cursor).Body.Bytes(), &p); err != nil || (p.Page == nil) != (cursor != "") {
				t.Fatal(path, err, p.Page)
			}
			got += len(p.Rows)
			if p.Next == nil {
				break
			}
			cursor = "&cursor=" + *p.Next
		}
		if got != want {
			t.Errorf("%s: got %d rows, want %d", path, got, want)
		}
	}
}

// TestReadingUnchanged: a caller that has the current answer gets a 304, which
// costs no call and no access to the store. After a change, the caller gets the
// whole answer.
func TestReadingUnchanged(t *testing.T) {
	t.Parallel()
	r := newReading(t, trackway.Policy{Name: "api", Paths: []string{"/api/"}, Limit: 9, Window: time.Hour, Per: trackway.PerIPPath, Algorithm: trackway.Fixed, Mode: trackway.Enforce})
	r.fill()
	for _, path := range []string{"customers", "customers/1", "customers/1/events", "events?rows=1", "stats", "usage"} {
		w := r.get(path)
		tag := w.Header().Get("ETag")
		if w.Code != http.StatusOK || tag == "" || w.Header().Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%s: got %d %v", path, w.Code, w.Header())
		}
		before := r.snapshots.Load()
		for range 10 { // more than the limit
			if w = r.get(path, "If-None-Match", tag); w.Code != http.StatusNotModified || w.Header().Get("ETag") != tag || w.Body.Len() > 0 {
				t.Fatalf("%s: got %d %s, want 304", path, w.Code, w.Body)
			}
		}
		if w.Header()["X-RateLimit-Remaining"][0] != "8" || r.snapshots.Load() != before {
			t.Errorf("%s: a 304 costs: %v, %d snapshots", path, w.Header(), r.snapshots.Load()-before)
		}
		r.apply(setPlan(`"new"`, 24*time.Hour, janeID))
		if w = r.get(path, "If-None-Match", tag); w.Code != http.StatusOK || w.Header().Get("ETag") == tag {
			t.Errorf("%s: got %d after a change", path, w.Code)
		}
	}
	w := r.get("stats")
	if other := r.get("stats?by=received", "If-None-Match", w.Header().Get("ETag")); other.Code != http.StatusOK {
		t.Errorf("another question has the same tag: got %d", other.Code)
	}
	again := newReading(t)
	again.fill()
	if second := again.get("stats"); second.Header().Get("ETag") == w.Header().Get("ETag") {
		t.Error("two processes give the same tag")
	}
}

// TestReadingAfterAReload: a tag depends on the configuration in force.
func TestReadingAfterAReload(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.fill()
	const search = "customers?q=plan%3Dgold"
	w := r.get(search)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"customer":"1"`) {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	access := r.access.Load().Access
	access.Keys = auth.New([]trackway.Project{{
		Number: 1, Token: projectToken, Hard: []string{"registered"}, Soft: []string{"cookie", "plan"},
		Keys: []trackway.Key{{Name: "back", Kind: trackway.PrivateKey, ID: "id", Secret: sha256.Sum256([]byte(privateSecret))}},
	}})
	r.Reload(access)
	if w = r.get(search, "If-None-Match", w.Header().Get("ETag")); w.Code != http.StatusOK || strings.Contains(w.Body.String(), `"customer":"1"`) {
		t.Errorf("got %d %s, want nobody, for plan is an identifier now", w.Code, w.Body)
	}
}

// TestReadingWhatHasPassed: numbers of a past period may be kept for ever, and
// their tag stays the same after a restart.
func TestReadingWhatHasPassed(t *testing.T) {
	t.Parallel()
	old := func(r *stored) {
		c := visit("visit", 0, janeID)
		c.Received = 0
		r.apply(c)
	}
	r, second := newReading(t), newReading(t)
	old(r)
	old(second)
	for path, modified := range map[string]string{
		"stats?by=received&until=3600":            "Thu, 01 Jan 1970 01:00:00 GMT",
		"usage?month=1970-01":                     "Sun, 01 Feb 1970 00:00:00 GMT",
		"usage?since=1970-01-01&until=1970-01-01": "Fri, 02 Jan 1970 00:00:00 GMT",
	} {
		w := r.get(path)
		h := w.Header()
		if w.Code != 200 || h.Get("Cache-Control") != "private, max-age=31536000, immutable" || h.Get("Last-Modified") != modified {
			t.Errorf("%s: got %d %v", path, w.Code, h)
		}
		r.apply(visit("visit", time.Hour, janeID))
		if w := second.get(path, "If-None-Match", h.Get("ETag")); w.Code != http.StatusNotModified {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
		if w := r.get(path, "If-None-Match", h.Get("ETag")); w.Code != http.StatusNotModified {
			t.Errorf("%s after a change: got %d %s", path, w.Code, w.Body)
		}
	}
	soon := time.Now().UTC().Truncate(time.Hour).Format(time.RFC3339)
	for _, path := range []string{"stats?until=3600", "stats?by=received", "stats?by=received&until=" + soon, "usage?until=" + soon[:10]} {
		if w := r.get(path); w.Code != 200 || w.Header().Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%s: got %d %v", path, w.Code, w.Header())
		}
	}
}

// TestReadingOutOfTime: an incomplete answer says so, must not be kept, and can
// be continued.
func TestReadingOutOfTime(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	for i := range 200 {
		r.apply(setPlan("1", 0, trackway.Identifier{Name: "cookie", Value: fmt.Sprint("x", i)}), visit("visit", time.Duration(i)*time.Second, janeID))
	}
	r.reader.patience = 0
	for _, path := range []string{"customers?q=plan=2", "events?type=visit&rows=1000", "customers/2/events?rows=1000"} {
		w := r.get(path)
		if w.Code != 200 || w.Header().Get("ETag") != "" || w.Header().Get("Cache-Control") != "no-store" ||
			!strings.Contains(w.Body.String(), `"complete":false`) || strings.Contains(w.Body.String(), `"next":null`) {
			t.Errorf("%s: got %d %v %.200s", path, w.Code, w.Header(), w.Body)
		}
	}
	if w := r.get("customers/2"); w.Code != 200 || w.Header().Get("ETag") != "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("a customer whose merges may not all be there: got %d %v", w.Code, w.Header())
	}
	check(t, r.get("customers?q=plan=1&page=5"), http.StatusBadRequest, "Field 'page': expected a page that can be reached in time")
	check(t, r.get("stats"), http.StatusServiceUnavailable, "not found in time")
	fill(t, r.reader.places.questions, r.reader.places.questions.Counts().Size)
	check(t, r.get("customers"), http.StatusServiceUnavailable, "Too many questions")
}

func BenchmarkReading(b *testing.B) {
	r := newReading(b)
	for i := range 5000 {
		r.apply(setPlan(`"gold"`, 0, trackway.Identifier{Name: "cookie", Value: fmt.Sprint("x", i)}), visit("visit", time.Duration(i), janeID))
	}
	key := "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret))
	for _, path := range []string{"customers", "events", "customers/1/events", "stats"} {
		tag := r.get(path).Header().Get("ETag")
		for name, match := range map[string]string{"200": `"none"`, "304": tag} {
			b.Run(path+"/"+name, func(b *testing.B) {
				q := httptest.NewRequest(http.MethodGet, "/api/projects/"+projectToken+"/"+path, nil)
				q.Header.Set("Authorization", key)
				q.Header.Set("If-None-Match", match)
				b.ReportAllocs()
				for b.Loop() {
					w := httptest.NewRecorder()
					r.Server.ServeHTTP(w, q)
					if strconv.Itoa(w.Code) != name {
						b.Fatal(w.Code)
					}
				}
			})
		}
	}
}

// TestRestrictedQuestions: a key neither sees nor finds what it may not read,
// and the entity tag of another key names nothing for it.
func TestRestrictedQuestions(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.withKeys(map[string]map[trackway.Permission][]string{
		"all":  nil,
		"some": {trackway.GetCustomers: {"cookie"}, trackway.GetEvents: {"visit"}},
		"plan": {trackway.GetCustomers: {"plan"}},
	})
	r.fill()
	get := func(key, path string, fields ...string) *httptest.ResponseRecorder {
		return r.send(http.MethodGet, "/api/projects/"+projectToken+"/"+path, nil, append(asKey(key), fields...)...)
	}
	for _, c := range []struct{ key, path, want, not string }{
		{"all", "customers/1", `"merges":[{`, `"merges":[]`},
		{"some", "customers/1", `"ids":{"cookie":["c//1 +?"]},"properties":[],"merges":[]`, "gold"},
		{"some", "customers", `"ids":{"cookie":["d"]},"properties":{}`, "jane"},
		{"some", "customers?q=jan", `"rows":[]`, "jane"},
		{"some", "customers?q=c/", `"customer":"1"`, "jane"},
		{"some", "customers?q=plan%3Dgold", "may not read the property 'plan'", `"customer"`},
		{"plan", "customers?q=plan%3Dgold", `"ids":{},"properties":{"plan":"gold"}`, "jane"},
		{"plan", "events", "does not have the permission events:get", "visit"},
		{"some", "events", `"type":"visit"`, "purchase"},
		{"some", "events?type=purchase", "may not read events of the type 'purchase'", `"seq"`},
		{"some", "customers/1/events", `"type":"visit"`, "purchase"},
		{"some", "stats", `"type":"visit"`, "purchase"},
	} {
		if got := get(c.key, c.path).Body.String(); !strings.Contains(got, c.want) || strings.Contains(got, c.not) {
			t.Errorf("%s with the key %s: got %s, want %s in it, and not %s", c.path, c.key, got, c.want, c.not)
		}
	}
	tag := get("all", "customers").Header().Get("ETag")
	if w := get("some", "customers", "If-None-Match", tag); w.Code != http.StatusOK {
		t.Errorf("another key's entity tag: got %d", w.Code)
	}
	if w := get("all", "customers", "If-None-Match", tag); w.Code != http.StatusNotModified {
		t.Errorf("its own entity tag: got %d", w.Code)
	}
}

// TestOnlyWhatTookNoWorkIsGivenBack: "If-None-Match: *" names nothing that the
// caller has, so it costs a call on every route. A current tag costs nothing if
// it is known without making the answer, and costs a call otherwise.
func TestOnlyWhatTookNoWorkIsGivenBack(t *testing.T) {
	t.Parallel()
	const base = "/api/projects/" + projectToken + "/"
	known := []string{"/api/limits", base + "customers", base + "customers/1", base + "customers/1/events", base + "events", base + "stats", base + "usage"}
	for _, rt := range new(Server).routes() {
		if rt.method != http.MethodGet || rt.free || rt.admin || strings.HasPrefix(rt.path, "/grid/") {
			continue
		}
		r := newReading(t, trackway.Policy{Name: "all", Paths: []string{"/"}, Also: true, Limit: 9, Window: time.Hour, AllowBelowFloor: true})
		r.fill()
		r.eraser = &erasures{}
		path := strings.NewReplacer("{token}", projectToken, "{id}", "1", "{writeKey}", publicToken, "{stream}", projectToken).Replace(rt.path)
		get := func(match string) (status int, left string, tag string) {
			w := r.send(http.MethodGet, path, nil, byKey("If-None-Match", match)...)
			return w.Code, w.Header()["X-RateLimit-Remaining"][0], w.Header().Get("Etag")
		}
		status, left, tag := get(`"other"`)
		if status != 200 || left != "8" {
			t.Errorf("%s: got %d, %s left", path, status, left)
		}
		if status, left, _ := get("*"); status != 304 && tag != "" || left != "7" {
			t.Errorf("%s: *: got %d, %s left, want 304 and 7", path, status, left)
		}
		if status, left, _ := get(`"other", *`); status != 304 && tag != "" || left != "6" {
			t.Errorf("%s: * in a list: got %d, %s left, want 304 and 6", path, status, left)
		}
		if tag == "" {
			continue
		}
		want := map[bool]string{true: "6", false: "5"}[slices.Contains(known, path)]
		// The list of servers changes with each call.
		if status, left, _ := get("W/" + tag); status != 304 && status != 200 || left != want {
			t.Errorf("%s: its tag: got %d, %s left, want 304 and %s", path, status, left, want)
		}
	}
	r := newReading(t, trackway.Policy{Name: "api", Paths: []string{"/api/"}, Limit: 9, Window: time.Hour})
	r.fill()
	check(t, r.get("customers/99", "If-None-Match", "*"), 404, "does not exist") // the caller can have nothing of it
	w := r.get("usage?month=2026-10")
	if w = r.get("usage?month=2026-10", "If-None-Match", w.Header().Get("Etag")); w.Code != 304 || w.Header()["X-RateLimit-Remaining"][0] != "6" {
		t.Errorf("numbers that were added up: got %d %v, want 304, counted", w.Code, w.Header())
	}
}

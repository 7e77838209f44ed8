package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/auth"
	"trackway/internal/live"
	"trackway/web"
)

// fakeDashboard answers as a test says, and 204 if it says nothing.
type fakeDashboard struct {
	serve func(w http.ResponseWriter, r *http.Request) error
	free  bool // it gives each call back
}

func (d *fakeDashboard) Handler(string) DashboardHandler {
	return func(w http.ResponseWriter, r *http.Request, _ netip.Addr, giveBack func()) error {
		if d.free {
			giveBack()
		}
		if d.serve == nil {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return d.serve(w, r)
	}
}

var dashboardPolicies = []trackway.Policy{
	{Name: "grid", Paths: []string{"/grid/"}, Limit: 4, Window: time.Minute},
	{Name: "signin", Paths: []string{"POST /grid/session"}, Limit: 2, Window: time.Minute},
}

// TestDashboardSteps: limits apply to the pages' calls, a 304 costs nothing,
// and errors have the API's forms.
func TestDashboardSteps(t *testing.T) {
	t.Parallel()
	f := newFixture(t, dashboardPolicies...)
	f.dashboard.serve = func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Cache-Control", "private, no-cache")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	f.dashboard.free = true
	for range 10 {
		if w := f.send("GET", "/grid/start", nil, "Cookie", "trackway_session=x"); w.Code != 304 || w.Header()["X-RateLimit-Remaining"][0] != "4" {
			t.Fatalf("got %d with %v", w.Code, w.Header())
		}
	}
	f.dashboard.free = false
	if w := f.send("GET", "/grid/limits", nil, "Cookie", "trackway_session=x"); w.Code != 304 || w.Header()["X-RateLimit-Remaining"][0] != "3" {
		t.Errorf("a 304 that is not given back: got %d with %v", w.Code, w.Header())
	}
	fail := func(err error) {
		f.dashboard.serve = func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Cache-Control", "no-store")
			return err
		}
	}
	fail(&trackway.Error{Code: trackway.Unidentified, Msg: "Sign in first."})
	check(t, f.send("GET", "/grid/limits", nil), 401, `{"success":false,"error":"Sign in first."}`)
	fail(&trackway.Error{Code: trackway.NotFound, Field: "project", Msg: "No."})
	check(t, f.send("GET", "/grid/customers", nil), 404, `{"success":false,"errors":["No."]}`)
	fail(errors.New("disk on fire"))
	check(t, f.send("GET", "/grid/start", nil), 500, "Internal error, request ")
	if !strings.Contains(f.log.String(), "disk on fire") {
		t.Errorf("the log has %q", f.log)
	}
	check(t, f.send("GET", "/grid/start", nil), 429, "Limit to max 4 per 60 seconds")
	check(t, f.send("GET", "/grid/none", nil), 429, "")

	f.dashboard.serve = func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		if string(body) != `{"password":"p"}` || err != nil {
			t.Errorf("the body is %q, %v", body, err)
		}
		w.Header().Set("Cache-Control", "no-store")
		return &trackway.Error{Code: trackway.Forbidden, Field: "password", Msg: "Wrong password."}
	}
	for range 2 { // under a limit of its own
		check(t, f.send("POST", "/grid/session", strings.NewReader(`{"password":"p"}`)), 403, `{"success":false,"errors":["Wrong password."]}`)
	}
	check(t, f.send("POST", "/grid/session", strings.NewReader(`{"password":"p"}`)), 429, "Limit to max 2 per 60 seconds")
}

// TestRefusedIsShown: watchers see every command that is not accepted, whatever
// the reason.
func TestRefusedIsShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, err := f.observer.live.Watch(live.Filter{Rejected: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	send := func(path, body string, fields ...string) { f.post(trackBase+path, strings.NewReader(body), fields...) }
	send("customers/events", goodEvent)
	send("customers/events", `{"customer_ids":{"cookie":"c"},"event_type":"e","timestamp":"soon"}`)
	send("customers", `{"customer_ids":{"cookie":{}}}`)
	send("customers/events", `{"customer_ids"`)
	send("batch", `{"commands":[{"name":"customers/events","data":{"customer_ids":{"cookie":"b"},"event_type":7}},`+
		`{"name":"system/time"},{"name":"what","data":{}},{"name":"customers","data":{"customer_ids":{"cookie":"c"}}}]}`)
	send("batch", `{"commands":[]}`)
	send("customers/events", goodEvent, "Authorization", "Token nobody")
	send("customers/events", goodEvent, "Content-Encoding", "br")
	get := func(path string) { // what carries no commands has none that are refused
		f.send(http.MethodGet, path, nil, "Authorization", "Token nobody")
	}
	get(trackBase + "system/time")
	get(dataBase + "consent/categories")
	get("/api/limits/usage")
	send("customers/export-one", `{}`, "Authorization", "Token nobody")
	f.post(dataBase+"customers/export-one", strings.NewReader(`{`))
	access := f.Access()
	withKeys := access
	withKeys.Keys = auth.New([]trackway.Project{{
		Name: "demo", Number: 1, Token: projectToken, Hard: []string{"registered"}, Soft: []string{"cookie"},
		Keys: []trackway.Key{{
			Name: "web", Kind: trackway.PublicKey, ID: publicToken, Permissions: map[trackway.Permission][]string{trackway.SetCustomers: nil},
		}},
	}})
	f.Reload(withKeys)
	send("customers/events", goodEvent) // for which the key has no permission
	f.Reload(access)
	f.post(strings.Replace(trackBase, "1234", "9999", 1)+"customers", strings.NewReader(`{}`))
	items, _, err := w.Take(100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range items {
		r := it.Rejection
		text := fmt.Sprintf("%s|%s|%s|%d|", r.Command, r.Type, r.Field, r.Project)
		if len(r.IDs) == 1 {
			text += r.IDs[0].Name + "=" + r.IDs[0].Value
		}
		if r.Address.String() != "192.0.2.1" || r.Received == 0 || r.Reason == "" {
			t.Errorf("%s: %+v", text, r)
		}
		got = append(got, text)
	}
	want := []string{
		"customers/events|e|timestamp|1|cookie=c",
		"customers||customer_ids.cookie|1|",
		"customers/events|||1|",
		"customers/events||event_type|1|cookie=b",
		"what||name|1|",
		"batch|||1|",
		"customers/events||Authorization|1|",
		"customers/events||Content-Encoding|1|",
		"customers/events|||1|",
		"customers||projectToken|0|",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

// TestPages: if the pages were built, the server answers with them, compressed
// for clients that accept it. Otherwise it answers with a page that says how to
// build them.
func TestPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	check(t, f.send("GET", "/", nil), 200, "<code>make build</code>")
	check(t, f.send("GET", "/assets/a-1.js", nil), 404, "There is no such route")

	site, err := web.Read(fstest.MapFS{
		"index.html": {Data: []byte("<!doctype html>pages")}, "assets/a-1.js": {Data: []byte("script")}, "assets/a-1.js.gz": {Data: []byte("gz")},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Server.built = &site
	w := f.send("GET", "/", nil)
	check(t, w, 200, "<!doctype html>pages")
	if h := w.Header(); h.Get("Content-Security-Policy") != web.Policy || h.Get("Cache-Control") != "no-cache" {
		t.Errorf("got %v", h)
	}
	check(t, f.send("GET", "/", nil, "If-None-Match", w.Header().Get("Etag")), 304, "")
	w = f.send("GET", "/assets/a-1.js", nil)
	check(t, w, 200, "script")
	if w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %v", w.Header())
	}
	r := httptest.NewRequest(http.MethodGet, "/assets/a-1.js", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w = httptest.NewRecorder()
	f.Server.ServeHTTP(w, r) // the contract knows no encodings
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.String() != "gz" || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("got %v %q", w.Header(), w.Body)
	}
}

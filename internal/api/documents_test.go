package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/limit/history"
	"trackway/openapi"
)

var apiPolicy = trackway.Policy{Name: "api", Paths: []string{"/api/"}, Limit: 2, Window: time.Minute, Per: trackway.PerIPPath}

// get requests a path from an address that limits count.
func (f *fixture) get(path string, fields ...string) *httptest.ResponseRecorder {
	return f.send(http.MethodGet, path, nil, append([]string{"X-Forwarded-For", "198.51.100.1"}, fields...)...)
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	f := newFixture(t, apiPolicy, trackway.Policy{Name: "all", Paths: []string{"/"}, Limit: 1, Window: time.Minute, Also: true, AllowBelowFloor: true})
	for path, want := range map[string]struct{ media, holds string }{
		"/":             {"text/html; charset=utf-8", `href="/about/api"`},
		"/about/api":    {"text/html; charset=utf-8", "2 calls in 60 seconds"},
		"/openapi.yaml": {"application/yaml", string(openapi.Source())},
	} {
		for range 3 { // none of them costs anything, though a policy for all paths admits one call
			w := f.get(path)
			check(t, w, 200, want.holds)
			if got := w.Header().Get("Content-Type"); got != want.media {
				t.Errorf("%s: got %q, want %s", path, got, want.media)
			}
			if w.Header()["X-RateLimit-Limit"] != nil {
				t.Errorf("%s: was counted", path)
			}
			if strings.HasPrefix(want.media, "text/html") != (w.Header().Get("Content-Security-Policy") != "") {
				t.Errorf("%s: Content-Security-Policy: got %q", path, w.Header().Get("Content-Security-Policy"))
			}
			again := f.get(path, "If-None-Match", w.Header().Get("Etag"))
			if check(t, again, 304, ""); again.Body.Len() != 0 || again.Header().Get("Content-Type") != "" || again.Header().Get("Etag") != w.Header().Get("Etag") {
				t.Errorf("%s: got %v %s", path, again.Header(), again.Body)
			}
		}
		check(t, f.send(http.MethodHead, path, nil), 200, "")
	}
	w := f.send(http.MethodPost, "/about/api", strings.NewReader("{}"))
	check(t, w, 405, "This route is called by GET, HEAD.")
}

// A 304 costs nothing, and says so.
func TestNotModifiedIsGivenBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, apiPolicy)
	left := func(w *httptest.ResponseRecorder) string { return w.Header()["X-RateLimit-Remaining"][0] }
	first := f.get("/api/limits")
	check(t, first, 200, `{"server":"ts1.eu","scope":"server","policies":[{"name":"api","paths":["/api/"],"limit":2,"per":"ip+path"`)
	if got := left(first); got != "1" {
		t.Errorf("got %s left, want 1", got)
	}
	for range 5 {
		w := f.get("/api/limits", "If-None-Match", first.Header().Get("Etag"))
		if check(t, w, 304, ""); left(w) != "1" {
			t.Errorf("got %s left, want 1", left(w))
		}
	}
	check(t, f.get("/api/limits", "If-None-Match", `"other"`), 200, "policies")
	w := f.get("/api/limits", "If-None-Match", first.Header().Get("Etag"))
	check(t, w, 429, "Limit to max 2 per 60 seconds") // the limit is asked before anything else
}

func decode(t *testing.T, w *httptest.ResponseRecorder, v any) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), v); err != nil || w.Code != http.StatusOK {
		t.Fatalf("got %d %s (%v)", w.Code, w.Body, err)
	}
}

func TestServers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	check(t, f.get("/api/servers"), 200, `{"servers":[{"name":"ts1.eu","region":"eu","url":"http://ts1.eu","state":"up"},`+
		`{"name":"ts2.us","region":"us","url":"http://ts2.us","state":"down"}]}`)
	check(t, f.get("/api/srvlist"), 200, `{"region":"eu","regions":[["eu","eu"],["us","us"]],"servers":["ts1.eu"]}`)
	// All are down.
	check(t, f.get("/api/srvlist?region=us"), 200, `{"region":"us","regions":[["eu","eu"],["us","us"]],"servers":["ts2.us"]}`)
	check(t, f.get("/api/srvlist?region=moon"), 200, `{"region":"moon","regions":[["eu","eu"],["us","us"]],"servers":[]}`)
	check(t, f.get("/api/srvlist?region="+strings.Repeat("x", 64)), 200, `"servers":[]`)
	check(t, f.get("/api/srvlist?region="+strings.Repeat("x", 65)), 400, `{"success":false,"errors":["Field 'region': expected the code of a region`)
	f.servers.fleet.Stop()
	f.reader.store = usedStore{}
	check(t, f.get("/api/servers"), 200, `{"name":"ts1.eu","region":"eu","url":"http://ts1.eu","state":"service"}`)
	check(t, f.get("/api/status"), 200, `"state":"service"`)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	f := newFixture(t, apiPolicy)
	f.reader.store = usedStore{}
	for _, path := range []string{"/api/none", "/api/none", "/api/none", "/", "/api/limits", "/api/limits/changes"} {
		f.get(path)
	}
	w := f.get("/api/status")
	check(t, w, 200, `{"name":"ts1.eu","region":"eu","version":"v1.2.3","state":"up","uptime":`)
	var got struct{ Customers, Events, Accepted, Refused, Limited int }
	if decode(t, w, &got); got.Accepted != 2 || got.Refused != 4 || got.Limited != 1 || got.Customers != 2 || got.Events != 9 {
		t.Errorf("got %+v, want 2 accepted, 4 refused, 1 of them limited; 2 customers, 9 events", got)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range uint32(5) {
		policy := apiPolicy
		policy.Limit, policy.Algorithm, policy.Mode, policy.IPv6Prefix = i+1, trackway.Fixed, trackway.Enforce, 64
		if err := f.limiting.history.Record(time.Now(), []trackway.Policy{policy}, []trackway.Override{{Policy: "api", Key: "back", Limit: i}}, history.Access{}); err != nil {
			t.Fatal(err)
		}
	}
	const path = "/api/limits/changes"
	basic := func(secret string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+secret))}
	}
	var page struct {
		Page, Total, RowsPerPage, Records int
		Rows                              []struct {
			What string
			New  struct{ Limit int }
		}
	}
	decode(t, f.get(path+"?page=2&rows=3", basic(privateSecret)...), &page)
	if got := fmt.Sprint(page); got != "{2 4 3 10 [{policy {4}} {override {2}} {policy {3}}]}" {
		t.Errorf("got %s", got)
	}
	w := f.get(path, basic(privateSecret)...)
	if decode(t, w, &page); len(page.Rows) != 10 || page.RowsPerPage != 100 {
		t.Errorf("got %+v, want all on one page", page)
	}
	check(t, f.get(path, append(basic(privateSecret), "If-None-Match", w.Header().Get("Etag"))...), 304, "")
	if decode(t, f.get(path+"?page=9", basic(privateSecret)...), &page); len(page.Rows) != 0 {
		t.Errorf("got %+v, want an empty page", page)
	}

	check(t, f.get(path), 403, `{"success":false,"errors":["Not authorized: this key does not have the permission admin."]}`)
	check(t, f.get(path, "Authorization", ""), 401, "Access key not provided")
	check(t, f.get(path, "Authorization", "Token nobody"), 401, "Access key not found")
	check(t, f.get(path, basic("wrong")...), 403, "Invalid secret")
	for _, query := range []string{"page=0", "page=x", "rows=1001", "rows=-1", "rows=", "page=1000001"} {
		check(t, f.get(path+"?"+query, basic(privateSecret)...), 400, "expected a whole number from 1 to 1000")
	}
}

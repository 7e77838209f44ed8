package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"trackway"
)

// Whatever way a path is written: what is answered under a limited path is counted there, and carries the fields.
func TestNoPathEscapesItsPolicy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackway.Policy{Name: "all", Paths: []string{"/api/", "/data/", "/grid/"}, Limit: 1000, Window: time.Minute})
	f.Store = usedStore{}
	for path, want := range map[string]int{
		"/api/status":                       200,
		"//api///status":                    200,
		"/%61pi/status":                     200,
		"http://ts1.eu/api/status":          200,
		"/api/./status":                     404,
		"/api/../api/status":                404,
		"/api/status/.":                     404,
		"/api/..":                           404,
		"/grid/../about/api":                404,
		"//api/%2e%2e/about/api":            404,
		"/api/%2e/status":                   404,
		"/api%2fstatus":                     404,
		"/api/status/":                      404,
		"/data/v2/projects/x/../../../grid": 404,
	} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr = "198.51.100.1:4711"
		w := httptest.NewRecorder()
		f.Server.ServeHTTP(w, r) // not through the contract: it knows clean paths only
		if check(t, w, want, ""); w.Header()["X-RateLimit-Limit"] == nil {
			t.Errorf("%s: answered %d without being counted", path, w.Code)
		}
	}
	for _, path := range []string{"/./", "/about/../api/status", "/about/./api"} { // not below a limited path
		w := httptest.NewRecorder()
		f.Server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		check(t, w, 404, "There is no such route")
	}
}

// A project's token is known in any letter case, and so is the policy of its path.
func TestTokenInAnotherCaseIsLimited(t *testing.T) {
	t.Parallel()
	upper := strings.ToUpper(projectToken)
	for _, written := range []string{projectToken, upper} {
		own := trackway.Policy{Name: "own", Paths: []string{"/track/v2/projects/" + written + "/"}, Limit: 1, Window: time.Minute, AllowBelowFloor: true}
		f := newFixture(t, own, trackway.Policy{Name: "track", Paths: []string{"/track/"}, Limit: 6000, Window: time.Minute})
		for i, token := range []string{projectToken, projectToken, upper, upper[:30] + projectToken[30:]} {
			want := map[bool]int{true: 200, false: 429}[i == 0]
			check(t, f.send(http.MethodGet, "/track/v2/projects/"+token+"/system/time", nil), want, "")
		}
	}
}

// A slash that is escaped is part of a name, also where slashes are doubled.
func TestDoubledSlashesKeepEscapes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var got string
	f.mux.HandleFunc("GET /seen/{name}", func(_ http.ResponseWriter, r *http.Request) { got = r.PathValue("name") })
	f.Server.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "//seen//a%2F%2Fb%20c", nil))
	if got != "a//b c" {
		t.Errorf("got %q, want a//b c", got)
	}
}

// A preflight costs nothing, also one to a route that pages of other sites may not call.
func TestPreflightsAreFree(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackway.Policy{Name: "all", Paths: []string{"/"}, Limit: 1, Window: time.Minute, Also: true, AllowBelowFloor: true})
	for path, status := range map[string]int{"/api/servers": 204, "/api/status": 405, "/track/none": 404, trackBase + "batch": 204} {
		w := f.send(http.MethodOptions, path, http.NoBody, "Origin", "https://shop.example", "Access-Control-Request-Method", "POST")
		if check(t, w, status, ""); w.Header()["X-RateLimit-Limit"] != nil {
			t.Errorf("%s: a preflight was counted", path)
		}
	}
	check(t, f.send(http.MethodOptions, "/api/status", io.NopCloser(strings.NewReader(""))), 405, "")
	check(t, f.send(http.MethodOptions, "/api/status", http.NoBody), 429, "") // that is none
}

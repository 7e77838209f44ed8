package api

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"trackway"
)

// However a path is written, a call that is answered under a limited path is
// counted there, and its answer has the fields.
func TestNoPathEscapesItsPolicy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackway.Policy{Name: "all", Paths: []string{"/api/", "/data/", "/grid/"}, Limit: 1000, Window: time.Minute})
	f.reader.store = usedStore{}
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

// A project's token is known in any letter case, and so is the policy of its
// path.
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

// A preflight costs nothing, even to a route that pages of other sites may not
// call.
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
	check(t, f.send(http.MethodOptions, "/api/status", http.NoBody), 429, "") // no preflight
}

// On every route that pages of other sites may call, the answer to a preflight
// allows all fields that it asks for.
func TestPreflightMirrorsFields(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const tracing = "authorization,content-type,traceparent,baggage,sentry-trace,x-datadog-trace-id,newrelic,x-requested-with"
	for _, rt := range new(Server).routes() {
		if !rt.format.AnySite {
			continue
		}
		const usual = "Authorization, Content-Type, Content-Encoding, X-Request-Id"
		path := strings.ReplaceAll(rt.path, "{token}", projectToken)
		for asked, want := range map[string]string{
			tracing:                      tracing,
			"":                           usual,
			"x, y\r\nSet-Cookie: z":      usual,
			"é":                          usual,
			"x,,y":                       usual,
			"x y":                        usual,
			strings.Repeat("x", 5000):    usual,
			"Authorization , x-One\t,b3": "Authorization , x-One\t,b3",
		} {
			w := f.send(http.MethodOptions, path, http.NoBody, "Origin", "https://shop.example",
				"Access-Control-Request-Method", rt.method, "Access-Control-Request-Headers", asked)
			check(t, w, 204, "")
			h := w.Header()
			if got := h.Get("Access-Control-Allow-Headers"); got != want || h.Get("Access-Control-Allow-Origin") != "*" ||
				!strings.Contains(h.Get("Access-Control-Allow-Methods"), rt.method) {
				t.Errorf("%s: asked for %.200q, got %v", path, asked, h)
			}
			if got := h.Get("Vary"); got != "Origin, Access-Control-Request-Method, Access-Control-Request-Headers" {
				t.Errorf("%s: Vary: got %q", path, got)
			}
		}
	}
}

// An OPTIONS that is no preflight is a call like any other, whatever its path:
// it is counted and gets the fields. So is one with a body.
func TestOtherOptionsAreCounted(t *testing.T) {
	t.Parallel()
	all := trackway.Policy{Name: "all", Paths: []string{"/"}, Limit: 2, Window: time.Minute, Also: true, AllowBelowFloor: true}
	for path, status := range map[string]int{
		trackBase + "batch": 204, "/api/servers": 204, dataBase + "consent/categories": 204, "/api/status": 405, "/grid/limits": 405,
		"/none": 404, "/track/none": 404, "/track/../x": 404, "*": 404,
	} {
		f := newFixture(t, all)
		ask := func(body io.Reader, fields ...string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodOptions, "/", body)
			r.URL.Path, r.RequestURI = path, path
			for i := 0; i < len(fields); i += 2 {
				r.Header.Set(fields[i], fields[i+1])
			}
			w := httptest.NewRecorder()
			f.Server.ServeHTTP(w, r) // not through the contract: it knows clean paths only
			return w
		}
		for i, w := range []*httptest.ResponseRecorder{
			ask(http.NoBody), ask(strings.NewReader("{}"), "Origin", "https://shop.example", "Access-Control-Request-Method", "POST"),
		} {
			if got := w.Header()["X-RateLimit-Remaining"]; w.Code != status || len(got) != 1 || got[0] != strconv.Itoa(1-i) {
				t.Errorf("%s: got %d, X-RateLimit-Remaining %v; want %d, counted", path, w.Code, got, status)
			}
			if status == 204 && w.Header().Get("Allow") == "" {
				t.Errorf("%s: Allow is missing", path)
			}
		}
		check(t, ask(http.NoBody), 429, "rate limit")
	}
}

// Every route answers 405 to methods that it does not have, and says which it
// has. HEAD works wherever GET does. All these calls are counted.
func TestMethods(t *testing.T) {
	t.Parallel()
	allowed, free := map[string][]string{}, map[string]bool{}
	for _, rt := range new(Server).routes() {
		path := strings.NewReplacer("{token}", projectToken, "{id}", "1", "{name}", "x", "{$}", "").Replace(rt.path)
		allowed[path] = append(allowed[path], rt.method)
		if rt.method == http.MethodGet {
			allowed[path] = append(allowed[path], http.MethodHead)
		}
		if rt.format.AnySite {
			allowed[path] = append(allowed[path], http.MethodOptions)
		}
		free[path] = rt.free
	}
	f := newFixture(t, trackway.Policy{Name: "all", Paths: []string{"/"}, Limit: 1000, Window: time.Minute, Per: trackway.PerIPPath, Also: true, AllowBelowFloor: true})
	f.front.log = slog.New(slog.DiscardHandler) // the store of this test is broken
	f.dashboard.serve = func(http.ResponseWriter, *http.Request) error { return errNoServer }
	for path, methods := range allowed {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "get"} {
			w := httptest.NewRecorder()
			f.Server.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			has := slices.Contains(methods, method)
			if (w.Code == http.StatusMethodNotAllowed) == has {
				t.Errorf("%s %s: got %d, and it has %v", method, path, w.Code, methods)
			}
			got := strings.Split(w.Header().Get("Allow"), ", ")
			slices.Sort(got)
			want := slices.Sorted(slices.Values(methods))
			if !has && !slices.Equal(got, want) {
				t.Errorf("%s %s: Allow: got %v, want %v", method, path, got, want)
			}
			if counted := w.Header()["X-RateLimit-Limit"] != nil; counted == (has && free[path]) {
				t.Errorf("%s %s: counted: %v", method, path, counted)
			}
		}
	}
}

// A cache has to know that an answer depends on the caller, even if the caller
// sent no Origin.
func TestVaryByOrigin(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{"/api/servers", dataBase + "consent/categories", trackBase + "system/time"} {
		w := f.send(http.MethodGet, path, nil)
		if w.Header().Get("Vary") != "Origin" {
			t.Errorf("%s: got %v", path, w.Header())
		}
		if tag := w.Header().Get("Etag"); tag != "" {
			if w := f.send(http.MethodGet, path, nil, "If-None-Match", tag); w.Code != 304 || w.Header().Get("Vary") != "Origin" {
				t.Errorf("%s: got %d %v", path, w.Code, w.Header())
			}
		}
	}
}

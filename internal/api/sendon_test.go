package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/api/request"
	"trackway/internal/fleet"
)

// A call to a host that only redirects is redirected to a server that is up,
// and costs what it would have cost there.
func TestSentOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackway.Policy{Name: "api", Paths: []string{"/api/"}, Limit: 4, Window: time.Minute})
	access := f.access.Load().Access
	access.RedirectHosts = []string{"tracking.example.com"}
	f.Reload(access)
	ask := func(method, target, host string, fields ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, http.NoBody)
		r.Host, r.RemoteAddr = host, "198.51.100.1:4711"
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		w := httptest.NewRecorder()
		f.Server.ServeHTTP(w, r) // not through the contract, which is that of a server's own address
		return w
	}
	for _, c := range []struct {
		method, target, host string
		status               int
		location             string
	}{
		{"GET", "/data/x%2Fy?a=1&region=eu&b=%20&server=ts1.eu", "Tracking.example.com", 302, "http://ts1.eu/data/x%2Fy?a=1&b=%20"},
		{"HEAD", "/about/api?server=ts1.eu", "tracking.example.com:443", 302, "http://ts1.eu/about/api"},
		{"POST", "//track/v2/batch?access_token=t", "tracking.example.com.", 307, "http://ts1.eu/track/v2/batch?access_token=t"},
		{"GET", "/x?server=ts2.us", "tracking.example.com", 503, ""},
		{"GET", "/x?region=us", "tracking.example.com", 503, ""},
		{"GET", "/x?region=moon", "tracking.example.com", 400, ""},
		{"GET", "/x?server=ts1.eu&region=us", "tracking.example.com", 400, ""},
		{"GET", "/about/api", "ts1.eu", 200, ""},
	} {
		w := ask(c.method, c.target, c.host)
		if w.Code != c.status || w.Header().Get("Location") != c.location || w.Header()["X-Served-By"] == nil {
			t.Errorf("%s %s at %s: got %d %q, want %d %q", c.method, c.target, c.host, w.Code, w.Header().Get("Location"), c.status, c.location)
		}
		if (w.Header().Get("Retry-After") != "") != (c.status == 503) {
			t.Errorf("%s: got Retry-After %q", c.target, w.Header().Get("Retry-After"))
		}
	}
	for i := range 6 {
		want := map[bool]int{true: 302, false: 429}[i < 4]
		if w := ask("GET", "/api/servers", "tracking.example.com", "Origin", "https://shop.example"); w.Code != want ||
			w.Header()["X-RateLimit-Limit"] == nil || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("call %d: got %d %v, want %d, counted, for any page", i, w.Code, w.Header(), want)
		}
	}
	w := ask("OPTIONS", trackBase+"batch", "tracking.example.com", "Origin", "https://shop.example", "Access-Control-Request-Method", "POST")
	check(t, w, 204, "")
	f.servers.fleet.Reload(self, []fleet.Server{{Name: "ts2.us", URL: "http://ts2.us/"}})
	f.servers.fleet.Stop()
	check(t, ask("GET", "/", "tracking.example.com"), 503, "No such server is up")
	if got := request.Same(httptest.NewRequest(http.MethodGet, "http://x", nil).URL); got != "/" || strings.Contains(got, "x") {
		t.Errorf("got %q, want /", got)
	}
}

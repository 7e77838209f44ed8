package api

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway"
)

// FuzzPaths looks for a way to write a path that is answered without being
// counted, and is not free.
func FuzzPaths(f *testing.F) {
	for _, seed := range []string{
		"/api/status", "//api//status", "/api/./status", "/api/%2e%2e/grid/start", "http://x/api/status", "http:api/status", "*", "/track",
		"/track/../data/v2", "/API/status", "/api/status/", "/%61pi/status?a=/../", "/api%2fstatus", "//x/../api/status", "/assets/..%2fapi", "",
	} {
		f.Add("GET", seed)
		f.Add("OPTIONS", seed)
		f.Add("CONNECT", seed)
	}
	limited := []string{"/api/", "/data/", "/grid/", "/track/"}
	free := []string{"/", "/about/api", "/openapi.yaml"}
	s := newFixture(f, trackway.Policy{Name: "all", Paths: limited, Limit: 4e6, Window: time.Minute})
	s.reader.store = usedStore{}
	f.Fuzz(func(t *testing.T, method, target string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")))
		if err != nil {
			t.Skip("net/http refuses it")
		}
		r.RemoteAddr = "198.51.100.1:4711"
		path := r.URL.Path
		w := httptest.NewRecorder()
		s.Server.ServeHTTP(w, r)
		counted := w.Header()["X-RateLimit-Limit"] != nil
		below := slices.ContainsFunc(limited, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
		switch {
		case counted:
		case below:
			t.Errorf("%s %q: answered %d, not counted", method, target, w.Code)
		case w.Code == http.StatusOK && !slices.Contains(free, r.URL.Path):
			t.Errorf("%s %q: served as %q, not counted", method, target, r.URL.Path)
		case w.Code/100 == 3 && w.Header().Get("Location") != "/":
			t.Errorf("%s %q: sent to %q, not counted", method, target, w.Header().Get("Location"))
		}
	})
}

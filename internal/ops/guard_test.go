package ops

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestForeignPages: requests that a page of another site makes a browser send
// are refused. Those that people and their tools send are accepted.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	type fields map[string]string
	for _, c := range []struct {
		request, host string
		fields        fields
		want          int
	}{
		{"POST /-/reload", "127.0.0.1:8081", nil, 200},
		{"POST /-/reload", "[::1]:8081", nil, 200},
		{"POST /-/reload", "trackway-ops:8081", nil, 200}, // curl in another container
		{"POST /-/reload", "127.0.0.1:8081", fields{"Origin": "http://127.0.0.1:8081"}, 200},
		{"POST /-/reload", "localhost:8081", fields{"Origin": "http://localhost:8081", "Sec-Fetch-Site": "same-origin"}, 200},
		{"POST /-/reload", "ops.example:8081", fields{"Origin": "http://ops.example:8081"}, 200}, // as configured
		{"POST /-/reload", "127.0.0.1:8081", fields{"Origin": "https://evil.example"}, 403},
		{"POST /-/reload", "127.0.0.1:8081", fields{"Origin": "null"}, 403},
		{"POST /-/reload", "127.0.0.1:8081", fields{"Origin": "http://127.0.0.1:3000"}, 403},
		{"POST /-/reload", "127.0.0.1:8081", fields{"Sec-Fetch-Site": "cross-site"}, 403},
		{"POST /-/reload", "127.0.0.1:8081", fields{"Sec-Fetch-Site": "same-site"}, 403},
		{"POST /-/reload", "127.0.0.1:8081", fields{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403},
		// A name that an attacker points to this host.
		{"POST /-/reload", "evil.example:8081", fields{"Origin": "http://evil.example:8081"}, 403},
		{"POST /-/reload", "evil.example:8081", fields{"Origin": "http://evil.example:8081", "Sec-Fetch-Site": "same-origin"}, 403},
		{"POST /-/reload", "localhost.evil.example", fields{"Origin": "http://localhost.evil.example"}, 403},
		{"POST /debug/pprof/symbol", "127.0.0.1:8081", fields{"Origin": "https://evil.example"}, 403},
		{"GET /debug/pprof/cmdline", "127.0.0.1:8081", fields{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403},
		{"GET /debug/pprof/cmdline", "127.0.0.1:8081", fields{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403},
		{"GET /debug/pprof/cmdline", "127.0.0.1:8081", fields{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200},
		{"GET /metrics", "trackway-ops:8081", nil, 200},
		// A link.
		{"GET /metrics", "127.0.0.1:8081", fields{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200},
		{"GET /metrics", "127.0.0.1:8081", fields{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403},
	} {
		reloads := 0
		h := Handler(Config{
			Gatherer: prometheus.NewRegistry(), Listen: "ops.example:8081",
			Ready: func() error { return nil }, Reload: func() error { reloads++; return nil },
		})
		var method, path string
		for i, r := range c.request {
			if r == ' ' {
				method, path = c.request[:i], c.request[i+1:]
			}
		}
		r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
		r.Host = c.host
		for name, value := range c.fields {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want || reloads == 1 != (path == "/-/reload" && c.want == 200) {
			t.Errorf("%s of %s with %v: got %d, %d reloads, want %d", c.request, c.host, c.fields, w.Code, reloads, c.want)
		}
	}
}

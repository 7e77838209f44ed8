package httpsonly

import (
	"bufio"
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandler(t *testing.T) {
	url := ""
	h := Handler(Config{URL: func() string { return url }, Port: 443, Challenge: func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/.well-known/acme-challenge/token" {
			return false
		}
		_, _ = w.Write([]byte("answer"))
		return true
	}})
	odd := Handler(Config{URL: func() string { return "" }, Port: 8443})
	for name, c := range map[string]struct {
		handler            http.Handler
		method, host, path string
		url, header, key   string
		status             int
		location, body     string
	}{
		"a page":              {handler: h, path: "/app/?a=b", status: 308, location: "https://ts.example.com/app/?a=b"},
		"HEAD":                {handler: h, method: http.MethodHead, path: "/", status: 308, location: "https://ts.example.com/"},
		"another port":        {handler: odd, host: "ts.example.com:80", path: "/", status: 308, location: "https://ts.example.com:8443/"},
		"IPv6":                {handler: h, host: "[::1]:80", path: "/", status: 308, location: "https://[::1]/"},
		"IPv6, another port":  {handler: odd, host: "[::1]", path: "/", status: 308, location: "https://[::1]:8443/"},
		"the configured URL":  {handler: h, url: "https://public.example.com", path: "/a", status: 308, location: "https://public.example.com/a"},
		"two slashes":         {handler: h, path: "//evil.example.org/", status: 308, location: "https://ts.example.com//evil.example.org/"},
		"a challenge":         {handler: h, path: "/.well-known/acme-challenge/token", status: 200, body: "answer"},
		"an unknown token":    {handler: h, path: "/.well-known/acme-challenge/x", status: 308, location: "https://ts.example.com/.well-known/acme-challenge/x"},
		"a call":              {handler: h, method: http.MethodPost, path: "/track/v2/projects/a/customers", status: 403, body: "https://ts.example.com"},
		"a call with a key":   {handler: h, path: "/api/projects/a/customers", key: "Basic YTpi", status: 403, body: "HTTPS only"},
		"a key in the query":  {handler: h, path: "/api/projects/a/customers?b=c&access_token=k", status: 403, body: "HTTPS only"},
		"a write key":         {handler: h, path: "/v1/projects/a/settings", header: "X-Write-Key", key: "k", status: 403, body: "HTTPS only"},
		"a host with a slash": {handler: h, host: "a/b", path: "/", status: 400, body: "Host"},
		"a host with markup":  {handler: h, host: "<b>", path: "/", status: 400, body: "Host"},
		"a host with a user":  {handler: h, host: "a@evil.example.org", path: "/", status: 400, body: "Host"},
	} {
		t.Run(name, func(t *testing.T) {
			url = c.url
			if c.method == "" {
				c.method = http.MethodGet
			}
			r := httptest.NewRequest(c.method, "http://ts.example.com"+c.path, strings.NewReader(""))
			if c.host != "" {
				r.Host = c.host
			}
			if c.key != "" {
				r.Header.Set(cmp.Or(c.header, "Authorization"), c.key)
			}
			w := httptest.NewRecorder()
			c.handler.ServeHTTP(w, r)
			if w.Code != c.status || w.Header().Get("Location") != c.location || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("got %d %q %q", w.Code, w.Header().Get("Location"), w.Body)
			}
			if w.Code >= 400 {
				var refusal struct {
					Success bool
					Errors  []string
				}
				if err := json.Unmarshal(w.Body.Bytes(), &refusal); err != nil || len(refusal.Errors) != 1 {
					t.Errorf("the refusal %q is not in the format of the tracking API (%v)", w.Body, err)
				}
			}
		})
	}
}

// TestNoPath: a request line without a path cannot turn the redirect into one
// to another host.
func TestNoPath(t *testing.T) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET x:@evil.example.org/ HTTP/1.1\r\nHost: ts.example.com\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	Handler(Config{URL: func() string { return "" }, Port: 443}).ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
		t.Errorf("got %d to %q", w.Code, w.Header().Get("Location"))
	}
}

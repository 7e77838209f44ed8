package e2e

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// encoders are the accepted encodings of a body.
var encoders = map[string]func(io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"zstd": func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w)
		if err != nil {
			panic("bug: " + err.Error()) // no option was given
		}
		return z
	},
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	for encoding, open := range encoders {
		who := "encoded-" + encoding
		body := fmt.Sprintf(`{"customer_ids": {"registered": %q}, "event_type": "e", "timestamp": 1000, "properties": {"a": 1}}`, who)
		send := request{path: "/track/v2/projects/{token}/customers/events", body: squeeze(t, open, body), header: map[string]string{"Content-Encoding": encoding}}
		if res := s.do(t, send); !res.success() {
			t.Errorf("%s: got %v, want success", encoding, res)
		}
		if c := s.exportOne(t, map[string]any{"registered": who}); c == nil || len(c.Events) != 1 || c.Events[0].Properties["a"] != 1.0 {
			t.Errorf("%s: got %+v, want the event", encoding, c)
		}
		send.body = send.body[:len(send.body)/2]
		if res := s.do(t, send); res.status != http.StatusBadRequest {
			t.Errorf("%s, cut short: got %v, want 400", encoding, res)
		}
	}
	res := s.do(t, request{path: "/track/v2/projects/{token}/customers/events", body: []byte("x"), header: map[string]string{"Content-Encoding": "br"}})
	checkFailure(t, res, http.StatusUnsupportedMediaType)
}

// TestSizes sends bodies that are too large, and bodies that become too large.
func TestSizes(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	event := func(size int) string {
		return `{"customer_ids": {"registered": "large"}, "event_type": "e", "properties": {"a": "` + strings.Repeat("x", size) + `"}}`
	}
	if res := s.do(t, request{path: "/track/v2/projects/{token}/customers/events", body: []byte(event(15 << 10))}); !res.success() {
		t.Errorf("a value of 15 KiB: got %v, want success", res)
	}
	checkFailure(t, s.do(t, request{path: "/track/v2/projects/{token}/customers/events", body: []byte(event(900_000))}), http.StatusRequestEntityTooLarge)
	for encoding, open := range encoders {
		bomb := squeeze(t, open, event(64<<20))
		res := s.do(t, request{path: "/track/v2/projects/{token}/customers/events", body: bomb, header: map[string]string{"Content-Encoding": encoding}})
		checkFailure(t, res, http.StatusRequestEntityTooLarge)
		res = s.do(t, request{path: "/track/v2/projects/{token}/batch", body: bomb, header: map[string]string{"Content-Encoding": encoding}})
		checkFailure(t, res, http.StatusRequestEntityTooLarge)
	}
}

func squeeze(t *testing.T, open func(io.Writer) io.WriteCloser, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := open(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// checkFailure checks the status, and the form that the general failures share.
func checkFailure(t *testing.T, res response, status int) {
	t.Helper()
	got, err := res.json()
	want := map[string]any{"errors": map[string]any{"code": float64(status), "description": "<string>"}}
	if d := match(want, got, "$"); err != nil || res.status != status || d != "" {
		t.Errorf("got %.300v, want %d: %s (%v)", res, status, d, err)
	}
	checkJSON(t, res)
}

// TestServersFromAnotherSite: a page of any site may choose among the tracking
// servers.
func TestServersFromAnotherSite(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	res := s.do(t, request{path: "/api/servers", auth: "none", header: map[string]string{"Origin": "https://shop.example"}})
	if got := res.header.Get("Access-Control-Allow-Origin"); res.status != http.StatusOK || got != "*" {
		t.Errorf("got %v, want 200 with Access-Control-Allow-Origin *", res)
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	res := s.do(t, request{method: "OPTIONS", path: "/track/v2/projects/{token}/customers/events", auth: "none", header: map[string]string{
		"Origin": "https://shop.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type",
	}})
	if res.status != http.StatusNoContent && res.status != http.StatusOK {
		t.Errorf("got %v, want 204", res)
	}
	if got := res.header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("got Access-Control-Allow-Origin %q, want *", got)
	}
	contains(t, res.header, "Access-Control-Allow-Methods", "POST")
	contains(t, res.header, "Access-Control-Allow-Headers", "authorization", "content-type")
	if res.header.Get("X-RateLimit-Limit") != "" {
		t.Error("a preflight was counted")
	}

	res = s.do(t, request{path: "/track/v2/projects/{token}/system/time", auth: "public", header: map[string]string{"Origin": "https://shop.example"}})
	if got := res.header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("got Access-Control-Allow-Origin %q, want *", got)
	}
	contains(t, res.header, "Access-Control-Expose-Headers", "retry-after", "ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
}

// contains checks that a field is a list with the given words. Letter case does
// not matter.
func contains(t *testing.T, header http.Header, field string, words ...string) {
	t.Helper()
	list := strings.Split(strings.ToLower(strings.ReplaceAll(header.Get(field), " ", "")), ",")
	for _, word := range words {
		if !slices.Contains(list, strings.ToLower(word)) {
			t.Errorf("got %s: %q, want it to hold %q", field, header.Get(field), word)
		}
	}
}

// TestBeacon sends what navigator.sendBeacon sends: it can set no header except
// a simple media type, so the key is in the query.
func TestBeacon(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	res := s.do(t, request{
		path: "/track/v2/projects/{token}/customers/events", auth: "query",
		header: map[string]string{"Content-Type": "text/plain;charset=UTF-8"},
		body:   []byte(`{"customer_ids": {"cookie": "beacon"}, "event_type": "session_end"}`),
	})
	if !res.success() {
		t.Errorf("got %v, want success", res)
	}
	if c := s.exportOne(t, map[string]any{"cookie": "beacon"}); c == nil || len(c.Events) != 1 {
		t.Errorf("got %+v, want the event", c)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	for _, path := range []string{"/nothing", "/track/", "/track/v2/projects/{token}/nothing", "/data/v2/projects/{token}/nothing"} {
		checkFailure(t, s.do(t, request{path: path}), http.StatusNotFound)
	}
	for path, method := range map[string]string{
		"/track/v2/projects/{token}/customers":           "GET",
		"/track/v2/projects/{token}/batch":               "PUT",
		"/track/v2/projects/{token}/system/time":         "DELETE",
		"/data/v2/projects/{token}/customers/export-one": "GET",
	} {
		res := s.do(t, request{method: method, path: path})
		checkFailure(t, res, http.StatusMethodNotAllowed)
		want := "POST"
		if strings.HasSuffix(path, "time") {
			want = "GET"
		}
		contains(t, res.header, "Allow", want)
	}
	// A redirect would lose the body of a POST.
	res := s.do(t, request{path: "//track//v2/projects/{token}///customers", body: []byte(`{"customer_ids": {"registered": "slashes"}}`)})
	if !res.success() {
		t.Errorf("got %v, want success", res)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	id := func(sent string) string {
		res := s.do(t, request{path: "/track/v2/projects/{token}/system/time", header: map[string]string{"X-Request-Id": sent}})
		if got := res.header.Get("X-Served-By"); got != serverName {
			t.Errorf("got X-Served-By %q, want %q", got, serverName)
		}
		return res.header.Get("X-Request-Id")
	}
	if got := id("order-1234"); got != "order-1234" {
		t.Errorf("got %q, want the caller's own", got)
	}
	first, second := id(""), id(strings.Repeat("x", 1000))
	if first == "" || second == "" || first == second || len(second) > 100 {
		t.Errorf("got %q and %q, want two new ones", first, second)
	}
}

// TestFieldErrors: each mistake in a field leads to an error that names the
// field.
func TestFieldErrors(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	for body, field := range map[string]string{
		`{"customer_ids": {"registered": "r"}, "event_type": 1}`:                                  "event_type",
		`{"customer_ids": {"registered": "r"}, "event_type": ""}`:                                 "event_type",
		`{"customer_ids": {"registered": "undefined"}, "event_type": "e"}`:                        "At least one id",
		`{"customer_ids": {"registered": {}}, "event_type": "e"}`:                                 "registered",
		`{"customer_ids": [], "event_type": "e"}`:                                                 "customer_ids",
		`{"customer_ids": {"phone": "1"}, "event_type": "e"}`:                                     "phone",
		`{"customer_ids": {"registered": "r"}, "event_type": "e", "timestamp": "yesterday"}`:      "timestamp",
		`{"customer_ids": {"registered": "r"}, "event_type": "e", "timestamp": 99999999999}`:      "timestamp",
		`{"customer_ids": {"registered": "r"}, "event_type": "e", "properties": "x"}`:             "properties",
		`{"customer_ids": {"registered": "` + strings.Repeat("r", 257) + `"}, "event_type": "e"}`: "registered",
		`{"customer_ids": {"registered": "r"}, "event_type": "` + strings.Repeat("e", 257) + `"}`: "event_type",
		`{"customer_ids": {"registered": "r"}, "event_type": "e", "age": "old"}`:                  "age",
		`{"customer_ids": {"registered": ["a", "b"]}, "event_type": "e"}`:                         "registered",
	} {
		res := s.do(t, request{path: "/track/v2/projects/{token}/customers/events", body: []byte(body)})
		got, err := res.json()
		if d := match(map[string]any{"success": false, "errors": []any{"<string>"}}, got, "$"); err != nil || res.status != http.StatusBadRequest || d != "" {
			t.Errorf("%.120s: got %v, want 400: %s", body, res, d)
		}
		if !strings.Contains(string(res.body), field) {
			t.Errorf("%.120s: got %v, want an error that names %s", body, res, field)
		}
	}
	if c := s.exportOne(t, map[string]any{"registered": "r"}); c != nil {
		t.Errorf("got %+v, want nothing of refused requests", c)
	}
}

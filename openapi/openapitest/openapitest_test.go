package openapitest

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const (
	project   = "/track/v2/projects/12345678-1234-1234-1234-123456789abc/"
	goodEvent = `{"customer_ids":{"cookie":"c"},"event_type":"e"}`
	success   = `{"errors":[],"success":true}`
)

// good returns a call that is just as the contract says; do makes it another.
func good(do func(*Call)) *Call {
	c := &Call{
		Method: "POST", Path: project + "customers/events", Sent: []byte(goodEvent),
		Header: http.Header{"Authorization": {"Token t"}, "Content-Type": {"application/json"}},
		Status: 200, Answer: []byte(success),
		AnswerHeader: http.Header{
			"Content-Type": {"application/json"}, "X-Request-Id": {"a-1"}, "X-Served-By": {"ts1"},
			"X-RateLimit-Limit": {"30"}, "X-RateLimit-Remaining": {"29"}, "X-RateLimit-Reset": {"1575391883"},
			"RateLimit-Policy": {`"api";q=30;w=30`}, "RateLimit": {`"api";r=29;t=30`},
		},
	}
	do(c)
	return c
}

func refused(c *Call) {
	c.Status = 429
	c.Answer = []byte(`{"status":429,"error":"rate limit","message":"Too many requests. Limit to max 30 per 30 seconds. Try again in 12 seconds."}`)
	c.AnswerHeader["X-RateLimit-Remaining"] = []string{"0"}
	c.AnswerHeader["Retry-After"] = []string{"12"}
	c.AnswerHeader["Cache-Control"] = []string{"no-store"}
}

func path(method, path string, status int, answer string) func(*Call) {
	return func(c *Call) {
		c.Method, c.Path, c.Status, c.Answer, c.Sent = method, path, status, []byte(answer), nil
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	contract, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, goodEvent)
	_ = z.Close()
	both := func(a, b func(*Call)) func(*Call) { return func(c *Call) { a(c); b(c) } }
	for name, c := range map[string]struct {
		do   func(*Call)
		want string // in the error; empty: no error
	}{
		"good":    {func(*Call) {}, ""},
		"slashes": {func(c *Call) { c.Path = "//track" + strings.TrimPrefix(c.Path, "/track") }, ""},
		"not limited": {func(c *Call) {
			clear(c.AnswerHeader)
			c.AnswerHeader = http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"a"}, "X-Served-By": {"t"}}
		}, ""},
		"zipped":               {func(c *Call) { c.Sent = zipped.Bytes(); c.Header.Set("Content-Encoding", "gzip") }, ""},
		"as text":              {func(c *Call) { c.Header.Set("Content-Type", "text/plain;charset=UTF-8") }, ""},
		"key in the query":     {func(c *Call) { c.Header.Del("Authorization"); c.Query = "access_token=t" }, ""},
		"refused":              {refused, ""},
		"bad, and refused":     {both(func(c *Call) { c.Sent = []byte("{"); c.Header = http.Header{} }, refused), ""},
		"unknown route":        {path("GET", "/none", 404, `{"errors":{"code":404,"description":"d"}}`), ""},
		"the other listener's": {path("GET", "/metrics", 200, "x 1"), ""},
		"head":                 {path("HEAD", project+"system/time", 200, ""), ""},

		"another status":          {func(c *Call) { c.Status = 201 }, "no answer of this status"},
		"another body":            {func(c *Call) { c.Answer = []byte(`{"errors":[],"success":true,"more":1}`) }, "additional properties 'more'"},
		"no JSON":                 {func(c *Call) { c.Answer = []byte(`{`) }, "not JSON"},
		"another media type":      {func(c *Call) { c.AnswerHeader.Set("Content-Type", "application/problem+json") }, "media type"},
		"a field missing":         {func(c *Call) { c.AnswerHeader.Del("X-Served-By") }, "X-Served-By is missing"},
		"a field twice":           {func(c *Call) { c.AnswerHeader["X-Request-Id"] = []string{"a", "b"} }, "there 2 times"},
		"a field wrong":           {func(c *Call) { c.AnswerHeader["RateLimit"] = []string{`api;r=1`} }, "RateLimit"},
		"a number wrong":          {func(c *Call) { c.AnswerHeader["X-RateLimit-Limit"] = []string{`many`} }, "X-RateLimit-Limit"},
		"some fields of five":     {func(c *Call) { delete(c.AnswerHeader, "RateLimit") }, "4 of the 5 fields"},
		"refused without fields":  {both(refused, func(c *Call) { delete(c.AnswerHeader, "Retry-After") }), "Retry-After is missing"},
		"refused with some left":  {both(refused, func(c *Call) { c.AnswerHeader["X-RateLimit-Remaining"] = []string{"1"} }), "X-RateLimit-Remaining"},
		"bad, and not refused":    {func(c *Call) { c.Sent = []byte(`{"event_type":"e"}`) }, "not refused: jsonschema"},
		"no key, and not refused": {func(c *Call) { c.Header.Del("Authorization") }, "no key"},
		"XML, and not refused":    {func(c *Call) { c.Header.Set("Content-Type", "application/xml") }, "application/xml"},
		"a parameter wrong":       {both(path("GET", "/api/limits/changes", 200, `{}`), func(c *Call) { c.Query = "rows=0"; c.Header.Set("Authorization", "Basic x") }), "parameter rows"},
		"a page may not read it":  {func(c *Call) { c.Header.Set("Origin", "https://shop.example") }, "may not read"},
		"unknown, but answered":   {path("GET", "/none", 200, success), "no such operation"},
		"another method":          {path("PUT", project+"customers", 200, success), "should be 405"},
		"head with a body":        {path("HEAD", project+"system/time", 200, success), "no body"},
		"encoded":                 {func(c *Call) { c.AnswerHeader.Set("Content-Encoding", "gzip") }, "no encoded answers"},
		"not the contract":        {path("GET", "/openapi.yaml", 200, "x"), "missing"},
	} {
		err := contract.Check(good(c.do))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestTransport(t *testing.T) {
	t.Parallel()
	contract, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	answer := success
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Served-By", "ts1")
		w.Header().Set("X-Request-Id", "a")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	var reported []error
	transport := &Transport{Contract: contract, Next: &http.Transport{}, Report: func(err error) { reported = append(reported, err) }}
	client := &http.Client{Transport: transport}
	t.Cleanup(client.CloseIdleConnections)
	send := func() (string, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+project+"customers/events", strings.NewReader(goodEvent))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Token t")
		res, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	if body, err := send(); body != success || err != nil || len(reported) > 0 {
		t.Errorf("got %s (%v), reported %v", body, err, reported)
	}
	answer = `{"success":"yes"}`
	if body, err := send(); err == nil || len(reported) != 1 {
		t.Errorf("got %s (%v), reported %v, want a failure that is reported", body, err, reported)
	}
}

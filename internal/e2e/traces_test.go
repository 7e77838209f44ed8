package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is a collector of traces.
type collector struct {
	*httptest.Server

	mu   sync.Mutex
	raw  []byte
	all  []*otlp.Span
	keys map[string]bool // that exports came with
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{keys: make(map[string]bool)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data otlp.TracesData
		if err = errors.Join(err, proto.Unmarshal(body, &data)); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw, c.keys[r.Header.Get("Authorization")] = append(c.raw, body...), true
		for _, r := range data.GetResourceSpans() {
			for _, s := range r.GetScopeSpans() {
				c.all = append(c.all, s.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// counts returns how many spans of each name there are. The name of a part
// follows that of its parent.
func (c *collector) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	names, counts := make(map[string]string), make(map[string]int)
	for _, s := range c.all {
		names[string(s.GetSpanId())] = s.GetName()
	}
	for _, s := range c.all {
		name := s.GetName()
		if parent := names[string(s.GetParentSpanId())]; parent != "" {
			name = parent + " > " + name
		}
		counts[name]++
	}
	return counts
}

// TestTraces: a reload switches traces on. Then each request leads to a span,
// by whichever way it comes, and so do the writes of a destination. A stop
// sends the last ones.
func TestTraces(t *testing.T) {
	t.Parallel()
	const key = "Bearer collector-key-5f8a"
	c, dir := newCollector(t), t.TempDir()
	out := filepath.Join(dir, "out")
	config := baseConfig + wideLimits + "destinations: [{name: out, kind: file, path: \"" + out + "\", batch: {every: 100ms}}]\n"
	s := startIn(t, dir, config)
	s.log.private(key, "collector-key")
	event := map[string]any{
		"customer_ids": map[string]any{"registered": "jane-of-traces"}, "event_type": "personal-type",
		"properties": map[string]any{"email": "jane@example.com"},
	}
	s.track(t, "customers/events", event) // before there are traces

	section := fmt.Sprintf("traces: {endpoint: %q, sample: 1, headers: [{name: Authorization, value: %s}]}\n", c.URL, key)
	s.configure(t, config+section)
	s.reload(t, http.StatusOK, "reloaded")
	const events = 3
	for range events {
		s.track(t, "customers/events", event) // past net/http
	}
	s.track(t, "customers/events?query=personal-query", event) // through net/http
	command := map[string]any{"name": "customers/events", "data": event}
	s.track(t, "batch", map[string]any{"commands": []any{command}})
	s.do(t, request{path: "/api/servers", auth: "none", header: map[string]string{"User-Agent": "personal-agent"}})
	s.do(t, request{path: "/personal-path"})
	const track = "POST /track/v2/projects/{token}/"
	want := map[string]int{
		track + "customers/events": events + 1, track + "customers/events > store commands": events + 1,
		track + "batch": 1, track + "batch > store commands": 1, "GET /api/servers": 1, "GET /": 1,
	}
	await(t.Context(), t, func() bool { return c.counts()["write file"] > 0 && c.counts()["GET /"] > 0 })
	got := c.counts()
	// However many batches there were.
	maps.DeleteFunc(got, func(name string, _ int) bool { return strings.HasSuffix(name, " file") })
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, text := get(t, s.ops, "/metrics"); !bytes.Contains(text, []byte(`trackway_traces_spans_total{outcome="exported"}`)) {
		t.Error("there is no metric")
	}

	s.do(t, request{path: "/api/status", auth: "none"})
	if code := s.stop(t); code != 0 {
		t.Errorf("the stop ended with %d", code)
	}
	if c.counts()["GET /api/status"] != 1 {
		t.Error("the stop lost a span")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, personal := range []string{"jane", "personal", publicKey, secretKey, privateID, projectToken, "127.0.0.1", out} {
		if bytes.Contains(c.raw, []byte(personal)) {
			t.Errorf("the collector got %q", personal)
		}
	}
	if len(c.keys) != 1 || !c.keys[key] {
		t.Errorf("exports came with %v", c.keys)
	}
}

// A collector that hangs slows down neither requests nor a stop.
func TestTracesHang(t *testing.T) {
	t.Parallel()
	asked, done := make(chan struct{}, 1), make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-done
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(done) })
	s := start(t, baseConfig+wideLimits+fmt.Sprintf("traces: {endpoint: %q, sample: 1}\n", hanging.URL))
	s.do(t, request{path: "/api/status", auth: "none"})
	<-asked
	const calls = 3000 // more than the queue holds
	begun := time.Now()
	for range calls {
		if res := s.do(t, request{path: "/track/v2/projects/{token}/system/time"}); res.status != http.StatusOK {
			t.Fatalf("got %v", res)
		}
	}
	t.Logf("%d calls took %v", calls, time.Since(begun))
	_, text := get(t, s.ops, "/metrics")
	const dropped = `trackway_traces_spans_total{outcome="dropped"} `
	if !bytes.Contains(text, []byte(dropped)) || bytes.Contains(text, []byte(dropped+"0\n")) {
		t.Errorf("nothing was dropped")
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("the stop ended with %d", code)
	}
}

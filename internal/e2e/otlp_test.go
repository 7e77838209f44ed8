package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSDKsOfOpenTelemetry runs OpenTelemetry's exporter for Go, unmodified,
// against a server that is overloaded, loses an answer, and is killed. Each
// record has to be stored exactly once. One record of a batch is rejected, and
// the exporter says so; the others are stored.
func TestSDKsOfOpenTelemetry(t *testing.T) {
	t.Parallel()
	postHogClient(t, "go/client") // beside which it is
	h := newHurdles(t, hurdleConfig, none, unavailable, answerLost, restarted, none, limitUsed, answerLost)
	out := h.run(t, postHogDir, filepath.Join("go", "client"), "otlp", h.url, publicKey)
	h.over(t)
	s := h.current()
	s.log.private("otel-user", "otel-session")
	var said struct{ Lost, Errors []string }
	if err := json.Unmarshal([]byte(out), &said); err != nil || len(said.Lost) > 0 {
		t.Errorf("the exporter says %s, %v", out, err)
	}
	if all := strings.Join(said.Errors, "\n"); len(said.Errors) != 1 || !strings.Contains(all, "1 of 3 log records were rejected. The first: Field 'event_name' is required.") {
		t.Errorf("the exporter reports %q, want one rejected record", said.Errors)
	}
	want := map[string]int{"same": 2}
	for n := range 8 {
		want[fmt.Sprint("load ", n)] = 1
	}
	if diff := cmp.Diff(want, s.counts(t)); diff != "" {
		t.Errorf("stored events (-want +got):\n%s", diff)
	}
	got := s.exportOne(t, map[string]any{"registered": "otel-user"})
	if got == nil {
		t.Fatal("there is no such customer")
	}
	if diff := cmp.Diff(map[string]any{"registered": "otel-user", "cookie": []any{"otel-session"}}, got.IDs); diff != "" {
		t.Errorf("identifiers (-want +got):\n%s", diff)
	}
	wantProperties := map[string]any{
		"n": 0.0, "order": map[string]any{"tags": []any{"a"}, "total": 7.99}, "severity_number": 9.0,
		"resource": map[string]any{"service.name": "shop"}, "scope": map[string]any{"name": "checkout", "version": "1.2"},
	}
	for _, e := range got.Events {
		if e.Type == "load 0" {
			if diff := cmp.Diff(wantProperties, e.Properties); diff != "" {
				t.Errorf("properties (-want +got):\n%s", diff)
			}
		}
	}
}

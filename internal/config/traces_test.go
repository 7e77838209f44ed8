package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// The section traces means what docs/traces.md says.
func TestTraces(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"http://127.0.0.1:4318": "http://127.0.0.1:4318/v1/traces", "http://[::1]:4318/": "http://[::1]:4318/v1/traces",
		"https://c.example.com/otlp/v1/traces": "https://c.example.com/otlp/v1/traces",
	} {
		cfg, warnings, err := loadText(t, minimal+"traces: {endpoint: \""+given+"\", headers: [{name: X-Key, value: k}], follow: [10.0.0.7]}\n")
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: got %v, %v", given, warnings, err)
		}
		got := cfg.Traces
		if got.Endpoint != want || got.Sample != 0.01 || !maps.Equal(got.Headers, map[string]string{"x-key": "k"}) ||
			!slices.Equal(got.Follow, []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}) {
			t.Errorf("%s: got %+v", given, got)
		}
	}
	cfg, _, err := loadText(t, minimal)
	if err != nil || cfg.Traces.Endpoint != "" {
		t.Errorf("without the section: got %+v, %v; want no endpoint", cfg.Traces, err)
	}
	_, warnings, err := loadText(t, minimal+"traces: {endpoint: \"http://c.example.com\", headers: [{name: x-key, value: k}]}\n")
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Msg, "plain text") {
		t.Errorf("a header without TLS: got %v, %v; want a warning", warnings, err)
	}
}

package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestOps(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	s.log.private("ops-person", "ops-cookie")
	s.track(t, "customers/events", map[string]any{"customer_ids": map[string]any{"registered": "ops-person", "cookie": "ops-cookie"}, "event_type": "ops-event"})

	for _, path := range []string{"/-/healthy", "/-/ready", "/debug/pprof/", "/debug/pprof/goroutine?debug=1"} {
		if status, body := get(t, s.ops, path); status != http.StatusOK {
			t.Errorf("%s: got %d %s, want 200", path, status, body)
		}
		if status, _ := get(t, s.public, path); status != http.StatusNotFound {
			t.Errorf("%s on the public listener: got %d, want 404", path, status)
		}
	}
	if status, _ := get(t, s.public, "/metrics"); status != http.StatusNotFound {
		t.Errorf("/metrics on the public listener: got %d, want 404", status)
	}
	status, text := get(t, s.ops, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: got %d %s", status, text)
	}
	checkMetrics(t, text)
}

// checkMetrics checks that Prometheus can parse the metrics, that some of ours
// are among them, and that no label contains a key or a person.
func checkMetrics(t *testing.T, text []byte) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	ours := 0
	for name := range families {
		if strings.HasPrefix(name, "trackway_") {
			ours++
		}
	}
	if ours == 0 {
		t.Errorf("none of %d metrics is ours", len(families))
	}
	for _, private := range []string{projectToken, publicKey, privateID, secretKey, "ops-person", "ops-cookie", "ops-event"} {
		if bytes.Contains(text, []byte(private)) {
			t.Errorf("the metrics hold %q", private)
		}
	}
}

func get(t *testing.T, address, path string) (status int, body []byte) {
	t.Helper()
	return fetch(t, http.MethodGet, address, path)
}

func fetch(t *testing.T, method, address, path string) (status int, body []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

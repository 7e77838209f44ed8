package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"trackway/internal/catalogue"
	"trackway/internal/sleep"
)

// TestCatalogue: the server learns the types of events. The catalogue
// survives a stop and a crash, and every event counts once. An example appears
// once enough customers have it, and disappears with an erasure.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startIn(t, dir, baseConfig+wideLimits)
	const path = "/api/projects/{token}/catalogue"
	sent := 0
	send := func(n int) {
		t.Helper()
		for range n {
			s.track(t, "customers/events", map[string]any{
				"customer_ids": map[string]any{"registered": fmt.Sprintf("p%d@example.com", sent)}, "event_type": "purchase",
				"properties": map[string]any{"plan": "gold", "email": fmt.Sprintf("p%d@example.com", sent), "total": sent},
			})
			sent++
		}
	}
	// await returns the type once the catalogue has all events.
	await := func(ready func(*catalogue.Property) bool) catalogue.Type {
		t.Helper()
		for deadline := time.Now().Add(patience); ; _ = sleep.For(t.Context(), lookAgain) {
			res := s.do(t, request{path: path})
			var v catalogue.View
			if err := json.Unmarshal(res.body, &v); err != nil {
				t.Fatalf("got %v", res)
			}
			if len(v.Types) == 1 && v.Events == uint64(sent) && v.Exact {
				for i := range v.Types[0].Properties {
					if p := &v.Types[0].Properties[i]; p.Name == "plan" && ready(p) {
						return v.Types[0]
					}
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("after %d events, got %s", sent, res.body)
			}
		}
	}
	none := func(p *catalogue.Property) bool { return len(p.Examples) == 0 }
	gold := func(p *catalogue.Property) bool { return len(p.Examples) == 1 && string(p.Examples[0]) == `"gold"` }
	send(5)
	if got := await(none); got.Type != "purchase" || got.Share != 1 || got.Events24h != 5 || len(got.Properties) != 3 {
		t.Errorf("got %+v", got)
	}
	send(30)
	await(gold)
	if code := s.stop(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if out := s.command(t, 0, "catalogue", "purchase", "--data", dir+"/data"); !strings.Contains(out, `"gold"`) || !strings.Contains(out, "e-mail addresses of 14–15 characters") {
		t.Errorf("while no server runs: got %s", out)
	}

	s = startIn(t, dir, baseConfig+wideLimits)
	await(gold)
	send(5)
	await(gold)
	s.kill(t)
	s = startIn(t, dir, baseConfig+wideLimits)
	await(gold) // what came since the stop was learned again
	tag := s.do(t, request{path: path}).header.Get("Etag")
	if res := s.do(t, request{path: path, header: map[string]string{"If-None-Match": tag}}); res.status != http.StatusNotModified {
		t.Errorf("nothing has changed: got %v", res)
	}
	for query, want := range map[string]int{"?type=purchase": 200, "?type=refund": 404, "?types=purchase": 400} {
		if res := s.do(t, request{path: path + query}); res.status != want {
			t.Errorf("%s: got %v, want %d", query, res, want)
		}
	}
	if res := s.do(t, request{path: path, auth: "public"}); res.status != http.StatusForbidden {
		t.Errorf("with a public key: got %v", res)
	}
	if out := s.command(t, 0, "catalogue", "--data", dir+"/data"); !strings.Contains(out, "purchase") || !strings.Contains(out, "100.0%") {
		t.Errorf("got %s", out)
	}
	s.command(t, 1, "catalogue", "refund", "--data", dir+"/data")
	res := s.do(t, request{
		path: "/data/v2/projects/{token}/customers/anonymize",
		body: encode(t, map[string]any{"customer_ids": map[string]any{"registered": "p3@example.com"}}),
	})
	if !res.success() {
		t.Fatalf("got %v", res)
	}
	await(none)
	for deadline := time.Now().Add(patience); len(holding(t, dir+"/data/catalogue.json", "gold")) > 0; _ = sleep.For(t.Context(), lookAgain) {
		if time.Now().After(deadline) {
			t.Fatal("the file still has an example")
		}
	}
}

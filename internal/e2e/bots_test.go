package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"trackway/internal/sleep"
	"trackway/internal/suspect"
)

// TestBots: customers who behave like programs get a property that says why,
// and keep it over a crash. Nothing is refused, and nobody else gets one.
func TestBots(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	configured := strings.Replace(baseConfig, "    keys:\n", "    bots: {label: true, repeats: 5, pace: 0, one_hit: 4}\n    keys:\n", 1) + wideLimits
	if configured == baseConfig+wideLimits {
		t.Fatal("the configuration has no keys")
	}
	s := startIn(t, dir, configured)
	n := 0
	send := func(who, agent, auth, page string) {
		t.Helper()
		n++
		res := s.do(t, request{path: "/track/v2/projects/{token}/customers/events", auth: auth, header: map[string]string{"User-Agent": agent}, body: fmt.Appendf(nil,
			`{"customer_ids": {"cookie": %q}, "event_type": "page_visit", "properties": {"page": %q}}`, who, page)})
		if res.status != http.StatusOK {
			t.Fatalf("got %v", res)
		}
	}
	const browser, robot = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
	label := func(who string) string {
		t.Helper()
		res := s.do(t, request{
			path: "/data/v2/projects/{token}/customers/attributes",
			body: fmt.Appendf(nil, `{"customer_ids": {"cookie": %q}, "attributes": [{"type": "property", "property": "suspect"}]}`, who),
		})
		var v struct {
			Results []struct{ Value *string }
		}
		if err := json.Unmarshal(res.body, &v); err != nil || len(v.Results) != 1 {
			t.Fatalf("got %v", res)
		}
		if v.Results[0].Value == nil {
			return ""
		}
		return *v.Results[0].Value
	}
	await := func(who, want string) {
		t.Helper()
		for deadline := time.Now().Add(patience); label(who) != want; _ = sleep.For(t.Context(), lookAgain) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: got %q, want %q", who, label(who), want)
			}
		}
	}
	send("crawler", robot, "public", "/")
	send("connector", robot, "private", "/") // it is not the person
	await("crawler", "agent")
	for range 5 {
		send("monitor", browser, "public", "/health")
	}
	await("monitor", "repeats")
	for i := range 6 {
		send(fmt.Sprintf("once%d", i), "another "+browser, "public", "/")
	}
	await("once5", "one_hit")
	send("jane", browser, "public", "/")
	for _, who := range []string{"jane", "once0", "connector"} {
		if got := label(who); got != "" {
			t.Errorf("%s is suspect: %s", who, got)
		}
	}
	var v suspect.View
	if res := s.do(t, request{path: "/api/projects/{token}/bots"}); json.Unmarshal(res.body, &v) != nil || v.Events != uint64(n-1) ||
		len(v.Agents) != 1 || v.Agents[0] != (suspect.ByAgent{Name: "Googlebot", Events: 1}) || v.Reasons[0] != (suspect.ByReason{Reason: suspect.Agent, Events: 1, Customers: 1}) {
		t.Errorf("got %v", res)
	}
	if out := s.command(t, 0, "bots", "show", "--data", dir+"/data"); !strings.Contains(out, "Googlebot") {
		t.Errorf("got %s", out)
	}
	s.kill(t)
	s = startIn(t, dir, configured)
	await("crawler", "agent")
	out := s.command(t, 0, "bots", "simulate", "--repeats", "3", "--json", "--data", dir+"/data")
	var tried suspect.Simulation
	if err := json.Unmarshal([]byte(out), &tried); err != nil || tried.Customers != 1 || tried.Events != uint64(n) || tried.Suspect != 3 {
		t.Errorf("got %s", out)
	}
}

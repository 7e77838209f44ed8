package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"trackway/internal/alarm"
	"trackway/internal/sleep"
)

// TestClusterAlarms: all servers know that commands are refused, and one tells
// it. When another server leads, nobody tells it again.
func TestClusterAlarms(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct {
			Data struct{ Alarms []alarm.Notice }
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, n := range m.Data.Alarms {
			got = append(got, string(n.State)+" "+n.Kind+" "+n.Subject)
		}
	}))
	t.Cleanup(hook.Close)
	told := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
	c := prepareCluster(t, 3)
	c.more = `alarms: {receivers: [{name: hook, kind: webhook, url: "` + hook.URL + `", secret: "` + alarmSecret +
		`", allow: [127.0.0.1]}], rules: [{kind: refusals, percent: 1, least: 1, for: 0s}]}` + "\n"
	c.begin()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if err := sleep.For(ctx, 15*time.Second); err != nil { // each has looked once
		t.Fatal(err)
	}
	web := &http.Client{}
	invalid := request{path: "/track/v2/projects/{token}/customers/events", body: []byte(`{"customer_ids": {}, "event_type": "visit"}`)}
	for range 20 {
		_ = c.servers[0].send(ctx, web, invalid) // it is refused
	}
	await(ctx, t, func() bool {
		for _, s := range c.servers {
			var r alarm.Report
			if err := json.Unmarshal([]byte(s.run(t, 0, "alarms", "list", "--json")), &r); err != nil {
				t.Fatal(err)
			}
			if len(r.Ringing) != 1 {
				return false
			}
		}
		return true
	})
	await(ctx, t, func() bool { return len(told()) > 0 })
	old := c.leader()
	c.servers[old].kill(t)
	c.servers[old] = nil
	for c.leader() == old {
		_ = sleep.For(ctx, lookAgain)
	}
	if err := sleep.For(ctx, 25*time.Second); err != nil { // each looks every ten
		t.Fatal(err)
	}
	if all := told(); len(all) != 1 || all[0] != "ringing refusals demo" {
		t.Errorf("got %q, want one message", all)
	}
}

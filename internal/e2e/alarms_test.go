package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"trackway/internal/alarm"
	"trackway/internal/destination/webhook"
	"trackway/internal/sleep"
)

const alarmSecret = "whsec_c2VjcmV0LW9mLXRoZS1hbGFybS10ZXN0cw=="

// TestAlarms rings an alarm in the real binary: its receiver is told once,
// although it is down at first and the server is killed, and is told the end.
func TestAlarms(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string // type, state and kind
	down := true
	keys, err := webhook.ReadSecrets(alarmSecret)
	if err != nil {
		t.Fatal(err)
	}
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Webhook-Signature") != webhook.Sign(keys, r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body) {
			t.Errorf("the signature is wrong: %v", r.Header)
		}
		mu.Lock()
		defer mu.Unlock()
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var m struct {
			Type string
			Data struct{ Alarms []alarm.Notice }
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Error(err)
		}
		for _, n := range m.Data.Alarms {
			got = append(got, m.Type+" "+string(n.State)+" "+n.Kind)
		}
	}))
	t.Cleanup(hook.Close)
	told := func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(got, ", ")
	}
	wait := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		await(ctx, t, func() bool { return told() == want })
	}
	receiver := `{receivers: [{name: hook, kind: webhook, url: "` + hook.URL + `/secret-path", secret: "` + alarmSecret + `", allow: [127.0.0.1]}], rules: [`
	dir := t.TempDir()
	full := baseConfig + wideLimits + "alarms: " + receiver + "{kind: disk_nearly_full, percent: 100, for: 0s}, {kind: silence}]}\n"
	s := startIn(t, dir, full)
	s.run(t, 1, "alarms", "test")
	if out := s.run(t, 0, "alarms", "simulate", "--weeks", "2", "--json"); !strings.Contains(out, `"rang": []`) || !strings.Contains(out, `"disk_nearly_full"`) {
		t.Errorf("got %s", out)
	}
	var report alarm.Report
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	await(ctx, t, func() bool {
		if err := json.Unmarshal([]byte(s.run(t, 0, "alarms", "list", "--json")), &report); err != nil {
			t.Fatal(err)
		}
		return len(report.Ringing) == 1 && report.Receivers[0].Failed != nil
	})
	if report.Receivers[0].Pending != 1 || report.Receivers[0].Error != "the receiver answers 503" {
		t.Errorf("got %+v", report.Receivers)
	}
	s.kill(t)
	mu.Lock()
	down = false
	mu.Unlock()
	s = startIn(t, dir, full)
	const rang = "trackway.alarms ringing disk_nearly_full"
	wait(rang)
	if err := sleep.For(t.Context(), 12*time.Second); err != nil { // it looks every ten
		t.Fatal(err)
	}
	if told() != rang {
		t.Errorf("after a restart: got %s", told())
	}
	if _, text := get(t, s.ops, "/metrics"); !strings.Contains(string(text), `trackway_alarms_ringing{kind="disk_nearly_full"} 1`) {
		t.Error("the metric does not say that it rings")
	}
	if err := os.WriteFile(s.config, []byte(baseConfig+wideLimits+"alarms: "+receiver+"{kind: silence}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.reload(t, http.StatusOK, "")
	wait(rang + ", trackway.alarms ended disk_nearly_full")
	s.run(t, 0, "alarms", "test", "hook")
	wait(rang + ", trackway.alarms ended disk_nearly_full, trackway.alarms.trial ended trial")
	if strings.Contains(s.log.all(), "secret-path") || strings.Contains(s.log.all(), alarmSecret) {
		t.Error("the log shows a secret")
	}
	s.stop(t)
	if out := s.run(t, 0, "alarms", "list"); !strings.Contains(out, "Nothing rings.") || !strings.Contains(out, "ended") {
		t.Errorf("without a server: got %s", out)
	}
}

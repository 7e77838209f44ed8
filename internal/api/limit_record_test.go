package api

import (
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trackway/internal/limit/traffic"
)

// An operator's key switches the record on and off. Other keys, and wrong
// bodies, change nothing.
func TestRecordIsSwitched(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackPolicy).withKeys(every)
	f.traffic = traffic.New(filepath.Join(t.TempDir(), "traffic"), Roots(), slog.New(slog.DiscardHandler))
	f.traffic.Reload(traffic.Settings{Keep: time.Hour, MaxBytes: 1 << 20})
	post := func(key, body string) (code int, text string) {
		w := f.send(http.MethodPost, "/api/limits/record", strings.NewReader(body), append(asKey(key), "Content-Type", "application/json")...)
		return w.Code, w.Body.String()
	}
	if code, text := post("get-customers", `{"record":true}`); code != http.StatusForbidden || f.traffic.On() {
		t.Errorf("got %d %s", code, text)
	}
	if code, text := post("admin", `{"record":1}`); code != http.StatusBadRequest || !strings.Contains(text, "expected true or false, in a JSON object") || f.traffic.On() {
		t.Errorf("got %d %s", code, text)
	}
	if code, text := post("admin", `{"record":true}`); code != http.StatusOK || !strings.Contains(text, `{"recording":true,"configured":false,"switched":"`) || !f.traffic.On() {
		t.Errorf("got %d %s", code, text)
	}
	check(t, f.get("/api/limits/record", asKey("admin")...), 200, `"recording":true`)
	if code, text := post("all", `{"record":false}`); code != http.StatusOK || !strings.Contains(text, `{"recording":false,`) || f.traffic.On() {
		t.Errorf("got %d %s", code, text)
	}
}

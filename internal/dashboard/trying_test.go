package dashboard

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trackway/internal/limit"
	"trackway/internal/limit/traffic"
	"trackway/internal/limit/trial"
)

// settings are those of a record that the configuration has not switched on.
var settings = traffic.Settings{Keep: time.Hour, MaxBytes: 1 << 30}

func newRecorder(t *testing.T) *traffic.Recorder {
	t.Helper()
	r := traffic.New(filepath.Join(t.TempDir(), "traffic"), []string{"/grid/"}, slog.New(slog.DiscardHandler))
	r.Reload(settings)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// come records calls of an address.
func (f *fixture) come(t *testing.T, address string, calls int) {
	t.Helper()
	at := time.Now()
	for range calls {
		c := &limit.Call{Addr: netip.MustParseAddr(address), Method: http.MethodGet, Route: "/grid/start", Path: "/grid/start"}
		f.Traffic.Note(at, c, &limit.Decision{Allowed: true})
	}
	if err := f.Traffic.Flush(); err != nil {
		t.Fatal(err)
	}
}

// The record is switched at runtime, and says what it holds.
func TestRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	wantOK(t, f.send(t, http.MethodGet, "/grid/record", ""), `"recording":false,"configured":false,"keep":3600,"max_bytes":1073741824,"bytes":0,"bytes_per_minute":null`)
	wantOK(t, f.send(t, http.MethodPost, "/grid/record", `{"record":true}`), `"recording":true,"configured":false,"switched":"`)
	if !f.Traffic.On() {
		t.Error("it was switched on, and is off")
	}
	f.come(t, "192.0.2.1", 3)
	wantOK(t, f.send(t, http.MethodGet, "/grid/record", ""), `"from":"`, `"to":"`)
	f.Traffic.Reload(settings) // as the server does
	if !f.Traffic.On() {
		t.Error("a reload ends what was switched on")
	}
	for _, body := range []string{"", "{}", `{"record":"yes"}`, "no JSON"} {
		wantError(t, f.send(t, http.MethodPost, "/grid/record", body), "Field 'record': expected true or false, in a JSON object.")
	}
	wantOK(t, f.send(t, http.MethodPost, "/grid/record", `{"record":false}`), `"recording":false`)
	wantError(t, f.send(t, http.MethodPost, "/grid/record", `{"record":true}`, "Origin", "http://evil.example", "Host", "ts1"), errOrigin.Msg)
	f.cookie = ""
	wantError(t, f.send(t, http.MethodPost, "/grid/record", `{"record":true}`), errSignIn.Msg)
	wantError(t, f.send(t, http.MethodGet, "/grid/record", ""), errSignIn.Msg)
	if f.Traffic.On() {
		t.Error("a stranger has switched it on")
	}
}

func TestSimulate(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	wantOK(t, f.send(t, http.MethodGet, "/grid/simulate?policy=grid", ""), `{"part":{"cut":false},"result":null}`)
	wantOK(t, f.send(t, http.MethodGet, "/grid/suggest?policy=grid", ""), `"result":null,"warnings":[]}`)
	if err := f.Traffic.Switch(true); err != nil {
		t.Fatal(err)
	}
	f.come(t, "192.0.2.1", 9)
	f.come(t, "192.0.2.2", 3)
	var tried trial.Tried
	w := f.send(t, http.MethodGet, "/grid/simulate?policy=grid&limit=4&window=60", "")
	wantOK(t, w,
		`"yaml":"- {name: grid, paths: [/grid/], limit: 4, window: 60s, per: ip, candidate: 9`,
		`"calls":9,"refused":5,"was_refused":0`, `"calls":3,"refused":0,"was_refused":0}`)
	if err := json.Unmarshal(w.Body.Bytes(), &tried); err != nil || tried.Result.Policy.Refused != 5 || tried.Result.Policy.Callers != 2 {
		t.Errorf("got %+v, %v", tried, err)
	}
	// The limit in force.
	wantOK(t, f.send(t, http.MethodGet, "/grid/simulate?policy=grid", ""), `"limit":15,"window":30`)
	wantOK(t, f.send(t, http.MethodGet, "/grid/suggest?policy=grid&share=100&window=60", ""),
		`"then":{"limit":10,"window":60,"callers_refused":0,"refused":0},"needed":9`)
	wantOK(t, f.send(t, http.MethodGet, "/grid/suggest?policy=grid&share=50", ""), `"then":{"limit":3,"window":30,"callers_refused":1,"refused":6}`)
}

// A wrong question is refused before anything is read.
func TestSimulateRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	for query, want := range map[string]string{
		"":                           "Field 'policy': expected one of grid.",
		"?policy=track":              "There is no such policy, only grid.",
		"?policy=grid&limit=0":       "Field 'limit': expected a whole number from 1 to 4194303.",
		"?policy=grid&limit=4194304": "Field 'limit': expected a whole number from 1 to 4194303.",
		"?policy=grid&window=86401":  "Field 'window': expected a whole number from 1 to 86400.",
		"?policy=grid&window=1.5":    "Field 'window': expected a whole number from 1 to 86400.",
		"?policy=grid&policy=api":    "Field 'policy': expected one value.",
		"?policy=grid&since=1h":      "Field 'since': expected nothing: the parameters are policy, limit, window.",
	} {
		wantError(t, f.send(t, http.MethodGet, "/grid/simulate"+query, ""), want)
	}
	for _, share := range []string{"0", "-1", "101", "NaN", "x", ""} {
		wantError(t, f.send(t, http.MethodGet, "/grid/suggest?policy=grid&share="+share, ""), "Field 'share': expected a percentage of callers, more than 0 and at most 100.")
	}
	wantError(t, f.send(t, http.MethodGet, "/grid/suggest?policy=grid&limit=3", ""), "Field 'limit': expected nothing: the parameters are policy, window, share.")
	f.cookie = ""
	for _, path := range []string{"/grid/simulate?policy=grid", "/grid/suggest?policy=grid"} {
		if w := f.send(t, http.MethodGet, path, ""); !strings.Contains(w.Header().Get("error"), "Sign in first.") {
			t.Errorf("%s: got %d", path, w.Code)
		}
	}
}

// TestTryContractBody: a body that lacks something, or has null there, is
// refused with what was expected.
func TestTryContractBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	for _, body := range []string{`{"project":"` + token + `","type":"e","schema":null}`, `{"project":"` + token + `","type":"e"}`, `null`, `[]`} {
		w := f.send(t, http.MethodPost, "/grid/contract", body)
		wantError(t, w, "Field 'body': expected an object with project, type and schema.")
	}
}

package api

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trackway"
	"trackway/internal/api/body"
	"trackway/internal/api/room"
	"trackway/internal/config"
	"trackway/internal/limit"
	"trackway/internal/live"
)

// readerToken is a public key that may only add events of the type buy.
const readerToken = "reader-token"

const buy = `{"userId":"u","event":"buy"}`

// call sends a body to a path of a dialect. Its only credentials are in the
// header fields, which are given in pairs.
func (f *fixture) call(path, body string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func asUser(user string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(user)) }

// TestWriteKeys: the first key in the call counts, whether it is known or not.
func TestWriteKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	inBody := func(key string) string { return `{"userId":"u","event":"buy","writeKey":"` + key + `"}` }
	for name, test := range map[string]struct {
		body   string
		fields []string
		want   int
	}{
		"user":                       {buy, []string{"Authorization", asUser(publicToken + ":")}, 200},
		"user without a colon":       {buy, []string{"Authorization", asUser(publicToken)}, 200},
		"user with a password":       {buy, []string{"Authorization", asUser(publicToken + ":x")}, 200},
		"user before body":           {inBody(publicToken), []string{"Authorization", asUser("unknown:")}, 401},
		"no user, but body":          {inBody(publicToken), []string{"Authorization", asUser(":")}, 200},
		"not base64, but body":       {inBody(publicToken), []string{"Authorization", "Basic !"}, 200},
		"a private key is no user":   {buy, []string{"Authorization", asUser("id:" + privateSecret)}, 401},
		"body":                       {inBody(publicToken), nil, 200},
		"body before field":          {inBody("unknown"), []string{"X-Write-Key", publicToken}, 401},
		"hidden in the body":         {inBody("***"), []string{"X-Write-Key", publicToken}, 200},
		"secret hidden in the body":  {inBody(publicToken + ":***"), []string{"X-Write-Key", publicToken + ":s"}, 200},
		"field":                      {buy, []string{"X-Write-Key", publicToken}, 200},
		"field before bearer":        {buy, []string{"X-Write-Key", "unknown", "Authorization", "Bearer " + publicToken}, 401},
		"bearer":                     {buy, []string{"Authorization", "Bearer " + publicToken}, 200},
		"a scheme that nobody sends": {buy, []string{"Authorization", "Token " + publicToken}, 401},
		"none":                       {buy, nil, 401},
		"no body at all":             {"", nil, 401},
		"no JSON, and no key":        {"{", nil, 401},
		"no JSON":                    {"{", []string{"X-Write-Key", publicToken}, 400},
	} {
		before := len(f.ingest.cmds)
		w := f.call("/v1/track", test.body, test.fields...)
		if w.Code != test.want {
			t.Errorf("%s: got %d %s, want %d", name, w.Code, w.Body, test.want)
		}
		if stored := len(f.ingest.cmds) > before; stored != (test.want != 401) {
			t.Errorf("%s: the commands reached the store: %t", name, stored)
		}
	}
}

// TestDialectBodies: the bytes of a body, not its header fields, determine its
// encoding.
func TestDialectBodies(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, buy)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		body         string
		media, coded string
		want         int
	}{
		{buy, "text/plain;charset=UTF-8", "", 200},
		{buy, "application/x-www-form-urlencoded", "", 200},
		{packed.String(), "application/x-www-form-urlencoded", "", 200},
		{packed.String(), "application/json", "gzip", 200},
		{packed.String(), "application/json", "identity", 200},
		{buy, "application/json", "gzip", 200},
		{packed.String()[:10], "application/json", "gzip", 400},
		{buy, "image/png", "", 200},
		{buy, "application/json", "br", 400},
		{strings.Repeat(" ", maxSingleBody+1), "application/json", "", 400}, // never 413: some SDKs would send it again
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/track", strings.NewReader(test.body))
		r.Header = http.Header{"Content-Type": {test.media}, "Content-Encoding": {test.coded}, "X-Write-Key": {publicToken}}
		w := httptest.NewRecorder()
		f.Server.ServeHTTP(w, r) // not through the contract, which does not promise all of them
		if w.Code != test.want {
			t.Errorf("%.10q as %s, %q: got %d %s", test.body, test.media, test.coded, w.Code, w.Body)
		}
	}
}

// TestDialectPaths: each path of a route works, with a slash at its end and
// without.
func TestDialectPaths(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{
		"/v1/track", "/v1/track/", "/v1/t", "/v1/t/", "/api/s/track", "/api/s/s2s/track/", "//v1//track",
		"/v1/identify", "/v1/i", "/v1/page", "/v1/p", "/v1/screen", "/v1/s", "/v1/group", "/v1/g", "/v1/alias", "/v1/a",
	} {
		check(t, f.call(path, buy, "X-Write-Key", publicToken), 200, `{"success":true}`)
	}
	for _, path := range []string{"/v1/batch", "/v1/batch/", "/v1/b", "/api/s/batch", "/api/s/s2s/batch", "/v1/import"} {
		check(t, f.call(path, `{"batch":[]}`, "X-Write-Key", publicToken), 200, `{"success":true}`)
	}
	check(t, f.call("/v1/unknown", buy, "X-Write-Key", publicToken), 404, "no such route")
	check(t, f.send(http.MethodGet, "/v1/track", nil), 405, "This route is called by POST")
}

// TestRefusedMessages: a bad message of a batch does not affect the others.
// Watchers see it, and so does a caller that wants to.
func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	watcher, err := f.observer.live.Watch(live.Filter{Rejected: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	const batch = `{"batch":[{"type":"track","userId":"u"},{"type":"track","userId":"u","event":"buy"},{"type":"track","userId":"v","event":"sell"},{"type":"identify","userId":"u"}]}`
	check(t, f.call("/v1/batch", batch, "X-Write-Key", readerToken), 200, `{"success":true}`)
	w := f.call("/v1/batch", batch, "X-Write-Key", readerToken, "X-Strict-Mode", "1")
	check(t, w, 400, `{"success":false,"errors":[{"index":0,"error":"Field 'event' is required."},`+
		`{"index":2,"error":"Not authorized: this key may not add events of the type 'sell'."},`+
		`{"index":3,"error":"Not authorized: this key does not have the permission customers:set."}]}`)
	check(t, f.call("/v1/track", `{"event":"sell","userId":"u"}`, "X-Write-Key", readerToken), 403, "may not add events")
	check(t, f.call("/v1/track", `{"userId":"u"}`, "X-Write-Key", readerToken), 400, "Field 'event' is required.")
	check(t, f.call("/v1/track", `{`, "X-Write-Key", readerToken), 400, "Invalid JSON")
	check(t, f.call("/v1/track", buy), 401, "Access key not provided")
	stored := 0
	for _, c := range f.ingest.cmds {
		if c.Kind == trackway.AddEvent && c.Type == "buy" {
			stored++
		}
	}
	if stored != 2 {
		t.Errorf("the store was given %d good events, want 2", stored)
	}
	items, _, err := watcher.Take(100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range items {
		r := it.Rejection
		got = append(got, strings.TrimSpace(r.Command+" "+r.Type+" "+strconv.Itoa(int(r.Project))+" "+r.Reason))
	}
	const event, sell, set = " 1 Field 'event' is required.", "sell 1 Not authorized: this key may not add events of the type 'sell'.", " 1 Not authorized: this key does not have the permission customers:set."
	want := []string{
		"track " + event, "track " + sell, "identify " + set, "track " + event, "track " + sell, "identify " + set,
		"track " + sell, "track " + event, "track  1 Invalid JSON: expected an object.", "track  0 Access key not provided",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("watchers saw\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestUnknownKeyInBody: an address that sends large bodies without a key gets a
// place for one a second. Nobody else waits for it.
func TestUnknownKeyInBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.bodies.Large = room.NewPlaces(1, 1)
		large := `{"batch":[]` + strings.Repeat(" ", 2*body.Light) + `,"writeKey":"`
		mine := netip.MustParseAddr("192.0.2.1") // of all calls in tests
		check(t, f.call("/v1/batch", large+publicToken+`"}`), 200, `{"success":true}`)
		if !f.bodies.Large.EnterAtOnce(mine) {
			t.Error("with a key: the address has no place")
		}
		f.bodies.Large.Leave(mine)
		check(t, f.call("/v1/batch", large+`unknown"}`), 401, "Access key not found")
		if f.bodies.Large.EnterAtOnce(mine) {
			t.Error("without a key: the address has a place")
		}
	})
}

// TestLegacyIsOff: nobody's body is read for a route that no project permits.
func TestLegacyIsOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{"/bulk", "/crm/customers", "/crm/events"} {
		body := strings.NewReader(`{"project_id":"` + projectToken + `"}`)
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, io.NopCloser(body)))
		check(t, w, 403, "legacy: true")
		if body.Len() != int(body.Size()) {
			t.Errorf("%s: the body was read", path)
		}
	}
}

// TestDialectFailures: what SDKs send again is answered as they expect.
func TestDialectFailures(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackway.Policy{Name: "track", Paths: []string{"/v1/"}, Limit: 2, Window: time.Minute, AllowBelowFloor: true})
	f.ingest.err = errors.New("disk full")
	check(t, f.call("/v1/track", buy, "X-Write-Key", publicToken), 500, `{"success":false,"error":"Internal error, request`)
	f.ingest.err = &trackway.Error{Code: trackway.Overloaded, Msg: "Full."}
	w := f.call("/v1/track", buy, "X-Write-Key", publicToken)
	check(t, w, 503, `{"success":false,"error":"Full."}`)
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("503: got %v", w.Header())
	}
	w = f.call("/v1/track", buy) // even without a key
	check(t, w, 429, "Too many requests")
	if n, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("429: got %v", w.Header())
	}
}

// TestSettings: SDKs are told to send to the host that they have asked.
func TestSettings(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, test := range []struct{ host, forwarded, want string }{
		{"track.example.com", "", `"apiHost":"track.example.com/v1","protocol":"https"`},
		{"track.example.com", "http", `"apiHost":"track.example.com/v1","protocol":"http"`},
		{"127.0.0.1:8080", "", `"apiHost":"127.0.0.1:8080/v1","protocol":"http"`},
		{"[::1]:8080", "https", `"apiHost":"[::1]:8080/v1","protocol":"https"`},
		{"localhost", "", `"apiHost":"localhost/v1","protocol":"http"`},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/projects/"+publicToken+"/settings", nil)
		r.Host = test.host
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-Proto", test.forwarded)
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		check(t, w, 200, `{"integrations":{"Segment.io":{"apiKey":"`+publicToken+`",`+test.want+`}},"metrics":{"sampleRate":0}}`)
	}
	check(t, f.send(http.MethodGet, "/projects/"+publicToken+"/settings/", nil), 200, publicToken)
	check(t, f.send(http.MethodGet, "/v1/projects/unknown/settings", nil), 401, "Access key not found")
}

// TestDialectsAreLimited: every path of every dialect is under the limit of the
// tracking API, even if the configuration does not know them.
func TestDialectsAreLimited(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]string{
		"default": "",
		"own":     "limits: [{name: track, paths: [/track/], limit: 6000, window: 60s}, {name: api, paths: [/api/, /data/], limit: 30, window: 30s}]\n",
	} {
		cfg, err := config.Parse("trackway.yaml", []byte("projects: [{name: demo, token: "+projectToken+"}]\n"+limits), config.Flags{}, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		set, err := limit.NewSet(cfg.Policies, nil, Floors()...)
		if err != nil {
			t.Fatal(err)
		}
		for _, rt := range new(Server).dialects() {
			for _, path := range rt.paths() {
				path = strings.TrimSuffix(path, "{$}")
				if got := strings.Join(set.Counting(rt.method, path), " "); got != "track" {
					t.Errorf("%s: %s is under %q", name, path, got)
				}
			}
		}
	}
}

package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/limit/traffic"
)

// TestRecording: the record of a call holds what a limit can depend on: the
// proven names of the caller, the route's pattern, the policy that refused, and
// what was refunded. Free calls and preflights are not recorded.
func TestRecording(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackPolicy)
	dir := filepath.Join(t.TempDir(), "traffic")
	f.traffic = traffic.New(dir, Roots(), slog.New(slog.DiscardHandler))
	check(t, f.get("/api/limits"), 200, "") // it is off
	f.traffic.Reload(traffic.Settings{Record: true, Keep: time.Hour, MaxBytes: 1 << 20, Projects: map[string]string{projectToken: "shop"}})

	from := []string{"X-Forwarded-For", "198.51.100.1"}
	for range 5 {
		check(t, f.post(trackBase+"customers/events", strings.NewReader(goodEvent), from...), 200, "true")
	}
	check(t, f.post(trackBase+"customers/events", strings.NewReader(goodEvent), from...), 429, "rate limit")
	check(t, f.post(trackBase+"customers/events", strings.NewReader(goodEvent), "X-Forwarded-For", "198.51.100.2", "Authorization", "Token wrong"), 401, "")
	etag := f.get("/api/limits").Header().Get("ETag")
	check(t, f.get("/api/limits", "If-None-Match", etag), http.StatusNotModified, "")
	check(t, f.get("/api/limits/usage", byKey()...), 200, "")
	check(t, f.get("/api/jane@example.com"), 404, "")
	check(t, f.get("/about/api"), 200, "")
	access := f.access.Load().Access
	access.RedirectHosts = []string{"tracking.example.com"}
	f.Reload(access)
	r := httptest.NewRequest(http.MethodGet, "/api/status", http.NoBody)
	r.Host = "tracking.example.com"
	w := httptest.NewRecorder()
	f.Server.ServeHTTP(w, r) // not through the contract, which is that of a server's own address
	check(t, w, http.StatusFound, "")
	if err := f.traffic.Flush(); err != nil {
		t.Fatal(err)
	}

	type counted struct{ calls, back uint32 }
	got := map[traffic.Kind]counted{}
	_, err := traffic.Walk(dir, time.Unix(0, 0), time.Now().Add(time.Hour), func(_ int64, rows []traffic.Row) error {
		for _, r := range rows {
			got[*r.Kind] = counted{got[*r.Kind].calls + r.Calls, got[*r.Kind].back + r.Back}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const events = "/track/v2/projects/{token}/customers/events"
	want := map[traffic.Kind]counted{
		{Method: "POST", Route: events, Path: events, Project: "shop", Key: "web"}:                           {5, 0},
		{Method: "POST", Route: events, Path: events, Project: "shop", Key: "web", Refused: "track"}:         {1, 0},
		{Method: "POST", Route: events, Path: events}:                                                        {1, 0},
		{Method: "GET", Route: "/api/limits", Path: "/api/limits"}:                                           {2, 1},
		{Method: "GET", Route: "/api/limits/usage", Path: "/api/limits/usage", Project: "shop", Key: "back"}: {1, 0},
		{Method: "GET", Route: "/", Path: "/api/"}:                                                           {1, 0},
		{Method: "GET", Route: "(sent on)", Path: "/api/"}:                                                   {1, 0},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(counted{})); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

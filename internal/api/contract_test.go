package api

import (
	"maps"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/fleet"
	"trackway/internal/format/posthog"
	"trackway/internal/guide"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/openapi/openapitest"
)

var self = fleet.Server{Name: "ts1.eu", Region: "eu", URL: "http://ts1.eu"}

// loadContract reads the contract, once for all tests.
func loadContract(t testing.TB) *openapitest.Contract {
	t.Helper()
	c, err := readContract()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var readContract = sync.OnceValues(openapitest.Load)

func openHistory(t testing.TB) *history.Log {
	t.Helper()
	h, err := history.Open(filepath.Join(t.TempDir(), "limits.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newGuide(t testing.TB, set *limit.Set) *guide.Guide {
	t.Helper()
	g, err := guide.New(guide.Facts{
		Server: guide.Server{Name: self.Name, Region: self.Region, URL: self.URL}, Limits: set,
		Since: func(string) time.Time { return time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// The contract lists exactly the routes that the server has.
func TestRoutesAreTheContract(t *testing.T) {
	t.Parallel()
	served := Routes()
	preflights := map[string]bool{}
	for _, rt := range new(Server).routes() {
		if rt.format.AnySite {
			preflights["OPTIONS "+rt.path] = true
		}
	}
	for preflight := range preflights {
		served = append(served, preflight)
	}
	contract := loadContract(t).Routes()
	also := map[string][]string{}
	for _, rt := range new(Server).routes() {
		if rt.dialect != nil && len(rt.dialect.Also) > 0 {
			also[rt.path] = rt.dialect.Also
		}
	}
	if diff := cmp.Diff(loadContract(t).Also(), also); diff != "" {
		t.Error("other paths (-contract +dialect.Routes):\n" + diff)
	}
	slices.Sort(served)
	slices.Sort(contract)
	if diff := cmp.Diff(contract, served); diff != "" {
		t.Error("(-contract +routes.go):\n" + diff)
	}
}

// For each route the contract says which permission it needs, and which keys
// can have that permission. The dashboard's routes need a session instead.
func TestPermissionsAreTheContract(t *testing.T) {
	t.Parallel()
	contract := loadContract(t).Access()
	maps.DeleteFunc(contract, func(route, _ string) bool { return strings.HasPrefix(route, "OPTIONS ") })
	served := map[string]string{}
	for _, rt := range new(Server).routes() {
		access := "privateKey"
		public := trackway.Key{Kind: trackway.PublicKey}
		switch {
		case rt.admin:
			access = "serverKey"
		case rt.do == nil && rt.path != "/grid/session" && !strings.HasPrefix(rt.path, "/grid/oidc"):
			access = "session"
		case rt.open || strings.HasSuffix(rt.path, "/settings"): // the path has the key
			access = ""
		case rt.path == "/bulk" || strings.HasPrefix(rt.path, "/crm/"): // old clients have none
			access = ""
		case rt.path == "/v1/logs": // takes the tokens of public keys as Bearer, too
			access = "publicKey bearerKey privateKey"
		case rt.format == posthog.Capture:
			access = "bearerKey"
		case rt.dialect != nil && !strings.HasPrefix(rt.path, "/track/u/") && !strings.HasPrefix(rt.path, "/data/"):
			access = "writeKey"
		case rt.needs == "" || public.May(rt.needs):
			access = "publicKey accessToken privateKey"
		}
		if rt.needs != "" {
			access += " " + string(rt.needs)
		}
		served[rt.method+" "+strings.TrimSuffix(rt.path, "{$}")] = access
	}
	if diff := cmp.Diff(contract, served); diff != "" {
		t.Error("(-contract +routes.go):\n" + diff)
	}
}

// unknowing is a dashboard that lacks a handler.
type unknowing struct{}

func (unknowing) Handler(route string) DashboardHandler {
	if route == "GET /grid/start" {
		return nil
	}
	return func(http.ResponseWriter, *http.Request, netip.Addr, func()) error { return nil }
}

// A dashboard without a handler for a row of the table is found at the start,
// not by a call.
func TestDashboardKnowsItsRoutes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	defer func() {
		if bug, _ := recover().(string); !strings.Contains(bug, "GET /grid/start") {
			t.Errorf("got %q", bug)
		}
	}()
	f.Server.dashboard, f.mux = unknowing{}, http.NewServeMux()
	f.register()
}

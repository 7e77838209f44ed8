package api

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/fleet"
	"trackway/internal/guide"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/openapi"
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

// The contract names what the server serves, and the server serves what the contract names.
func TestRoutesAreTheContract(t *testing.T) {
	t.Parallel()
	var served []string
	preflights := map[string]bool{}
	for _, rt := range routes() {
		path := strings.TrimSuffix(rt.path, "{$}")
		served = append(served, rt.method+" "+path)
		if rt.cors {
			preflights["OPTIONS "+path] = true
		}
	}
	for preflight := range preflights {
		served = append(served, preflight)
	}
	contract := loadContract(t).Routes()
	slices.Sort(served)
	slices.Sort(contract)
	if diff := cmp.Diff(contract, served); diff != "" {
		t.Error("(-contract +routes.go):\n" + diff)
	}
}

// The contract says of each route which permission it takes, and which keys can have it.
func TestPermissionsAreTheContract(t *testing.T) {
	t.Parallel()
	doc, err := openapi.Parse()
	if err != nil {
		t.Fatal(err)
	}
	contract := map[string]string{}
	for _, g := range doc.Groups {
		for _, r := range g.Routes {
			contract[r.Method+" "+r.Path] = strings.Join(append(r.Keys, r.Permission), " ")
		}
	}
	served := map[string]string{}
	for _, rt := range routes() {
		if strings.HasPrefix(rt.path, "/grid/") || strings.HasPrefix(rt.path, "/assets/") {
			continue // the pages' own, which have a session
		}
		keys := "privateKey "
		public := trackway.Key{Kind: trackway.PublicKey}
		if rt.needs == "" || public.May(rt.needs) {
			keys = "publicKey accessToken privateKey "
		}
		if rt.open {
			keys = ""
		}
		served[rt.method+" "+strings.TrimSuffix(rt.path, "{$}")] = keys + string(rt.needs)
	}
	if diff := cmp.Diff(contract, served); diff != "" {
		t.Error("(-contract +routes.go):\n" + diff)
	}
}

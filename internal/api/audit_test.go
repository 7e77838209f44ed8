package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/limit/traffic"
	"trackway/internal/query"
)

// recorded says what each route of the table records that is not a plain read,
// or why it does not. The dialects are in it as one.
var recorded = map[string]string{
	"POST /data/v2/projects/{token}/customers/export":         "data.export",
	"POST /data/v2/projects/{token}/customers/anonymize":      "data.anonymize",
	"POST /data/v2/projects/{token}/customers/anonymize_bulk": "data.anonymize",
	"POST /api/limits/record":                                 "record.switch",

	"POST /data/v2/projects/{token}/customers/export-one": "not: programs read a customer so, all day",
	"POST /data/v2/projects/{token}/customers/events":     "not: programs read events so, all day",
	"POST /data/v2/projects/{token}/customers/attributes": "not: programs read a customer so, all day",
	"POST /track/v2/projects/{token}/customers":           "not: it is what is tracked",
	"POST /track/v2/projects/{token}/customers/events":    "not: it is what is tracked",
	"POST /track/v2/projects/{token}/campaigns/clicks":    "not: it is what is tracked",
	"POST /track/v2/projects/{token}/batch":               "not: it is what is tracked",
}

// numberedEraser gives each erasure the same number.
type numberedEraser struct{ erasedStore }

func (numberedEraser) Erase(uint32, trackway.Customer, []string, trackway.Micros) (query.Erasure, error) {
	return query.Erasure{ID: 5}, nil
}

// auditedReading is a fixture with a store, keys and an audit log.
func auditedReading(t *testing.T, dir string) *stored {
	t.Helper()
	r := newReading(t)
	r.withKeys(every)
	r.fill()
	r.audit = audit.New(dir, slog.New(slog.DiscardHandler))
	r.eraser = numberedEraser{}
	r.traffic = traffic.New(filepath.Join(t.TempDir(), "traffic"), Roots(), slog.New(slog.DiscardHandler))
	r.traffic.Reload(traffic.Settings{Keep: time.Hour, MaxBytes: 1 << 20})
	return r
}

// TestRecorded has each route that records something make its entry, and the
// plain reads of a customer make none. If the log cannot be written, nothing is
// done.
func TestRecorded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, broken := auditedReading(t, dir), auditedReading(t, filepath.Join(dir, "absent"))
	const jane = `{"customer_ids":{"registered":"jane"}}`
	for _, c := range []struct{ path, key, body, want string }{
		{dataBase + "customers/export", "all", `{"format":"csv"}`, "all of demo|data.export|demo||allowed|"},
		{dataBase + "customers/anonymize", "all", jane, "all of demo|data.anonymize|demo|customer 1|allowed|"},
		{dataBase + "customers/anonymize_bulk", "all", `{"customers":[` + jane + `]}`, "all of demo|data.anonymize|demo|customer 1|allowed|"},
		{"/api/limits/record", "admin", `{"record":true}`, "admin of demo|record.switch|||allowed|on"},
		{dataBase + "customers/export-one", "all", jane, ""},
		{dataBase + "customers/anonymize", "all", `{"customer_ids":{"registered":"nobody"}}`, ""},
		{dataBase + "customers/export", "events", `{"format":"csv"}`, ""},
	} {
		before := len(entries(t, r.audit))
		w := r.post(c.path, strings.NewReader(c.body), asKey(c.key)...)
		got := strings.Join(entries(t, r.audit)[before:], "\n")
		if got != c.want || strings.Contains(got, "jane") {
			t.Errorf("%s %s: got %d %s, recorded %q, want %q", c.path, c.body, w.Code, w.Body, got, c.want)
		}
		if c.want == "" {
			continue
		}
		if w := broken.post(c.path, strings.NewReader(c.body), asKey(c.key)...); w.Code == http.StatusOK && !strings.Contains(w.Body.String(), "nothing was done") || broken.traffic.On() {
			t.Errorf("%s without a log: got %d %s", c.path, w.Code, w.Body)
		}
	}
	w := r.send(http.MethodGet, "/api/audit?rows=1", nil, asKey("admin")...)
	check(t, w, http.StatusOK, `"actor":"admin of demo","via":"api","address":"192.0.2.1","action":"record.switch"`)
	check(t, r.send(http.MethodGet, "/api/audit?rows=0", nil, asKey("admin")...), http.StatusBadRequest, "expected a whole number from 1 to 1000")
	check(t, r.send(http.MethodGet, "/api/audit", nil, asKey("get-customers")...), http.StatusForbidden, "permission admin")
}

func entries(t *testing.T, log *audit.Log) (list []string) {
	t.Helper()
	r, err := log.Read(new(audit.Query))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Entries {
		list = append(list, fmt.Sprintf("%s|%s|%s|%s|%s|%s", e.Actor, e.Action, e.Project, e.Target, e.Outcome, e.Detail))
	}
	slices.Reverse(list)
	return list
}

// TestRecordedRoutes fails for a route without a row that is not a read. Those
// of the pages have rows in internal/dashboard.
func TestRecordedRoutes(t *testing.T) {
	t.Parallel()
	var found []string
	for _, rt := range newFixture(t, trackPolicy).ownRoutes() {
		if rt.method != http.MethodGet && !strings.HasPrefix(rt.path, "/grid/") {
			found = append(found, rt.method+" "+rt.path)
		}
	}
	want := make([]string, 0, len(recorded))
	for route := range recorded {
		want = append(want, route)
	}
	slices.Sort(found)
	slices.Sort(want)
	if diff := cmp.Diff(found, want); diff != "" {
		t.Fatal("(-routes +recorded):\n" + diff)
	}
}

package api

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/api/consent"
	"trackway/internal/ingest"
	"trackway/internal/live"
)

// leavingOut is an ingester that leaves out identifiers that name nobody, and
// stores nothing.
type leavingOut struct{}

func (leavingOut) Accept(p *trackway.Project, _ trackway.Micros, cmds []trackway.Command, results []trackway.Result) error {
	for i := range cmds {
		if results[i].Err == nil && cmds[i].Kind != trackway.Nothing {
			results[i].Err = ingest.Validate(p, &cmds[i])
		}
	}
	return nil
}

// TestLeftOutIsShown: watchers see which identifiers were left out, of single
// commands and of commands in batches, accepted or refused.
func TestLeftOutIsShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Server.ingest = leavingOut{}
	check(t, f.post(trackBase+"customers/events", strings.NewReader(`{"customer_ids":{"registered":null,"cookie":"c"},"event_type":"single"}`)), http.StatusOK, "")
	check(t, f.post(trackBase+"customers", strings.NewReader(`{"customer_ids":{"cookie":""}}`)), http.StatusBadRequest, "At least one id")
	check(t, f.post(trackBase+"batch", strings.NewReader(`{"commands":[{"name":"system/time"},
		{"name":"customers/events","data":{"customer_ids":{"cookie":"c"},"event_type":"good"}},
		{"name":"customers/events","data":{"customer_ids":{"registered":"---","cookie":"c"},"event_type":"in a batch"}}]}`)), http.StatusOK, "")
	list, _ := f.observer.live.LeftOut(1, trackway.MicrosOf(time.Now()), 0)
	got := map[string]live.LeftOut{}
	for _, l := range list {
		got[l.What.Name+" "+l.What.WhyLeftOut()] = live.LeftOut{Count: l.Count, Command: l.Command, Type: l.Type}
		if l.Address.String() != "192.0.2.1" {
			t.Errorf("got address %v", l.Address)
		}
	}
	want := map[string]live.LeftOut{
		"registered empty": {Count: 1, Command: "customers/events", Type: "single"},
		"cookie empty":     {Count: 1, Command: "customers"},
		"registered signs": {Count: 1, Command: "customers/events", Type: "in a batch"},
	}
	if !maps.Equal(want, got) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestReadingNobody: a customer is read by the identifiers that name somebody.
func TestReadingNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(map[string]map[trackway.Permission][]string{
		"all": nil, "some": {trackway.GetCustomers: {"registered"}, trackway.GetEvents: nil},
	})
	f.reader.store = jane()
	for _, c := range []struct {
		key, path, ids string
		status         int
		want           string
	}{
		{"all", "customers/export-one", `{"registered":" jane\n","cookie":null}`, 200, `"registered":"jane"`},
		{"all", "customers/export-one", `{"registered":"","cookie":["","c"]}`, 200, `"registered":"jane"`},
		{"all", "customers/export-one", `{"registered":"","cookie":[]}`, 400, "Must specify at least one customer ID"},
		{"all", "customers/events", `{"registered":"?"}`, 400, "Must specify at least one customer ID"},
		{"all", "customers/attributes", `{"registered":null}`, 400, "Must specify at least one customer ID"},
		{"all", "customers/anonymize", `{"registered":"  "}`, 400, "Must specify at least one customer ID"},
		{"all", "customers/export-one", `{"registered":"jane","phone":null}`, 400, "registered or cookie"},
		{"some", "customers/events", `{"registered":"jane","cookie":null}`, 200, `"success":true`},
		{"some", "customers/events", `{"registered":"jane","cookie":"c"}`, 403, "cookie"},
	} {
		body := `{"customer_ids":` + c.ids + `,"event_types":["visit"],"attributes":[{"type":"id","id":"registered"}]}`
		check(t, f.post(dataBase+c.path, strings.NewReader(body), asKey(c.key)...), c.status, c.want)
	}
	w := f.post(dataBase+"customers/anonymize_bulk", strings.NewReader(`{"customers":[{"customer_ids":{"registered":null}}]}`), asKey("all")...)
	check(t, w, 200, `"customer_ids":["Must specify at least one customer ID"]`)
	for path, status := range map[string]int{"registered=%20jane": 200, "registered=": 400, "registered=%20": 400, "registered=-": 400} {
		w := f.send(http.MethodGet, "/api/projects/"+projectToken+"/customers/"+path, nil, asKey("some")...)
		check(t, w, status, map[int]string{200: `"jane"`, 400: "name=value of an identifier"}[status])
	}
}

// TestConsentFromTheFuture: a consent from the future counts as of its receipt,
// so that the customer can withdraw it.
func TestConsentFromTheFuture(t *testing.T) {
	t.Parallel()
	// Written: when it is said to have happened, when it was received, what it
	// says.
	type said struct {
		at, received trackway.Micros
		action       string
	}
	const future = trackway.MaxTime
	for name, test := range map[string]struct {
		events []said // in order of time
		want   string
	}{
		"usual":                        {[]said{{1, 1, "accept"}, {2, 2, "reject"}}, "false"},
		"late":                         {[]said{{1, 9, "accept"}, {2, 3, "reject"}}, "false"},
		"taken back":                   {[]said{{5, 6, "reject"}, {future, 4, "accept"}}, "false"},
		"before that":                  {[]said{{3, 6, "reject"}, {future, 4, "accept"}}, "true"},
		"in the same moment":           {[]said{{4, 6, "reject"}, {future, 4, "accept"}}, "false"},
		"two from the future":          {[]said{{future - 1, 5, "reject"}, {future, 4, "accept"}}, "false"},
		"two, the other way round":     {[]said{{future - 1, 4, "reject"}, {future, 5, "accept"}}, "true"},
		"a clock ahead":                {[]said{{1, 1, "accept"}, {12, 12, "reject"}, {15, 10, "accept"}}, "false"},
		"a clock ahead, nothing since": {[]said{{1, 1, "reject"}, {15, 10, "accept"}}, "true"},
	} {
		f := newFixture(t)
		s := jane()
		s.events = nil
		for i, e := range test.events {
			s.events = append(s.events, trackway.Event{
				Seq: uint64(i + 1), Type: consent.Type, Time: e.at, Received: e.received, Properties: []byte(`{"action":"` + e.action + `","category":"news"}`),
			})
		}
		f.withKeys(map[string]map[trackway.Permission][]string{"all": nil})
		f.reader.store = s
		w := f.post(dataBase+"customers/attributes", strings.NewReader(
			`{"customer_ids":{"registered":"jane"},"attributes":[{"type":"consent","category":"news"},{"type":"consent","category":"sms"}]}`), asKey("all")...)
		want := `{"results":[{"success":true,"value":` + test.want + `},{"success":true,"value":false}],"success":true}`
		if diff := cmp.Diff(want, strings.TrimSpace(w.Body.String())); diff != "" {
			t.Errorf("%s: (-want): %s", name, diff)
		}
	}
}

package api

import (
	"encoding/base64"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trackway"
	"trackway/internal/limit"
	"trackway/internal/limit/watch"
)

// byKey are the header fields of a call by the private key.
func byKey(fields ...string) []string {
	return append([]string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret))}, fields...)
}

const twoEvents = `{"commands":[{"name":"customers/events","data":{"customer_ids":{"cookie":"c"},"event_type":"buy"}},
	{"name":"customers/events","data":{"event_type":7}},{"name":"system/time"}]}`

// busy makes calls of three callers: one is refused, one repeats its calls, and
// one is not limited.
func (f *fixture) busy(t *testing.T) {
	t.Helper()
	for range 4 {
		check(t, f.post(trackBase+"customers/events", strings.NewReader(goodEvent), "X-Forwarded-For", "198.51.100.1", "User-Agent", "curl/8"), 200, "true")
	}
	check(t, f.post(trackBase+"batch", strings.NewReader(twoEvents), "X-Forwarded-For", "198.51.100.1"), 200, "true")
	for i := range 7 {
		w := f.send(http.MethodGet, "/track/v2/projects/unknown/system/time", nil, "X-Forwarded-For", "2001:db8:0:1::7", "User-Agent", "Mozilla")
		if want := map[bool]int{true: 400, false: 429}[i < 5]; w.Code != want {
			t.Errorf("call %d: got %d, want %d", i, w.Code, want)
		}
	}
	check(t, f.get("/api/srvlist"), 200, "")
}

var trackPolicy = trackway.Policy{Name: "track", Paths: []string{"/track/"}, Limit: 5, Window: time.Hour, AllowBelowFloor: true}

func TestLimitUsage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackPolicy, apiPolicy)
	f.busy(t)
	w := f.get("/api/limits/usage", byKey()...)
	var got limit.Report
	decode(t, w, &got)
	want := []limit.Usage{
		{
			Name: "track", Limit: 5, Window: 3600, Mode: "enforce", Counts: limit.Counts{Calls: 12, Refused: 2, Callers: 2},
			Distribution: limit.Distribution{P50: 5, P95: 5, P99: 5, Max: 5, Tenths: [10]int{9: 1}, Over: 1},
		},
		{
			Name: "api", Limit: 2, Window: 60, Mode: "enforce", Counts: limit.Counts{Calls: 2, Callers: 2},
			Distribution: limit.Distribution{P50: 1, P95: 1, P99: 1, Max: 1, Tenths: [10]int{5: 2}},
		},
	}
	byName := cmpopts.SortSlices(func(a, b limit.Usage) bool { return a.Name > b.Name })
	if diff := cmp.Diff(want, got.Policies, byName); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	if got.Table.Used != 4 || got.Table.Slots < 1024 || got.Table.Bytes < 16*got.Table.Slots || time.Since(got.At) > time.Minute {
		t.Errorf("got %+v at %v", got.Table, got.At)
	}
	check(t, f.get("/api/limits/usage", "X-Forwarded-For", "198.51.100.9"), 403, "the permission admin")
	check(t, f.get("/api/limits/usage", "X-Forwarded-For", "198.51.100.9", "Authorization", ""), 401, "Access key not provided")
}

func TestLimitCallers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackPolicy, apiPolicy)
	f.busy(t)
	callers := func(query string) []watch.Caller {
		t.Helper()
		var got struct {
			Since time.Time
			Rows  []watch.Caller
		}
		decode(t, f.get("/api/limits/callers?"+query, byKey("X-Forwarded-For", "198.51.100.9")...), &got)
		if time.Since(got.Since) > time.Minute {
			t.Errorf("%s: since %v", query, got.Since)
		}
		for i := range got.Rows {
			if c := &got.Rows[i]; c.Last.Before(c.First) || time.Since(c.First) > time.Minute {
				t.Errorf("%s: seen from %v to %v", query, c.First, c.Last)
			}
			got.Rows[i].First, got.Rows[i].Last = time.Time{}, time.Time{}
		}
		return got.Rows
	}
	const from = "X-Forwarded-For from 192.0.2.1"
	refused := watch.Caller{
		Policy: "track", Address: "2001:db8:0:1::/64", Source: from, Calls: 7, Refused: 2, Projects: []string{},
		Routes: []string{"GET /track/v2/projects/{token}/system/time"}, Agents: []string{"Mozilla"}, Types: []string{},
	}
	good := watch.Caller{
		Policy: "track", Address: "198.51.100.1", Source: from, Calls: 5, Projects: []string{"demo"},
		Routes: []string{"POST " + trackPath + "batch", "POST " + trackPath + "customers/events"},
		Agents: []string{"curl/8"}, Types: []string{"buy", "e"}, Bodies: 5, Repeats: .6,
	}
	if diff := cmp.Diff([]watch.Caller{refused, good}, callers("policy=track")); diff != "" {
		t.Error("callers of track (-want +got):\n" + diff)
	}
	if diff := cmp.Diff([]watch.Caller{refused}, callers("refused=true&rows=5")); diff != "" {
		t.Error("refused (-want +got):\n" + diff)
	}

	f = newFixture(t, trackPolicy)
	for query, want := range map[string]string{
		"rows=0": "expected a whole number", "policy=": "expected one of track",
		"refused=yes": "expected true or false", "refused=": "expected true or false",
	} {
		check(t, f.get("/api/limits/callers?"+query, byKey()...), 400, want)
	}
	check(t, f.get("/api/limits/callers?policy=none", byKey()...), 404, "There is no such policy, only track.")
	check(t, f.get("/api/limits/callers"), 403, "the permission admin")
}

// The answer gives a project by its name, and leaves out an unknown token,
// which may be any text.
func TestCallersShowNoToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackPolicy)
	f.busy(t)
	w := f.get("/api/limits/callers", byKey()...)
	for _, private := range []string{projectToken, "unknown", publicToken, privateSecret} {
		if strings.Contains(w.Body.String(), private) {
			t.Errorf("%q is told: %s", private, w.Body)
		}
	}
	if log := f.log.String(); strings.Contains(log, "198.51.100.1") || strings.Contains(log, "2001:db8") {
		t.Errorf("the log tells of an address: %s", log)
	}
}

// A call that one policy refused is not a call under the other policies, which
// did not count it.
func TestCallersOfEachPolicy(t *testing.T) {
	t.Parallel()
	all := trackway.Policy{Name: "all", Paths: []string{"/track/"}, Also: true, Limit: 3, Window: time.Hour, AllowBelowFloor: true}
	f := newFixture(t, trackPolicy, all)
	for range 4 {
		f.send(http.MethodGet, trackBase+"system/time", nil, "X-Forwarded-For", "198.51.100.1")
	}
	for policy, want := range map[string][2]uint64{"track": {3, 0}, "all": {4, 1}} {
		var got struct{ Rows []watch.Caller }
		decode(t, f.get("/api/limits/callers?policy="+policy, byKey()...), &got)
		if len(got.Rows) != 1 || got.Rows[0].Calls != want[0] || got.Rows[0].Refused != want[1] {
			t.Errorf("%s: got %+v, want %d calls, %d refused", policy, got.Rows, want[0], want[1])
		}
	}
}

// The types of a caller are those of the events that were accepted.
func TestTypesOfCallers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackPolicy)
	const event = `{"name":"customers/events","data":{"customer_ids":{"cookie":"c"},"event_type":`
	check(t, f.post(trackBase+"batch", strings.NewReader(`{"commands":[`+event+`"a"}},`+event+`"b","timestamp":"never"}},{"name":"system/time"},`+event+`"c"}}]}`)), 200, `{"success":false`)
	check(t, f.post(trackBase+"customers/events", strings.NewReader(`{"customer_ids":{"cookie":"c"},"event_type":"d","timestamp":"never"}`)), 400, "")
	var got struct{ Rows []watch.Caller }
	decode(t, f.get("/api/limits/callers?policy=track", byKey()...), &got)
	if len(got.Rows) != 1 || !slices.Equal(slices.Sorted(slices.Values(got.Rows[0].Types)), []string{"a", "c"}) {
		t.Errorf("got %+v", got.Rows)
	}
	if _, callers := watch.New(time.Now()).Top(time.Now(), "", false, math.MaxInt); callers == nil {
		t.Error("no callers are null in JSON")
	}
}

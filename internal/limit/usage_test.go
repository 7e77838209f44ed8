package limit

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"pgregory.net/rapid"

	"trackway"
)

// calls makes n calls from each of some addresses.
func (t *tester) calls(n int, d time.Duration, path string, callers ...int) {
	t.Helper()
	for _, i := range callers {
		c := call(path, "192.0.2.1")
		c.Addr = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		for range n {
			t.l.Allow(t.at(d), c)
		}
	}
}

func numbers(from, to int) (list []int) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func TestUsage(t *testing.T) {
	t.Parallel()
	grid := trackway.Policy{Name: "grid", Paths: []string{"/grid/"}, Limit: 15, Window: 30 * time.Second, Mode: trackway.Report}
	p := api()
	p.Candidate = 10
	s := newTester(t, mustSet(t, p, grid))
	s.calls(1, 0, "/api/x", numbers(0, 90)...)
	s.calls(20, 0, "/api/x", numbers(90, 96)...)
	s.calls(29, 0, "/api/x", numbers(96, 99)...)
	s.calls(31, 0, "/api/x", 99)
	s.calls(16, 0, "/grid/x", 7)
	got := s.l.Usage(s.at(0))
	want := []Usage{
		{
			Name: "api", Limit: 30, Window: 30, Mode: trackway.Enforce,
			Counts:       Counts{Calls: 90 + 6*20 + 3*29 + 31, Refused: 1, CandidateRefused: 6*10 + 3*19 + 21, Callers: 100},
			Distribution: Distribution{P50: 1, P95: 20, P99: 29, Max: 30, Tenths: [10]int{0: 90, 6: 6, 9: 3}, Over: 1},
		},
		{
			Name: "grid", Limit: 15, Window: 30, Mode: trackway.Report, Counts: Counts{Calls: 16, WouldRefuse: 1, Callers: 1},
			Distribution: Distribution{P50: 15, P95: 15, P99: 15, Max: 15, Over: 1},
		},
	}
	if diff := cmp.Diff(want, got.Policies); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	table := s.l.Table()
	table.Used = 100 + 100 + 1 // each caller of api has a counter for the candidate, too
	if got.Table != table {
		t.Errorf("got %+v, want %+v", got.Table, table)
	}
}

// The table is read at most once a second, but calls are current.
func TestUsageLooksOnceASecond(t *testing.T) {
	t.Parallel()
	s := newTester(t, mustSet(t, api()))
	see := func(d time.Duration, calls uint64, live int, looked time.Duration) {
		t.Helper()
		r := s.l.Usage(s.at(d))
		if u := r.Policies[0]; u.Calls != calls || u.Callers != live || u.Tenths[0] != live || !r.At.Equal(s.at(looked)) {
			t.Errorf("at %v: got %d calls, %d callers, looked at %v; want %d, %d, %v", d, u.Calls, u.Callers, r.At.Sub(s.l.base), calls, live, looked)
		}
	}
	s.calls(1, 0, "/api/x", 1)
	see(0, 1, 1, 0)
	s.calls(1, 0, "/api/x", 2)
	see(time.Second-1, 2, 1, 0)
	see(time.Second, 2, 2, time.Second)
	see(31*time.Second, 2, 0, 31*time.Second)
	s.l.Reload(mustSet(t, api(), trackway.Policy{Name: "grid", Paths: []string{"/grid/"}, Limit: 3, Window: time.Minute}))
	if got := s.l.Usage(s.at(31 * time.Second)); len(got.Policies) != 2 || got.Policies[1].Limit != 3 {
		t.Errorf("after a reload: got %+v, want both policies", got.Policies)
	}
}

// A blocked caller is refused without a counter, so they are not a caller with
// a running window.
func TestUsageOfABlock(t *testing.T) {
	t.Parallel()
	block := trackway.Override{Policy: "api", Address: netip.MustParsePrefix("10.0.0.1/32")}
	s := newTester(t, mustSetWith(t, []trackway.Override{block}, api()))
	s.calls(2, 0, "/api/x", 1, 2)
	if u := s.l.Usage(s.at(0)).Policies[0]; u.Callers != 1 || u.Calls != 4 || u.Refused != 2 || u.Over != 0 {
		t.Errorf("got %+v, want one caller, 4 calls, 2 refused", u)
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(rapid.Uint32Range(0, 300), rapid.Uint32Range(0, 1<<countBits-1)), 1, 200).Draw(t, "values")
		var d distribution
		for _, v := range values {
			d.add(v)
		}
		slices.Sort(values)
		for _, percent := range []int{50, 95, 99, 100} {
			exact := values[(len(values)*percent+99)/100-1]
			if got := d.quantile(percent); got < exact || got-exact > exact/128 {
				t.Fatalf("%d %%: got %d, want %d or a little more", percent, got, exact)
			}
		}
		if most := values[len(values)-1]; d.most != most || d.quantile(100) != most {
			t.Fatalf("got at most %d, want %d", d.most, most)
		}
	})
}

func TestCounting(t *testing.T) {
	t.Parallel()
	all := trackway.Policy{Name: "all", Paths: []string{"/"}, Also: true, Limit: 9000, Window: time.Minute, Per: trackway.PerProj}
	off := trackway.Policy{Name: "off", Paths: []string{"/api/free"}, Limit: 5, Window: time.Minute, Mode: trackway.Off}
	set := mustSet(t, all, api(), off)
	for path, want := range map[string][]string{"/api/x": {"api", "all"}, "/x": {"all"}, "/api/free": {"all"}} {
		if diff := cmp.Diff(want, set.Counting("GET", path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if got := mustSet(t, api()).Counting("GET", "/"); got != nil {
		t.Errorf("got %v for a free path, want none", got)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	p := api()
	p.Limit, p.Candidate = 2, 1
	l := New(mustSet(t, p), 1000)
	for range 3 {
		l.Allow(time.Now(), call("/api/x", "192.0.2.1"))
	}
	want := fmt.Sprintf(`
# HELP trackway_limit_callers Callers with a running window.
# TYPE trackway_limit_callers gauge
trackway_limit_callers{policy="api"} 1
# HELP trackway_limit_calls_total Calls that the policy decided about.
# TYPE trackway_limit_calls_total counter
trackway_limit_calls_total{policy="api"} 3
# HELP trackway_limit_candidate_refused_total Calls that the policy's candidate limit would have refused.
# TYPE trackway_limit_candidate_refused_total counter
trackway_limit_candidate_refused_total{policy="api"} 2
# HELP trackway_limit_refused_total Calls that the policy refused.
# TYPE trackway_limit_refused_total counter
trackway_limit_refused_total{policy="api"} 1
# HELP trackway_limit_table_bytes Memory of the table of counters; it never changes.
# TYPE trackway_limit_table_bytes gauge
trackway_limit_table_bytes %d
# HELP trackway_limit_table_slots Counters that the table can hold.
# TYPE trackway_limit_table_slots gauge
trackway_limit_table_slots %d
# HELP trackway_limit_table_used_slots Counters that are in use.
# TYPE trackway_limit_table_used_slots gauge
trackway_limit_table_used_slots 2
# HELP trackway_limit_untracked_calls_total Calls that were admitted without being counted, because every counter that could have made room belonged to a refused caller.
# TYPE trackway_limit_untracked_calls_total counter
trackway_limit_untracked_calls_total 0
# HELP trackway_limit_would_refuse_total Calls over the limit that the policy let pass, since its mode is report.
# TYPE trackway_limit_would_refuse_total counter
trackway_limit_would_refuse_total{policy="api"} 0
`, l.Table().Bytes, l.Table().Slots)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(NewCollector(l))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&got, f); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got.String()); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

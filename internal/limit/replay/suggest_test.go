package replay

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/limit"
	"trackway/internal/limit/traffic"
)

// calls returns a source with the given number of calls per path, all from one
// address and at once.
func calls(byPath map[string]uint32) Source {
	return from("192.0.2.1", byPath)
}

func from(address string, byPath map[string]uint32) Source {
	all := rows{}
	for path, n := range byPath {
		method, route, _ := strings.Cut(path, " ")
		all[base.Unix()] = append(all[base.Unix()], traffic.Row{
			Addr: netip.MustParseAddr(address), Kind: &traffic.Kind{Method: method, Route: route, Path: route}, Calls: n,
		})
	}
	return all.source
}

var floors = []limit.Floor{{Path: "/track/", Calls: 6000, Window: time.Minute}}

// published returns the default limits.
func published() []trackway.Policy {
	usual := func(name, path string, limit uint32, window time.Duration, per trackway.Per) trackway.Policy {
		return trackway.Policy{
			Name: name, Paths: []string{path}, Limit: limit, Window: window, Per: per, Algorithm: trackway.Fixed, Mode: trackway.Enforce,
			IPv6Prefix: 64, IPv6Wide: trackway.IPv6Wide{Prefix: 48, Times: 16},
		}
	}
	grid := usual("grid", "/grid/", 15, 30*time.Second, trackway.PerIP)
	grid.NoLooserThan = "api"
	return []trackway.Policy{
		usual("track", "/track/", 6000, time.Minute, trackway.PerIP), usual("api", "/api/", 30, 30*time.Second, trackway.PerIPPath), grid,
	}
}

const (
	track = "POST /track/v2/projects/{token}/batch"
	api   = "GET /api/status"
	grid  = "GET /grid/start"
)

// Suggestions can be configured: they keep the floor of the tracking API and
// the order of grid and api.
func TestSuggestionsCanBeConfigured(t *testing.T) {
	t.Parallel()
	as := func(algorithm trackway.Algorithm, mode trackway.Mode) []trackway.Policy {
		all := published()
		if all[0].Algorithm, all[0].Mode = algorithm, mode; algorithm != trackway.Fixed {
			all[0].Limit = 100_000
		}
		return all
	}
	free, named := published(), published() // a policy's name has no meaning
	free[2].NoLooserThan = ""
	named[0].NoLooserThan, named[1].Name, named[2].Name, named[2].NoLooserThan = "grid", "grid", "api", ""
	named[0].Limit, named[0].AllowBelowFloor, named[0].Mode = 50, true, trackway.Report
	off := published()
	off[1].Mode, off[2].Mode = trackway.Report, trackway.Off
	tests := map[string]struct {
		policies []trackway.Policy
		calls    map[string]uint32
		wish     Wish
		want     map[string]string // limit and note by name
	}{
		"each as it is": {
			published(),
			map[string]uint32{track: 7000, api: 60, grid: 41},
			Wish{},
			map[string]string{"track": "8000", "api": "60", "grid": "50"},
		},
		"the floor": {
			published(),
			map[string]uint32{track: 5},
			Wish{},
			map[string]string{"track": "6000 5 would do, but callers are promised more", "api": "nobody", "grid": "nobody"},
		},
		"the floor of sliding": {
			as(trackway.Sliding, trackway.Report),
			map[string]uint32{track: 5},
			Wish{Policy: "track"},
			map[string]string{"track": "12000 5 would do, but callers are promised more"},
		},
		"the floor of gcra": {
			as(trackway.GCRA, trackway.Enforce),
			map[string]uint32{track: 5},
			Wish{Policy: "track"},
			map[string]string{"track": "60000 5 would do, but callers are promised more"},
		},
		"what is off": {
			off,
			map[string]uint32{api: 40, grid: 50},
			Wish{},
			map[string]string{"track": "nobody", "api": "50 40 would do, but grid must not be the looser one", "grid": "50"},
		},
		"a burst that gcra lets pass": {
			as(trackway.GCRA, trackway.Enforce),
			map[string]uint32{track: 7000},
			Wish{Policy: "track"},
			map[string]string{"track": "80000"},
		},
		"grid holds api up": {
			published(),
			map[string]uint32{api: 3, grid: 41},
			Wish{},
			map[string]string{"track": "nobody", "api": "50 3 would do, but grid must not be the looser one", "grid": "50"},
		},
		"a grid that nothing holds": {
			free,
			map[string]uint32{api: 3, grid: 41},
			Wish{},
			map[string]string{"track": "nobody", "api": "3", "grid": "50"},
		},
		"another order": {
			named,
			map[string]uint32{track: 7000, api: 3, grid: 41},
			Wish{},
			map[string]string{"track": "8000", "grid": "4000 3 would do, but track must not be the looser one", "api": "50"},
		},
		"also where nobody calls api": {
			published(),
			map[string]uint32{grid: 41},
			Wish{Policy: "grid"},
			map[string]string{"api": "50 1 would do, but grid must not be the looser one", "grid": "50"},
		},
		"also where grid is not asked about": {
			published(),
			map[string]uint32{api: 3, grid: 41},
			Wish{Policy: "api"},
			map[string]string{"api": "15 3 would do, but grid must not be the looser one"},
		},
		"a window that is too long for the floor": {
			published(),
			map[string]uint32{track: 5},
			Wish{Policy: "track", Window: 24 * time.Hour},
			map[string]string{"track": "none, for this window there is no limit that can be configured, since callers are promised more"},
		},
		"another window": {
			published(),
			map[string]uint32{api: 60},
			Wish{Policy: "api", Window: time.Minute},
			map[string]string{"api": "60"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.wish.Share = 100
			a, err := Suggest(calls(test.calls), Limits{Policies: test.policies, Floors: floors, Tokens: tokens, Callers: 100}, test.wish)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, s := range a.Suggestions {
				got[s.Name] = "nobody"
				if s.Callers > 0 {
					got[s.Name] = "none, " + s.Note
				}
				if s.Then != nil {
					text, _, _ := strings.Cut(s.YAML[strings.Index(s.YAML, "limit: ")+len("limit: "):], ",")
					got[s.Name] = strings.TrimSpace(text + " " + s.Note)
				}
			}
			if diff := gocmp.Diff(test.want, got); diff != "" {
				t.Error("(-want +got):\n" + diff)
			}
		})
	}
}

// drawPublished returns the default policies with other limits.
func drawPublished(t *rapid.T) []trackway.Policy {
	all := published()
	for i := range all {
		p := &all[i]
		p.Mode = rapid.SampledFrom([]trackway.Mode{trackway.Enforce, trackway.Report, trackway.Off}).Draw(t, "mode")
		p.Window = time.Duration(rapid.SampledFrom([]int{1, 30, 60, 3600, 86400}).Draw(t, "window")) * time.Second
		p.Limit = rapid.SampledFrom([]uint32{1, 2, 15, 30, 6000, 60000, 1000000}).Draw(t, "limit")
		p.AllowBelowFloor = rapid.Bool().Draw(t, "below")
		if p.Algorithm = rapid.SampledFrom([]trackway.Algorithm{trackway.Fixed, trackway.Sliding, trackway.GCRA}).Draw(t, "algorithm"); p.Algorithm == trackway.GCRA {
			p.Burst = rapid.SampledFrom([]uint32{1, max(1, p.Limit/2), max(1, p.Limit-1)}).Draw(t, "burst")
		}
	}
	return all
}

// For any configuration and any wish, the suggestions can be configured.
func TestWhateverIsSuggestedCanBeConfigured(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		policies := drawPublished(t)
		if _, err := limit.NewSet(policies, nil, floors...); err != nil {
			t.Skip(err)
		}
		byPath := map[string]uint32{}
		for _, path := range []string{track, api, grid} {
			byPath[path] = rapid.SampledFrom([]uint32{0, 1, 40, 7000}).Draw(t, "calls")
		}
		maps.DeleteFunc(byPath, func(_ string, n uint32) bool { return n == 0 })
		wish := Wish{
			Share: 100, Policy: rapid.SampledFrom([]string{"", "api", "grid", "track"}).Draw(t, "policy"),
			Window: time.Duration(rapid.SampledFrom([]int{0, 1, 60, 86400}).Draw(t, "wish")) * time.Second,
		}
		a, err := Suggest(calls(byPath), Limits{Policies: policies, Floors: floors, Tokens: tokens, Callers: 100}, wish)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range policies {
			for _, s := range a.Suggestions {
				if s.Name == p.Name && s.Then != nil {
					p.Window = time.Duration(s.Then.Window) * time.Second
					policies[i] = withLimit(p, s.Then.Limit)
				}
			}
		}
		if _, err := limit.NewSet(policies, nil, floors...); err != nil {
			t.Fatalf("%v\n%+v", err, a.Suggestions)
		}
	})
}

// Callers with an override need no suggested limit.
func TestOverridesAreLeftOut(t *testing.T) {
	t.Parallel()
	both := func(yield func(int64, []traffic.Row) error) (traffic.Coverage, error) {
		if _, err := from("192.0.2.1", map[string]uint32{api: 5000})(yield); err != nil {
			return traffic.Coverage{}, err
		}
		return from("192.0.2.2", map[string]uint32{api: 7})(yield)
	}
	override := trackway.Override{Policy: "api", Address: netip.MustParsePrefix("192.0.2.1/32"), Limit: 3}
	a, err := Suggest(both, Limits{Policies: published(), Overrides: []trackway.Override{override}, Callers: 100}, Wish{Share: 100, Policy: "api"})
	if err != nil {
		t.Fatal(err)
	}
	if s := a.Suggestions[0]; s.Callers != 1 || s.Calls != 7 || s.Needed != 7 || s.Now.Refused != 0 {
		t.Errorf("got %+v", s)
	}
}

// However many policies there are, few of them are tried at once: each takes
// the memory of a whole server's limiter.
func TestFewAtOnce(t *testing.T) {
	t.Parallel()
	var policies []trackway.Policy
	byPath, reads := map[string]uint32{}, 0
	for i := range 10 {
		path := fmt.Sprintf("/api/%d", i)
		byPath["GET "+path] = 3
		policies = append(policies, trackway.Policy{Name: fmt.Sprintf("p%d", i), Paths: []string{path}, Limit: 2, Window: time.Second})
	}
	record := calls(byPath)
	counted := func(yield func(int64, []traffic.Row) error) (traffic.Coverage, error) {
		reads++
		return record(yield)
	}
	a, err := Suggest(counted, Limits{Policies: policies, Callers: 100}, Wish{Share: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range a.Suggestions {
		if s.Calls != 3 || s.Now.Refused != 1 || s.Then == nil || s.Then.Limit != 3 || s.Then.Refused != 0 {
			t.Errorf("got %+v", s)
		}
	}
	if least := (2*len(policies) + len(policies)) / together; reads < least || a.Record.Calls != 30 {
		t.Errorf("%d calls, the record was read %d times; want 30, and at least %d times", a.Record.Calls, reads, least)
	}
}

// Suggest refuses wrong limits and limits that do not exist.
func TestSuggestRefuses(t *testing.T) {
	t.Parallel()
	if _, err := Suggest(calls(nil), Limits{Policies: published()}, Wish{Share: 100, Policy: "x"}); err == nil || !strings.Contains(err.Error(), "api, grid, track") {
		t.Errorf("got %v", err)
	}
	wrong := Limits{Policies: []trackway.Policy{{Name: "x"}}}
	if _, err := Suggest(calls(nil), wrong, Wish{Share: 100}); err == nil {
		t.Error("wrong limits are taken")
	}
	if _, err := Simulate(calls(nil), wrong); err == nil {
		t.Error("wrong limits are tried")
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return base.Add(time.Duration(s) * time.Second) }
	source := func(yield func(int64, []traffic.Row) error) (traffic.Coverage, error) {
		_, err := calls(map[string]uint32{api: 1, "GET /api/projects/{token}/customers/{id}": 1})(yield)
		return traffic.Coverage{
			From: at(0), To: at(100), Unrecorded: 7, Damaged: 1, Changes: []time.Time{at(1), at(2)},
			Gaps: []traffic.Gap{{From: at(10), To: at(20)}, {From: at(30), To: at(70)}},
		}, err
	}
	l := Limits{Policies: published(), Callers: 100}
	l.Policies[0].Mode = trackway.Off
	l.Policies[1].Limit, l.Policies[1].Window, l.Policies[1].IPv6Prefix = 4e6, 24*time.Hour, 72
	one := l.Policies[1]
	one.Shared, one.Limit = true, 2e6
	one.Name, one.Window, one.IPv6Prefix, one.Paths = "one", time.Second, 64, []string{"/api/projects/" + token + "/customers/42"}
	l.Policies = append(l.Policies, one)
	l.Overrides = []trackway.Override{
		{Policy: "track", Address: netip.MustParsePrefix("2001:db8::1/128"), Limit: 1}, {Policy: "track", Address: netip.MustParsePrefix("192.0.2.1/32"), Limit: 1},
	}
	o, err := Simulate(source, l)
	if err != nil {
		t.Fatal(err)
	}
	local := func(s int) string { return at(s).Local().Format(time.DateTime) }
	want := []string{
		"7 more calls are missing from the record, because too many callers came at once",
		"nothing was recorded for 50s in 2 gaps, the longest of them 40s from " + local(30) + "; this time counts as time without calls",
		"1 file could not be read to the end, which happens if a server was killed",
		"the limits in force changed 2 times during this time, the last time at " + local(2) + ", so different limits have refused calls",
		"api distinguishes IPv6 callers by 72 bits, but the record keeps only the first 64",
		"one is shared by the servers of a cluster, but the record has only the calls of one of them: callers that also use the others have called more often",
		"track is off and counts nothing",
		"the record tells of 50s, which is less than the window of api",
		"the override for 2001:db8::1/128 is narrower than the part of IPv6 addresses that the record keeps, the first 64 bits",
		"one counts only some calls of /api/projects/{token}/customers/{id}, and the record does not show which ones: none of them is counted",
	}
	if diff := gocmp.Diff(want, o.Warnings); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

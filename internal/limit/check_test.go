package limit

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway"
)

var promised = Floor{Path: "/track/", Calls: 6000, Window: time.Minute}

// published returns the default policies.
func published() []trackway.Policy {
	wide := trackway.IPv6Wide{Prefix: 48, Times: 16}
	return []trackway.Policy{
		{Name: "track", Paths: []string{"/track/", "/data/v2/projects/*/consent/categories"}, Limit: 6000, Window: time.Minute, IPv6Wide: wide},
		{Name: "api", Paths: []string{"/api/", "/data/"}, Limit: 30, Window: 30 * time.Second, Per: trackway.PerIPPath, IPv6Wide: wide},
		{Name: "grid", Paths: []string{"/grid/"}, Limit: 15, Window: 30 * time.Second, IPv6Wide: wide, NoLooserThan: "api"},
	}
}

func TestPublishedPolicies(t *testing.T) {
	t.Parallel()
	s := newTester(t, mustSet(t, published()...))
	s.admits(6000, 0, call("/track/v2/projects/x/batch", "192.0.2.1"))
	s.admits(30, 0, call("/api/servers", "192.0.2.1"))
	s.admits(30, 0, call("/api/status", "192.0.2.1"))
	s.admits(30, 0, call("/data/v2/projects/x/customers", "192.0.2.1"))
	// These calls count as tracking.
	s.admits(0, 0, call("/data/v2/projects/x/consent/categories", "192.0.2.1"))
	s.admits(6000, 0, call("/data/v2/projects/x/consent/categories", "192.0.2.2"))
	s.admits(15, 0, call("/grid/overview", "192.0.2.1"))
	s.admits(0, 0, call("/grid/live", "192.0.2.1"))
	for _, path := range []string{"/", "/about/api", "/openapi.yaml", "/assets/app.js", "/-/healthy", "/apiary"} {
		s.free(call(path, "192.0.2.1"))
	}
	for _, p := range s.l.Set().Policies() {
		if p.IPv6Prefix != 64 || p.Algorithm != trackway.Fixed || p.Mode != trackway.Enforce {
			t.Errorf("%s: the defaults are not filled in: %+v", p.Name, p)
		}
	}
}

// A problem that names the place and the policy refuses every mistake.
func TestMistakes(t *testing.T) {
	t.Parallel()
	with := func(i int, change func(p *trackway.Policy)) []trackway.Policy {
		list := published()
		change(&list[i])
		return list
	}
	prefix := netip.MustParsePrefix
	override := func(o ...trackway.Override) []trackway.Override { return o }
	for _, c := range []struct {
		field, name, msg string
		policies         []trackway.Policy
		overrides        []trackway.Override
	}{
		{"limits[1].name", "", "must be 1 to 32", with(1, func(p *trackway.Policy) { p.Name = "" }), nil},
		{"limits[1].name", `a"b`, "must be 1 to 32", with(1, func(p *trackway.Policy) { p.Name = `a"b` }), nil},
		{"limits[2].name", "api", "two policies", with(2, func(p *trackway.Policy) { p.Name = "api" }), nil},
		{"limits[1].limit", "api", "between 1 and", with(1, func(p *trackway.Policy) { p.Limit = 0 }), nil},
		{"limits[1].limit", "api", "between 1 and", with(1, func(p *trackway.Policy) { p.Limit = 1 << 22 }), nil},
		{"limits[1].candidate", "api", "at most", with(1, func(p *trackway.Policy) { p.Candidate = 1 << 22 }), nil},
		{"limits[1].window", "api", "whole seconds", with(1, func(p *trackway.Policy) { p.Window = 1500 * time.Millisecond }), nil},
		{"limits[1].window", "api", "whole seconds", with(1, func(p *trackway.Policy) { p.Window = 0 }), nil},
		{"limits[1].window", "api", "whole seconds", with(1, func(p *trackway.Policy) { p.Window = 25 * time.Hour }), nil},
		{"limits[1].per", "api", "must be ip, ip+path", with(1, func(p *trackway.Policy) { p.Per = "user" }), nil},
		{"limits[1].mode", "api", "must be enforce", with(1, func(p *trackway.Policy) { p.Mode = "on" }), nil},
		{"limits[1].algorithm", "api", "must be fixed", with(1, func(p *trackway.Policy) { p.Algorithm = "leaky" }), nil},
		{"limits[1].burst", "api", "only gcra", with(1, func(p *trackway.Policy) { p.Burst = 3 }), nil},
		{"limits[1].burst", "api", "less than the limit", with(1, func(p *trackway.Policy) { p.Algorithm, p.Burst = trackway.GCRA, 30 }), nil},
		{"limits[1].burst", "api", "24h", with(1, func(p *trackway.Policy) {
			p.Algorithm, p.Limit, p.Burst, p.Window = trackway.GCRA, 30, 29, time.Hour
		}), nil},
		{"limits[1].ipv6_prefix", "api", "16 and 128", with(1, func(p *trackway.Policy) { p.IPv6Prefix = 129 }), nil},
		{"limits[1].ipv6_wide.prefix", "api", "less than ipv6_prefix", with(1, func(p *trackway.Policy) { p.IPv6Wide.Prefix = 64 }), nil},
		{"limits[1].paths", "api", "at least one", with(1, func(p *trackway.Policy) { p.Paths = nil }), nil},
		{"limits[1].paths[0]", "api", "is no path", with(1, func(p *trackway.Policy) { p.Paths = []string{"api/"} }), nil},
		{"limits[1].paths[1]", "api", "is no path", with(1, func(p *trackway.Policy) { p.Paths = []string{"/api/", "/api/*"} }), nil},
		{"limits[1].paths[0]", "api", "for any project", with(1, func(p *trackway.Policy) { p.Paths = []string{"/api/x*/y"} }), nil},
		{"limits[1].paths[0]", "api", "is no path", with(1, func(p *trackway.Policy) { p.Paths = []string{"/api/**/y"} }), nil},
		{"limits[1].paths[0]", "api", "is no path", with(1, func(p *trackway.Policy) { p.Paths = []string{"*/api/"} }), nil},
		{"limits[1].limit", "api", "below the published", with(1, func(p *trackway.Policy) { p.Paths = []string{"/*/v2/"} }), nil},
		{"limits[1].paths[0]", "api", "capital letters", with(1, func(p *trackway.Policy) { p.Paths = []string{"post /api/"} }), nil},
		{"limits[2].paths[0]", "grid", `of policy "api" too`, with(2, func(p *trackway.Policy) { p.Paths = []string{"/api/"} }), nil},
		{"limits[2].limit", "grid", "of api: no_looser_than", with(2, func(p *trackway.Policy) { p.Limit = 31 }), nil},
		{"limits[2].no_looser_than", "grid", "another policy", with(2, func(p *trackway.Policy) { p.NoLooserThan = "apo" }), nil},
		{"limits[2].no_looser_than", "grid", "another policy", with(2, func(p *trackway.Policy) { p.NoLooserThan = "grid" }), nil},
		{"limits[2].no_looser_than", "grid", "without no_looser_than", with(1, func(p *trackway.Policy) { p.NoLooserThan = "track" }), nil},
		{"limits[2].paths[0]", "grid", `of policy "api" too`, func() []trackway.Policy {
			list := published() // one project's token, in upper and lower case
			list[1].Paths = []string{"/api/projects/12345678-1234-1234-1234-123456789ABC/"}
			list[2].Paths = []string{"/api/projects/12345678-1234-1234-1234-123456789abc/"}
			return list
		}(), nil},
		{"limits[2].mode", "grid", "looser than api", with(2, func(p *trackway.Policy) { p.Mode = trackway.Off }), nil},
		{"limits[1].paths[0]", "api", "met by no call", with(1, func(p *trackway.Policy) { p.Paths = []string{"/api//"} }), nil},
		{"limits[1].paths[0]", "api", "met by no call", with(1, func(p *trackway.Policy) { p.Paths = []string{"GET /api/../x"} }), nil},
		{"limits[1].paths[0]", "api", "met by no call", with(1, func(p *trackway.Policy) { p.Paths = []string{"/api/./"} }), nil},
		{"limits[1].paths[0]", "api", "met by no call", with(1, func(p *trackway.Policy) { p.Paths = []string{"//"} }), nil},
		{"limits[1].paths[0]", "api", "met by no call", with(1, func(p *trackway.Policy) { p.Paths = []string{"/%61pi/"} }), nil},
		{"limits[0].limit", "track", "allow_below_floor", with(0, func(p *trackway.Policy) { p.Limit = 5999 }), nil},
		{"limits[0].limit", "track", "allow_below_floor", with(0, func(p *trackway.Policy) { p.Window = 61 * time.Second }), nil},
		{"limits[0].limit", "track", "at once", with(0, func(p *trackway.Policy) { p.Limit, p.Window = 100, time.Second }), nil},
		{"limits[0].limit", "track", "(600 at once)", with(0, func(p *trackway.Policy) { p.Algorithm = trackway.GCRA }), nil},
		{"limits[0].limit", "track", "(3000 at once)", with(0, func(p *trackway.Policy) { p.Algorithm = trackway.Sliding }), nil},
		{"limits[0].limit", "renamed", "below the published", with(0, func(p *trackway.Policy) { p.Name, p.Limit = "renamed", 60 }), nil},
		{"limits[3].limit", "all", "below the published", append(published(), trackway.Policy{
			Name: "all", Paths: []string{"/"}, Also: true, Limit: 60, Window: time.Minute,
		}), nil},
		{"limits[0].limit", "all", "below the published", []trackway.Policy{{Name: "all", Paths: []string{"/*/"}, Limit: 60, Window: time.Minute}}, nil},
		{"limits[0].limit", "all", "below the published", []trackway.Policy{{Name: "all", Paths: []string{"/"}, Limit: 60, Window: time.Minute}}, nil},
		{"overrides[0].policy", "nobody", "no policy of this name", published(), override(trackway.Override{Policy: "nobody", Key: "web"})},
		{"overrides[0].address", "api", "not 0", published(), override(trackway.Override{Policy: "api"})},
		{"overrides[0].address", "api", "not 2", published(), override(trackway.Override{Policy: "api", Key: "web", Project: "p"})},
		{"overrides[0].address", "api", "no range", published(), override(trackway.Override{Policy: "api", Address: prefix("::ffff:0.0.0.0/80")})},
		{"overrides[0].limit", "api", "unlimited: true", published(), override(trackway.Override{Policy: "api", Key: "web", Limit: 1 << 22})},
		{"overrides[1].policy", "api", "another override", published(), override(
			trackway.Override{Policy: "api", Address: prefix("10.1.2.3/8")}, trackway.Override{Policy: "api", Address: prefix("10.0.0.0/8")})},
	} {
		s, err := NewSet(c.policies, c.overrides, promised)
		var problems Problems
		if s != nil || !errors.As(err, &problems) {
			t.Errorf("%s: accepted", c.field)
			continue
		}
		if !slices.ContainsFunc(problems, func(p Problem) bool {
			return p.Field == c.field && p.Name == c.name && strings.Contains(p.Msg, c.msg)
		}) {
			t.Errorf("want %s (policy %q): … %s …, got\n%v", c.field, c.name, c.msg, err)
		}
	}
}

// Policies that look wrong but are right are accepted.
func TestNoMistakes(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(list []trackway.Policy) []trackway.Policy{
		"below the floor, on purpose": func(l []trackway.Policy) []trackway.Policy { l[0].Limit, l[0].AllowBelowFloor = 10, true; return l },
		"below the floor, reporting":  func(l []trackway.Policy) []trackway.Policy { l[0].Limit, l[0].Mode = 10, trackway.Report; return l },
		"both off": func(l []trackway.Policy) []trackway.Policy {
			l[1].Mode, l[2].Mode = trackway.Off, trackway.Off
			return l
		},
		"a loose grid that names no other": func(l []trackway.Policy) []trackway.Policy { l[2].Limit, l[2].NoLooserThan = 3000, ""; return l },
		"the grid tried out":               func(l []trackway.Policy) []trackway.Policy { l[2].Mode = trackway.Report; return l },
		"for all other paths": func(l []trackway.Policy) []trackway.Policy {
			return append(l, trackway.Policy{Name: "rest", Paths: []string{"/"}, Limit: 60, Window: time.Minute})
		},
		"the same path, on top": func(l []trackway.Policy) []trackway.Policy {
			return append(l, trackway.Policy{Name: "sum", Paths: []string{"/api/"}, Also: true, Limit: 60, Window: time.Minute})
		},
		"gcra on the API": func(l []trackway.Policy) []trackway.Policy { l[1].Algorithm = trackway.GCRA; return l },
		"a limit of one":  func(l []trackway.Policy) []trackway.Policy { l[2].Algorithm, l[2].Limit = trackway.GCRA, 1; return l },
		"a gcra candidate smaller than the burst": func(l []trackway.Policy) []trackway.Policy {
			l[1].Algorithm, l[1].Burst, l[1].Candidate = trackway.GCRA, 20, 5
			return l
		},
	} {
		if _, err := NewSet(change(published()), nil, promised); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewSet(nil, nil); err != nil {
		t.Errorf("no policies at all: %v", err)
	}
}

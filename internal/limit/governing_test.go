package limit

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"trackway"
)

func TestGoverning(t *testing.T) {
	t.Parallel()
	p := func(name string, also bool, mode trackway.Mode, paths ...string) trackway.Policy {
		return trackway.Policy{
			Name: name, Paths: paths, Limit: 10, Window: time.Second, Per: trackway.PerIP, Also: also, Mode: mode, AllowBelowFloor: true,
		}
	}
	set, err := NewSet([]trackway.Policy{
		p("track", false, "", "/track/"),
		p("api", false, "", "/api/"),
		p("stats", false, "", "GET /api/projects/abc/stats"),
		p("one", false, "", "/api/projects/one/"),
		p("list", false, trackway.Report, "GET /api/limits"),
		p("off", false, trackway.Off, "/api/off/"),
		p("all", true, "", "/"),
		p("consent", false, "", "/data/v2/projects/*/consent/"),
		p("data", false, "", "/data/"),
		p("ours", false, "", "/data/v2/projects/one/"),
		p("part", true, "", "POST /track/v2/projects/one/"),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := func(policies []trackway.Policy) string {
		var list []string
		for i := range policies {
			list = append(list, policies[i].Name)
		}
		return strings.Join(list, " ")
	}
	for _, c := range []struct{ method, template, always, sometimes string }{
		{"GET", "/track/v2/projects/{token}/system/time", "track all", ""},
		{"POST", "/track/v2/projects/{token}/batch", "track all", "part"},
		{"GET", "/api/projects/{token}/stats", "api all", "stats one"},
		{"POST", "/api/projects/{token}/stats", "api all", "one"},
		{"GET", "/api/projects/{token}/usage", "api all", "one"},
		{"GET", "/api/projects/{token}", "api all", ""},
		{"GET", "/api/limits", "list all", ""},
		{"GET", "/api/limits/changes", "api all", ""},
		{"GET", "/api/off/x", "all", ""},
		{"GET", "/other", "all", ""},
		{"GET", "/data/v2/projects/{token}/consent/categories", "consent all", ""},
		{"GET", "/data/v2/projects/{token}/consent", "data all", "ours"},
		{"POST", "/data/v2/projects/{token}/customers/export", "data all", "ours"},
	} {
		always, sometimes := set.Governing(c.method, c.template)
		if names(always) != c.always || names(sometimes) != c.sometimes {
			t.Errorf("%s %s: got %q and for some %q, want %q and %q", c.method, c.template, names(always), names(sometimes), c.always, c.sometimes)
		}
	}
}

// An answer after a refund agrees with the answer to the next call.
func TestRefunded(t *testing.T) {
	t.Parallel()
	policy := trackway.Policy{Name: "api", Paths: []string{"/api/"}, Limit: 2, Window: time.Minute, Per: trackway.PerIP}
	for _, mode := range []trackway.Mode{trackway.Enforce, trackway.Report} {
		policy.Mode = mode
		set, err := NewSet([]trackway.Policy{policy}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, now := New(set, 64), time.Now()
		call := &Call{Method: "GET", Path: "/api/x", Addr: netip.MustParseAddr("203.0.113.1")}
		for range 5 {
			d := l.Allow(now, call)
			l.Refund(now, call, &d)
			if after := d.Refunded(); d.Remaining != 1 || after.Remaining != 2 {
				t.Errorf("%s: got %d left, and %d after the refund, want 1 and 2", mode, d.Remaining, after.Remaining)
			}
		}
		l.Allow(now, call)
		l.Allow(now, call)
		d := l.Allow(now, call)
		l.Refund(now, call, &d)
		if after := d.Refunded(); after.Remaining != 0 {
			t.Errorf("%s: a call that was not counted came back: %d left", mode, after.Remaining)
		}
	}
}

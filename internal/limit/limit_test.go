package limit

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"trackway"
	"trackway/internal/allocs"
)

// api is a basic policy: 30 calls in 30 s by address on /api/.
func api() trackway.Policy {
	return trackway.Policy{Name: "api", Paths: []string{"/api/"}, Limit: 30, Window: 30 * time.Second}
}

func call(path, addr string) *Call {
	return &Call{Method: "GET", Path: path, Route: path, Addr: netip.MustParseAddr(addr)}
}

// tester makes calls on a limiter and compares the results.
type tester struct {
	*testing.T
	l *Limiter
}

func newTester(t *testing.T, set *Set) *tester {
	t.Helper()
	return &tester{T: t, l: New(set, 1000)}
}

func mustSetWith(t testing.TB, overrides []trackway.Override, policies ...trackway.Policy) *Set {
	t.Helper()
	s, err := NewSet(policies, overrides)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// counts returns the counts of a policy of the set.
func (t *tester) counts(policy int) Counts { return t.l.Usage(t.at(0)).Policies[policy].Counts }

func (t *tester) at(d time.Duration) time.Time { return t.l.base.Add(d) }

// admits checks that exactly n calls are admitted now.
func (t *tester) admits(n int, d time.Duration, c *Call) {
	t.Helper()
	for i := range n + 1 {
		if got := t.l.Allow(t.at(d), c); got.Allowed != (i < n) {
			t.Fatalf("%s %s from %s: call %d: allowed %v, want %d calls", c.Method, c.Path, c.Addr, i, got.Allowed, n)
		}
	}
}

// free checks that a call is not limited at all.
func (t *tester) free(c *Call) {
	t.Helper()
	if got := t.l.Allow(t.at(0), c); !got.Allowed || got.Limited {
		t.Fatalf("%s %s from %s: got %+v, want not limited", c.Method, c.Path, c.Addr, got)
	}
}

func TestLongestPathWins(t *testing.T) {
	t.Parallel()
	limited := func(name string, limit uint32, paths ...string) trackway.Policy {
		return trackway.Policy{Name: name, Paths: paths, Limit: limit, Window: time.Minute}
	}
	off := limited("off", 1, "/api/free/")
	off.Mode = trackway.Off
	s := newTester(t, mustSet(
		t, limited("api", 3, "/api/"), off, limited("exact", 5, "/api/status"), limited("post", 2, "POST /api/"), limited("get", 4, "GET /api/in/"),
	))
	with := func(method, path string) *Call {
		c := call(path, "192.0.2.1")
		c.Method = method
		return c
	}
	s.admits(5, 0, with("GET", "/api/status"))
	s.admits(3, 0, with("GET", "/api/status/more"))
	s.admits(2, 0, with("POST", "/api/other"))
	s.admits(4, 0, with("HEAD", "/api/in/x"))
	s.admits(0, 0, with("GET", "/api/in/x")) // the same count as HEAD's
	s.admits(0, 0, with("PUT", "/api/in/x")) // used up above under policy api
	s.free(with("GET", "/api/free/x"))
	s.free(with("GET", "/"))
	s.free(with("GET", "/api"))
	s.free(with("GET", "/about/api"))
}

func TestPerRoute(t *testing.T) {
	t.Parallel()
	p := api()
	p.Per, p.Limit = trackway.PerIPPath, 2
	s := newTester(t, mustSet(t, p))
	c := call("/api/projects/a/stats", "192.0.2.1")
	c.Route = "/api/projects/{token}/stats"
	s.admits(2, 0, c)
	c.Path = "/api/projects/b/stats" // an id has no count of its own
	s.admits(0, 0, c)
	c.Route = "/api/projects/{token}/usage"
	s.admits(2, 0, c)
	c.Route = "" // calls without a route share one count
	s.admits(2, 0, c)
	c.Path = "/api/nowhere"
	s.admits(0, 0, c)
}

func TestKeysAndProjects(t *testing.T) {
	t.Parallel()
	for _, per := range []trackway.Per{trackway.PerKey, trackway.PerProj} {
		t.Run(string(per), func(t *testing.T) {
			t.Parallel()
			p := api()
			p.Per, p.Limit = per, 3
			set := mustSet(t, p)
			if !set.ByKey() {
				t.Error("the set does not say that it needs the key")
			}
			s := newTester(t, set)
			known := call("/api/x", "192.0.2.1")
			known.Project, known.Key = "token", "web"
			s.admits(3, 0, known)
			known.Addr = netip.MustParseAddr("192.0.2.2") // from any address
			s.admits(0, 0, known)
			// Calls without a known key count by address, not together.
			s.admits(3, 0, call("/api/x", "192.0.2.1"))
			s.admits(3, 0, call("/api/x", "192.0.2.3"))
			other := call("/api/x", "192.0.2.1")
			other.Project, other.Key = "other", "web"
			s.admits(3, 0, other)
		})
	}
	if mustSet(t, api()).ByKey() {
		t.Error("a set that only counts by address asks for keys")
	}
}

// All policies that apply must allow the call, a refused call costs nothing
// under any of them, and the fields describe the policy with the least left.
func TestAlso(t *testing.T) {
	t.Parallel()
	all := trackway.Policy{Name: "all", Paths: []string{"/"}, Also: true, Limit: 5, Window: time.Minute, Per: trackway.PerProj, AllowBelowFloor: true}
	one := api()
	one.Limit = 3
	s := newTester(t, mustSet(t, all, one))
	c := func(addr string) *Call {
		c := call("/api/x", addr)
		c.Project = "p"
		return c
	}
	s.admits(3, 0, c("192.0.2.1"))
	if d := s.l.Allow(s.at(0), c("192.0.2.2")); d.Policy != "all" || d.Remaining != 1 {
		t.Errorf("got %s with %d left, want all with 1", d.Policy, d.Remaining)
	}
	s.admits(1, 0, c("192.0.2.2")) // refused by policy all, so not counted by api
	all.Limit = 50
	s.l.Reload(mustSet(t, all, one))
	s.admits(1, 0, c("192.0.2.2"))
	s.l.Reload(mustSet(t, all)) // policy all did not count api's refusals: it counted 6 calls
	s.admits(44, 0, c("192.0.2.9"))
}

// A refused call changes nothing. It does not even begin a window under the
// policies that would have admitted it.
func TestRefusedBeginsNoWindow(t *testing.T) {
	t.Parallel()
	all := trackway.Policy{Name: "all", Paths: []string{"/"}, Also: true, Limit: 1, Window: 5 * time.Second, AllowBelowFloor: true}
	one := api()
	one.Limit, one.Window, one.Per = 1, 20*time.Second, trackway.PerIPPath
	s := newTester(t, mustSet(t, all, one))
	s.admits(1, 0, call("/api/x", "192.0.2.1"))
	s.admits(0, time.Second, call("/api/y", "192.0.2.1"))
	s.admits(1, 6*time.Second, call("/api/y", "192.0.2.1"))
	// The last call was 15 s ago, and the limit is one in 20 s.
	s.admits(0, 21*time.Second, call("/api/y", "192.0.2.1"))
	s.admits(1, 26*time.Second, call("/api/y", "192.0.2.1"))
}

func TestReportRefusesNothing(t *testing.T) {
	t.Parallel()
	p := api()
	p.Mode, p.Limit = trackway.Report, 2
	s := newTester(t, mustSet(t, p))
	var d Decision
	for range 5 {
		d = s.l.Allow(s.at(0), call("/api/x", "192.0.2.1"))
		if !d.Allowed || !d.Limited {
			t.Fatalf("got %+v, want allowed and counted", d)
		}
	}
	if d.Remaining != 0 {
		t.Errorf("%d remain, want 0", d.Remaining)
	}
	// The call was over the limit: it took nothing.
	s.l.Refund(s.at(0), call("/api/x", "192.0.2.1"), &d)
	s.l.Reload(mustSet(t, func() trackway.Policy { p.Mode = trackway.Enforce; return p }()))
	s.admits(0, 0, call("/api/x", "192.0.2.1"))
	if got, want := s.counts(0), (Counts{Calls: 6, Refused: 1, WouldRefuse: 3, Callers: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCandidate(t *testing.T) {
	t.Parallel()
	for candidate, not := range map[uint32]uint64{10: 40, 40: 10, 60: 0} {
		p := api()
		p.Candidate = candidate
		s := newTester(t, mustSet(t, p))
		for range 50 {
			s.l.Allow(s.at(0), call("/api/x", "192.0.2.1"))
		}
		if got, want := s.counts(0), (Counts{Calls: 50, Refused: 20, CandidateRefused: not, Callers: 1}); got != want {
			t.Errorf("candidate %d: got %+v, want %+v", candidate, got, want)
		}
	}
}

// The wider range counts a candidate, too, and refunds it.
func TestCandidateOfARange(t *testing.T) {
	t.Parallel()
	p := api()
	p.Limit, p.Candidate, p.IPv6Wide = 100, 3, trackway.IPv6Wide{Prefix: 48, Times: 2}
	s := newTester(t, mustSet(t, p))
	ask := func(n int, addr string) (last Decision) {
		for range n {
			last = s.l.Allow(s.at(0), call("/api/x", addr))
		}
		return last
	}
	not := func() uint64 { return s.counts(0).CandidateRefused }
	last := ask(2, "2001:db8:1::1") // the first /64 of the /48: the two have the same first address
	ask(2, "2001:db8:1:2::1")
	ask(2, "2001:db8:1:3::1")
	if n := not(); n != 0 {
		t.Errorf("the candidate would have refused %d calls, want 0", n)
	}
	ask(4, "2001:db8:1:4::1")
	if n := not(); n != 4 {
		t.Errorf("the candidate would have refused %d calls, want those over 6 of the range", n)
	}
	s.l.Refund(s.at(0), call("/api/x", "2001:db8:1::1"), &last)
	if ask(2, "2001:db8:1:5::1"); not() != 5 {
		t.Errorf("the candidate would have refused %d calls, want one more: one was given back", not())
	}
}

func TestOverrides(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix
	p := api()
	p.Limit = 3
	now := time.Now()
	s := newTester(t, mustSetWith(t, []trackway.Override{
		{Policy: "api", Address: prefix("203.0.113.0/24"), Limit: 6},
		{Policy: "api", Address: prefix("203.0.113.128/25"), Limit: 1},
		{Policy: "api", Address: prefix("203.0.113.200/32"), Limit: 0},
		{Policy: "api", Address: prefix("203.0.113.7/32"), Limit: 9, Until: now.Add(time.Hour)},
		{Policy: "api", Address: prefix("203.0.113.8/32"), Limit: 9, Until: now.Add(-time.Hour)},
		{Policy: "api", Address: prefix("::ffff:198.51.100.0/120"), Limit: 2},
		{Policy: "api", Address: prefix("2001:db8::/32"), Unlimited: true},
		{Policy: "api", Key: "backend", Limit: 8},
		{Policy: "api", Project: "token", Limit: 7},
	}, p))
	s.admits(3, 0, call("/api/x", "192.0.2.1"))
	s.admits(6, 0, call("/api/x", "203.0.113.1"))
	s.admits(1, 0, call("/api/x", "203.0.113.129"))
	s.admits(0, 0, call("/api/x", "203.0.113.200"))
	s.admits(9, 0, call("/api/x", "203.0.113.7"))
	s.admits(6, 0, call("/api/x", "203.0.113.8")) // ended: the wider range's override holds
	s.admits(2, 0, call("/api/x", "198.51.100.1"))
	s.free(call("/api/x", "2001:db8::1"))

	by := func(addr, project, key string) *Call {
		c := call("/api/x", addr)
		c.Project, c.Key = project, key
		return c
	}
	s.admits(8, 0, by("192.0.2.2", "token", "backend"))
	s.admits(7, 0, by("192.0.2.3", "token", "web"))
	s.admits(0, 0, by("203.0.113.200", "token", "backend")) // a key does not lift a block
}

func TestBlocked(t *testing.T) {
	t.Parallel()
	set := func(mode trackway.Mode) *Set {
		p := api()
		p.Mode = mode
		return mustSetWith(t, []trackway.Override{{Policy: "api", Address: netip.MustParsePrefix("192.0.2.0/24")}}, p)
	}
	s := newTester(t, set(trackway.Enforce))
	d := s.l.Allow(s.at(0), call("/api/x", "192.0.2.1"))
	want := `{"status":429,"error":"rate limit","message":"Too many requests. Limit to max 0 per 30 seconds. Try again in 30 seconds."}`
	if got := string(d.AppendBody(nil)); d.Allowed || got != want {
		t.Errorf("allowed %v, body\n%s, want\n%s", d.Allowed, got, want)
	}
	s.l.Reload(set(trackway.Report))
	if d := s.l.Allow(s.at(0), call("/api/x", "192.0.2.1")); !d.Allowed {
		t.Error("a policy that reports refuses a blocked caller")
	}
}

// One /64 is one caller, and one /48 has at most as many callers as the policy
// says.
func TestIPv6(t *testing.T) {
	t.Parallel()
	p := api()
	p.Limit, p.IPv6Wide = 2, trackway.IPv6Wide{Prefix: 48, Times: 3}
	s := newTester(t, mustSet(t, p))
	s.admits(2, 0, call("/api/x", "2001:db8:1:1::1"))
	s.admits(0, 0, call("/api/x", "2001:db8:1:1:ffff::2"))
	s.admits(2, 0, call("/api/x", "2001:db8:1:2::1"))
	s.admits(2, 0, call("/api/x", "2001:db8:1:3::1"))
	last := call("/api/x", "2001:db8:1:4::1")
	s.l.Allow(s.at(0), last)
	d := s.l.Allow(s.at(0), last)
	if d.Allowed || d.Limit != 6 {
		t.Errorf("got allowed %v by a limit of %d, want refused by the /48's 6", d.Allowed, d.Limit)
	}
	s.admits(2, 0, call("/api/x", "2001:db8:2:1::1")) // another /48
	p.IPv6Wide = trackway.IPv6Wide{}
	s.l.Reload(mustSet(t, p))
	s.admits(2, 0, last) // the refusals of the /48 cost the /64 nothing
	p.IPv6Prefix = 128
	s.l.Reload(mustSet(t, p))
	s.admits(2, 0, call("/api/x", "2001:db8:1:1::1"))
	s.admits(2, 0, call("/api/x", "2001:db8:1:1::2"))
}

// A caller with a higher limit of their own takes nothing from the range of
// their neighbors.
func TestOverrideInARange(t *testing.T) {
	t.Parallel()
	p := api()
	p.Limit, p.IPv6Wide = 2, trackway.IPv6Wide{Prefix: 48, Times: 2}
	override := trackway.Override{Policy: "api", Address: netip.MustParsePrefix("2001:db8:1:1::/64"), Limit: 50}
	s := newTester(t, mustSetWith(t, []trackway.Override{override}, p))
	s.admits(50, 0, call("/api/x", "2001:db8:1:1::1"))
	s.admits(2, 0, call("/api/x", "2001:db8:1:2::1"))
	s.admits(2, 0, call("/api/x", "2001:db8:1:3::1"))
	s.admits(0, 0, call("/api/x", "2001:db8:1:4::1")) // the limit of the range is used up
	override.Limit = 60
	s.l.Reload(mustSetWith(t, []trackway.Override{override}, p))
	s.admits(10, 0, call("/api/x", "2001:db8:1:1::1"))
	s.l.Reload(mustSet(t, p))
	s.admits(0, 0, call("/api/x", "2001:db8:1:1::1")) // no count was lost
}

func TestMappedAddressesAreIPv4(t *testing.T) {
	t.Parallel()
	p := api()
	p.Limit, p.IPv6Wide = 2, trackway.IPv6Wide{Prefix: 48, Times: 1}
	s := newTester(t, mustSet(t, p))
	s.admits(2, 0, call("/api/x", "::ffff:192.0.2.1"))
	s.admits(0, 0, call("/api/x", "192.0.2.1"))
	s.admits(2, 0, call("/api/x", "::ffff:192.0.2.2")) // mapped addresses are not one caller
}

// A call without an address belongs to nobody: it must not use up a count that
// others share.
func TestNoAddress(t *testing.T) {
	t.Parallel()
	s := newTester(t, mustSet(t, api()))
	s.free(&Call{Method: "GET", Path: "/api/x"})
}

func TestNotModifiedCostsNothing(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []trackway.Algorithm{trackway.Fixed, trackway.Sliding, trackway.GCRA} {
		t.Run(string(algorithm), func(t *testing.T) {
			t.Parallel()
			p := api()
			p.Algorithm, p.Candidate, p.IPv6Wide = algorithm, 20, trackway.IPv6Wide{Prefix: 48, Times: 2}
			also := trackway.Policy{Name: "also", Paths: []string{"/api/"}, Also: true, Limit: 40, Window: time.Minute}
			s := newTester(t, mustSet(t, p, also))
			c := call("/api/x", "2001:db8::1")
			first := s.l.Allow(s.at(0), c)
			for range 100 {
				d := s.l.Allow(s.at(time.Millisecond), c)
				// The receipt belongs to the set that admitted the call.
				s.l.Reload(mustSet(t, also, p))
				s.l.Refund(s.at(2*time.Millisecond), c, &d)
			}
			if d := s.l.Allow(s.at(time.Millisecond), c); d.Remaining != first.Remaining-1 {
				t.Errorf("%d remain, want %d", d.Remaining, first.Remaining-1)
			}
			if got := s.counts(1); got.CandidateRefused != 0 {
				t.Errorf("the candidate would have refused %d calls, want 0", got.CandidateRefused)
			}
			var never Decision
			s.l.Refund(s.at(0), c, &never)
		})
	}
}

func TestReloadKeepsCounts(t *testing.T) {
	t.Parallel()
	p := api()
	s := newTester(t, mustSet(t, p))
	for range 10 {
		s.l.Allow(s.at(0), call("/api/x", "192.0.2.1"))
	}
	other := trackway.Policy{Name: "first", Paths: []string{"/first/"}, Limit: 1, Window: time.Minute}
	p.Limit = 12
	s.l.Reload(mustSet(t, other, p)) // moving a policy in the file does not change it
	s.admits(2, 0, call("/api/x", "192.0.2.1"))
	p.Algorithm = trackway.GCRA
	s.l.Reload(mustSet(t, p))
	s.admits(1, 0, call("/api/x", "192.0.2.1")) // another way to count starts at zero
	for i := range 1000 {                       // names come and go: their classes are reused
		p.Name = string(rune('a'+i%26)) + string(rune('a'+i/26%26))
		s.l.Reload(mustSet(t, p))
	}
	s.admits(1, 0, call("/api/x", "192.0.2.1"))
}

// A step of the clock neither refills nor freezes a counter. The reset time
// moves with the clock.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{-24 * time.Hour, -time.Second, time.Second, 24 * time.Hour} {
		p := api()
		p.Limit = 2
		s := newTester(t, mustSet(t, p))
		s.l.base = time.Now()
		c := call("/api/x", "192.0.2.1")
		s.admits(2, 0, c)
		stepped := stepWall(s.at(10*time.Second), step)
		if got := stepped.Sub(s.l.base); got != 10*time.Second {
			t.Fatalf("the test's own clock is wrong: %v have passed, want 10s", got)
		}
		d := s.l.Allow(stepped, c)
		if d.Allowed || d.RetryAfter() != 20 {
			t.Errorf("step of %v: allowed %v, retry after %d s, want refused for 20", step, d.Allowed, d.RetryAfter())
		}
		if want := stepped.Add(20 * time.Second).UnixMilli(); want > d.Reset*1000 || want <= (d.Reset-1)*1000 {
			t.Errorf("step of %v: reset %d, want %d ms rounded up", step, d.Reset, want)
		}
		if d := s.l.Allow(stepWall(s.at(30*time.Second), step), c); !d.Allowed {
			t.Errorf("step of %v: refused after the window", step)
		}
	}
}

// stepWall returns t as it is read after the wall clock was set forward by
// step. Only the operating system can make such a time, so stepWall writes into
// t (package time: 33 bits of seconds and 30 bits of nanoseconds in wall, if
// its top bit is set).
func stepWall(t time.Time, step time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(step/time.Second) << 30
	return t
}

func TestAllowDoesNotAllocate(t *testing.T) {
	p := api()
	p.Per, p.Candidate, p.IPv6Wide = trackway.PerIPPath, 10, trackway.IPv6Wide{Prefix: 48, Times: 16}
	also := trackway.Policy{Name: "also", Paths: []string{"/api/"}, Also: true, Limit: 40, Window: time.Minute, Per: trackway.PerKey}
	s := &tester{l: New(mustSetWith(t, []trackway.Override{{Policy: "also", Address: netip.MustParsePrefix("192.0.2.0/24"), Limit: 7}}, p, also), 100)}
	now := time.Now()
	for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
		c := call("/api/x", addr)
		c.Project, c.Key = "token", "web"
		if n := allocs.PerRun(500, func() {
			d := s.l.Allow(now, c)
			s.l.Refund(now, c, &d)
			now = now.Add(time.Millisecond)
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", addr, n)
		}
	}
}

package limit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/allocs"
	"trackway/internal/limit/share"
)

// sharing is servers that share limits, without a network between them.
type sharing struct {
	now     time.Time
	servers []*Limiter
	asks    int
	down    int // this server does not answer; -1: all do
}

// link is what one server knows of the others.
type link struct {
	*sharing

	rank int
}

func (l link) Part(time.Duration) share.Part { return share.Part{Rank: l.rank, Of: len(l.servers)} }

func (l link) Borrow(c share.Counter, a *share.Ask, _ bool, since uint64) uint64 {
	lent := uint32(0)
	a.Most = a.Limit
	for i, other := range l.servers {
		if i == l.rank || i == l.down {
			continue
		}
		l.asks++
		n := other.Lend(l.now, a)
		if !l.servers[l.rank].Borrowed(l.now, c, n) && n > 0 {
			panic("a window has ended at once")
		}
		lent += n
	}
	if lent == 0 && l.down < 0 {
		l.servers[l.rank].Dry(l.now, c)
	}
	return since + uint64(lent)
}

func newSharing(t testing.TB, n int, overrides []trackway.Override, policies ...trackway.Policy) *sharing {
	t.Helper()
	s := &sharing{now: time.Now(), down: -1}
	for i := range n {
		s.servers = append(s.servers, NewAt(s.now, mustSetWith(t, overrides, policies...), 1000))
		s.servers[i].ShareWith(link{s, i})
	}
	return s
}

// admitted makes calls, each at the server that to returns, and counts those
// that were admitted.
func (s *sharing) admitted(calls int, c *Call, to func(i int) int) (n int) {
	for i := range calls {
		if d := s.servers[to(i)].Allow(s.now, c); d.Allowed {
			n++
		}
	}
	return n
}

func shared(limit uint32, per trackway.Per) trackway.Policy {
	return trackway.Policy{Name: "shared", Paths: []string{"/api/"}, Limit: limit, Window: time.Minute, Per: per, Shared: true}
}

// However a caller spreads its calls, the servers together admit the limit, no
// more and no less.
func TestSharedLimit(t *testing.T) {
	t.Parallel()
	wide := shared(30, trackway.PerIP)
	wide.IPv6Wide = trackway.IPv6Wide{Prefix: 48, Times: 16}
	also := shared(25, trackway.PerProj)
	also.Also = true
	spreads := map[string]func(int) int{
		"evenly":       func(i int) int { return i % 3 },
		"one server":   func(int) int { return 1 },
		"changing":     func(i int) int { return i / 40 % 3 },
		"mostly one":   func(i int) int { return max(0, i%20-17) },
		"two of three": func(i int) int { return i % 2 },
		"at random":    func(int) int { return rand.IntN(3) },
	}
	for name, test := range map[string]struct {
		policy trackway.Policy
		over   []trackway.Override
		want   int
	}{
		"address":          {policy: shared(100, trackway.PerIP), want: 100},
		"address, route":   {policy: shared(31, trackway.PerIPPath), want: 31},
		"key":              {policy: shared(32, trackway.PerKey), want: 32},
		"project":          {policy: shared(1000, trackway.PerProj), want: 1000},
		"one call":         {policy: shared(1, trackway.PerIP), want: 1},
		"two calls":        {policy: shared(2, trackway.PerIP), want: 2},
		"on top of others": {policy: also, want: 25},
		"override":         {policy: shared(100, trackway.PerIP), over: []trackway.Override{{Policy: "shared", Address: netip.MustParsePrefix("2001:db8::/32"), Limit: 7}}, want: 7},
		"blocked":          {policy: shared(100, trackway.PerIP), over: []trackway.Override{{Policy: "shared", Key: "web"}}, want: 0},
		"wide range":       {policy: wide, want: 30},
	} {
		for how, to := range spreads {
			s := newSharing(t, 3, test.over, test.policy)
			c := call("/api/x", "2001:db8::1")
			c.Project, c.Key = "token", "web"
			if got := s.admitted(3000, c, to); got != test.want {
				t.Errorf("%s, %s: %d calls were admitted, want %d", name, how, got, test.want)
			}
			if rounds := 2 * 3 * 40; s.asks > rounds {
				t.Errorf("%s, %s: %d asks, want at most %d", name, how, s.asks, rounds)
			}
			other := call("/api/x", "2001:db9::2")
			other.Project, other.Key = "other", "key"
			if d := s.servers[0].Allow(s.now, other); !d.Allowed {
				t.Errorf("%s, %s: another caller is refused", name, how)
			}
			s.now = s.now.Add(time.Minute)
			if got := s.admitted(3000, c, to); got != test.want {
				t.Errorf("%s, %s: in the next window %d calls were admitted, want %d", name, how, got, test.want)
			}
		}
	}
}

// The callers of a wider range share its limit, on all servers together.
func TestSharedLimitOfRange(t *testing.T) {
	t.Parallel()
	p := shared(10, trackway.PerIP)
	p.IPv6Wide = trackway.IPv6Wide{Prefix: 48, Times: 3}
	s := newSharing(t, 3, nil, p)
	got := 0
	for i := range 40 {
		got += s.admitted(5, call("/api/x", fmt.Sprintf("2001:db8:0:%x::1", i)), func(n int) int { return (n + i) % 3 })
	}
	if got != 30 {
		t.Errorf("%d calls of a /48 were admitted, want 30", got)
	}
}

// A policy that only reports refuses nobody, and counts the calls over the
// limit of all servers.
func TestSharedReport(t *testing.T) {
	t.Parallel()
	p := shared(30, trackway.PerIP)
	p.Mode = trackway.Report
	s := newSharing(t, 3, nil, p)
	if got := s.admitted(90, call("/api/x", "192.0.2.1"), func(i int) int { return i % 3 }); got != 90 {
		t.Errorf("%d of 90 calls were admitted", got)
	}
	would := uint64(0)
	for _, l := range s.servers {
		would += l.Usage(s.now).Policies[0].WouldRefuse
	}
	if would != 60 {
		t.Errorf("%d calls are over the limit, want 60", would)
	}
}

// A server that has no calls left asks the others before it says so.
func TestSharedRemaining(t *testing.T) {
	t.Parallel()
	s := newSharing(t, 3, nil, shared(30, trackway.PerIP))
	c := call("/api/x", "192.0.2.1")
	for i := range 30 {
		d := s.servers[0].Allow(s.now, c)
		if !d.Allowed || d.Limit != 30 || (d.Remaining == 0) != (i == 29) {
			t.Errorf("call %d: %+v", i, d)
		}
	}
	if d := s.servers[0].Allow(s.now, c); d.Allowed || d.RetryAfter() != 60 {
		t.Errorf("got %+v, want a refusal", d)
	}
	asks := s.asks
	s.admitted(1000, c, func(int) int { return 0 })
	if s.asks != asks {
		t.Errorf("a refused caller costs %d asks", s.asks-asks)
	}
	if d := s.servers[1].Allow(s.now, c); d.Allowed {
		t.Error("a lender admits what it has lent")
	}
}

// A server that does not answer costs its share, and nothing else.
func TestSharedWithoutOne(t *testing.T) {
	t.Parallel()
	s := newSharing(t, 3, nil, shared(300, trackway.PerIP))
	s.down = 2
	if got := s.admitted(900, call("/api/x", "192.0.2.1"), func(i int) int { return i % 2 }); got != 200 {
		t.Errorf("two of three servers admit %d calls, want their shares of 300", got)
	}
}

// A caller that stays below three quarters of a share costs the others nothing:
// neither an ask nor a counter.
func TestSharedSpray(t *testing.T) {
	t.Parallel()
	s := newSharing(t, 3, nil, shared(30, trackway.PerIP))
	for i := range 200 {
		s.admitted(7, call("/api/x", fmt.Sprintf("192.0.2.%d", i)), func(int) int { return 0 })
	}
	if used := s.servers[1].Usage(s.now).Table.Used; s.asks != 0 || used != 0 {
		t.Errorf("callers below their shares cost %d asks, and %d counters elsewhere", s.asks, used)
	}
}

// A call that a later policy refuses is given back on the shared one, and a 304
// is too.
func TestSharedRefund(t *testing.T) {
	t.Parallel()
	narrow := trackway.Policy{Name: "narrow", Paths: []string{"/api/"}, Also: true, Limit: 2, Window: time.Second, Per: trackway.PerProj}
	s := newSharing(t, 2, nil, shared(10, trackway.PerIP), narrow)
	c := call("/api/x", "192.0.2.1")
	c.Project = "token"
	if got := s.admitted(50, c, func(int) int { return 0 }); got != 2 {
		t.Fatalf("%d calls were admitted, want 2", got)
	}
	c.Project = "another"
	d := s.servers[0].Allow(s.now, c)
	s.servers[0].Refund(s.now, c, &d)
	if d.Remaining != 1 {
		t.Errorf("got %+v, want one call left under the narrow policy", d)
	}
	for i := range 8 {
		c.Project = strconv.Itoa(i)
		if d := s.servers[i%2].Allow(s.now, c); !d.Allowed {
			t.Errorf("call %d: refused calls have cost something", i)
		}
	}
}

// A policy keeps its counts when it is shared, or is shared no more.
func TestSharedReload(t *testing.T) {
	t.Parallel()
	own := shared(10, trackway.PerIP)
	own.Shared = false
	s := newSharing(t, 2, nil, own)
	c := call("/api/x", "192.0.2.1")
	s.admitted(4, c, func(int) int { return 0 })
	for _, l := range s.servers {
		l.Reload(mustSet(t, shared(10, trackway.PerIP)))
	}
	if got := s.admitted(50, c, func(i int) int { return i % 2 }); got != 6 {
		t.Errorf("%d more calls were admitted once the limit was shared, want 6", got)
	}
	s.servers[0].Reload(mustSet(t, own))
	if got := s.admitted(50, c, func(int) int { return 0 }); got > 10 {
		t.Errorf("%d more calls were admitted once the limit was not shared", got)
	}
	ask := share.Ask{Policy: s.servers[0].force.Load().policies[0].identity, Limit: 10, Most: 10, Left: 1000}
	if n := s.servers[0].Lend(s.now, &ask); n != 0 {
		t.Errorf("%d calls of a limit that is not shared were lent", n)
	}
}

func TestSharedIsChecked(t *testing.T) {
	t.Parallel()
	change := func(f func(*trackway.Policy)) []trackway.Policy {
		p := shared(30, trackway.PerIP)
		f(&p)
		return []trackway.Policy{p}
	}
	for want, policies := range map[string][]trackway.Policy{
		"only a limit with the algorithm fixed can be shared, not sliding": change(func(p *trackway.Policy) { p.Algorithm = trackway.Sliding }),
		"only a limit with the algorithm fixed can be shared, not gcra":    change(func(p *trackway.Policy) { p.Algorithm = trackway.GCRA }),
		"a limit with a candidate cannot be shared":                        change(func(p *trackway.Policy) { p.Candidate = 5 }),
		"must be at most 2097151 if it is shared":                          change(func(p *trackway.Policy) { p.Limit = 3e6 }),
	} {
		if _, err := NewSet(policies, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	_, err := NewSet([]trackway.Policy{shared(30, trackway.PerIP)}, []trackway.Override{{Policy: "shared", Key: "web", Limit: 3e6}})
	if err == nil || !strings.Contains(err.Error(), "because the limit of the policy is shared") {
		t.Errorf("got %v for an override that is too large", err)
	}
}

func TestSharedDoesNotAllocate(t *testing.T) {
	s := newSharing(t, 3, nil, shared(1e6, trackway.PerIPPath), trackway.Policy{
		Name: "key", Paths: []string{"/api/"}, Also: true, Limit: 1e6, Window: time.Minute, Per: trackway.PerKey, Shared: true,
	})
	c := call("/api/x", "192.0.2.1")
	c.Project, c.Key = "token", "web"
	if n := allocs.PerRun(500, func() { s.servers[0].Allow(s.now, c) }); n != 0 || s.asks != 0 {
		t.Errorf("%v allocations and %d asks, want none", n, s.asks)
	}
}

// BenchmarkShared counts calls of a caller under one policy: alone, and within
// this server's share.
func BenchmarkShared(b *testing.B) {
	for _, is := range []bool{false, true} {
		p := shared(2e6, trackway.PerIP)
		p.Shared, p.Window = is, time.Second
		s := newSharing(b, 3, nil, p)
		c := call("/api/x", "192.0.2.1")
		b.Run(fmt.Sprintf("shared=%v", is), func(b *testing.B) {
			b.ReportAllocs()
			now := s.now
			for i := range b.N {
				if i%4e5 == 0 {
					now = now.Add(time.Second)
				}
				s.servers[0].Allow(now, c)
			}
		})
	}
}

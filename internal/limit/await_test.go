package limit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trackway"
)

// If several policies refuse a call, the answer is that of the policy that
// refuses for longest.
func TestLongestWait(t *testing.T) {
	t.Parallel()
	one, all := api(), trackway.Policy{Name: "all", Paths: []string{"/"}, Also: true, Limit: 2, Window: time.Hour, AllowBelowFloor: true}
	one.Limit, one.Per = 2, trackway.PerIPPath
	s := newTester(t, mustSet(t, one, all))
	s.admits(2, 0, call("/api/x", "192.0.2.1"))
	d := s.l.Allow(s.at(time.Second), call("/api/x", "192.0.2.1"))
	if d.Allowed || d.Policy != "all" || d.Wait != time.Hour-time.Second || d.Limit != 2 || d.Remaining != 0 {
		t.Errorf("got %+v, want a refusal by all, for an hour less a second", d)
	}
	if one, all := s.counts(0), s.counts(1); one.Refused != 2 || all.Refused != 0 {
		t.Errorf("got %+v and %+v, want each call refused once, by the first policy that it met", one, all)
	}
	all.Mode = trackway.Report
	s.l.Reload(mustSet(t, one, all))
	if d := s.l.Allow(s.at(time.Second), call("/api/x", "192.0.2.1")); d.Policy != "api" || d.Wait != 29*time.Second {
		t.Errorf("got %+v: a policy that refuses nothing keeps nobody waiting", d)
	}
	all.Mode = trackway.Enforce
	blocked := trackway.Override{Policy: "all", Address: netip.MustParsePrefix("192.0.2.1/32")}
	s.l.Reload(mustSetWith(t, []trackway.Override{blocked}, one, all))
	if d := s.l.Allow(s.at(time.Second), call("/api/x", "192.0.2.1")); d.Policy != "all" || d.Limit != 0 || d.Wait != time.Hour {
		t.Errorf("got %+v, want the refusal of one who is blocked", d)
	}
	s.l.Reload(mustSetWith(t, []trackway.Override{{Policy: "all", Address: blocked.Address, Unlimited: true}}, one, all))
	if d := s.l.Allow(s.at(time.Second), call("/api/x", "192.0.2.1")); d.Policy != "api" {
		t.Errorf("got %+v: a policy that he is exempt from keeps nobody waiting", d)
	}
}

// The same holds for an IPv6 caller and their wider range.
func TestLongestWaitOfARange(t *testing.T) {
	t.Parallel()
	p := api()
	p.Limit, p.IPv6Wide = 2, trackway.IPv6Wide{Prefix: 48, Times: 1}
	s := newTester(t, mustSet(t, p))
	mine, other := call("/api/x", "2001:db8:1:1::1"), call("/api/x", "2001:db8:1:2::1")
	mine.Route, other.Route = "x", "x"
	s.l.Allow(s.at(0), mine)
	s.l.Allow(s.at(40*time.Second), other) // starts the range's next window
	s.l.Allow(s.at(50*time.Second), mine)
	if d := s.l.Allow(s.at(51*time.Second), mine); d.Allowed || d.Wait != 19*time.Second {
		t.Errorf("got %+v, want the wait of the range", d)
	}
	p.IPv6Wide.Times, p.Limit = 2, 1
	s = newTester(t, mustSet(t, p))
	s.l.Allow(s.at(0), other)
	s.l.Allow(s.at(10*time.Second), mine)
	s.l.Allow(s.at(31*time.Second), other)
	s.l.Allow(s.at(31*time.Second), call("/api/x", "2001:db8:1:3::1"))
	if d := s.l.Allow(s.at(32*time.Second), mine); d.Allowed || d.Wait != 29*time.Second || d.Limit != 2 {
		t.Errorf("got %+v, want the wait of the range, which is longer than the caller's own 8 s", d)
	}
}

// Under any policies, a caller who waits as long as a refusal says is admitted
// if nobody else calls, and not a millisecond earlier.
func TestRetryAfterIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var policies []trackway.Policy
		algorithms := []trackway.Algorithm{trackway.Fixed, trackway.Sliding, trackway.GCRA}
		for i := range rapid.IntRange(1, 3).Draw(t, "policies") {
			policies = append(policies, trackway.Policy{
				Name: fmt.Sprint("p", i), Paths: []string{"/api/"}, Also: i > 0, IPv6Wide: trackway.IPv6Wide{Prefix: 48, Times: 2},
				Per:       rapid.SampledFrom([]trackway.Per{trackway.PerIP, trackway.PerIPPath}).Draw(t, "per"),
				Limit:     rapid.Uint32Range(2, 6).Draw(t, "limit"),
				Window:    time.Duration(rapid.IntRange(1, 9).Draw(t, "window")) * time.Second,
				Algorithm: rapid.SampledFrom(algorithms).Draw(t, "algorithm"),
			})
		}
		set, err := NewSet(policies, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, at := New(set, 1000), time.Duration(0)
		for range 60 {
			at += time.Duration(rapid.IntRange(0, 700).Draw(t, "ms")) * time.Millisecond
			c := call("/api/x", fmt.Sprintf("2001:db8:1:%d::1", rapid.IntRange(1, 3).Draw(t, "caller")))
			c.Route = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "route")
			if d := l.Allow(l.base.Add(at), c); !d.Allowed {
				if early := l.Allow(l.base.Add(at+d.Wait-time.Millisecond), c); early.Allowed {
					t.Fatalf("told to wait %v by %s, admitted a millisecond before", d.Wait, d.Policy)
				}
				if at += d.Wait; !l.allows(at, c) {
					t.Fatalf("told to wait %v by %s, and refused then", d.Wait, d.Policy)
				}
			}
		}
	})
}

func (l *Limiter) allows(at time.Duration, c *Call) bool {
	d := l.Allow(l.base.Add(at), c)
	return d.Allowed
}

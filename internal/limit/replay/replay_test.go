package replay

import (
	"cmp"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/clientip"
	"trackway/internal/config"
	"trackway/internal/limit"
	"trackway/internal/limit/traffic"
)

const token = "12345678-1234-1234-1234-123456789abc"

var (
	base   = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	tokens = map[string]string{"shop": token}
	// kinds and addresses are in the order in which rows of one moment are
	// played.
	kinds = []traffic.Kind{
		{Method: "GET", Route: "/", Path: "/api/none"},
		{Method: "GET", Route: "/api/projects/{token}/stats", Path: "/api/projects/" + token + "/stats", Project: "shop", Key: "back"},
		{Method: "GET", Route: "/api/status", Path: "/api/status"},
		{Method: "POST", Route: "/track/v2/projects/{token}/batch", Path: "/track/v2/projects/" + token + "/batch", Project: "shop", Key: "web"},
	}
	addresses = []netip.Addr{
		netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("203.0.113.7"),
		netip.MustParseAddr("2001:db8:0:1::"), netip.MustParseAddr("2001:db8:0:2::"), netip.MustParseAddr("2001:db8:1::"),
	}
)

// drawLimits returns limits that apply to calls of kinds.
func drawLimits(t *rapid.T) Limits {
	policy := func(name string, paths ...string) trackway.Policy {
		p := trackway.Policy{
			Name: name, Paths: paths, Limit: rapid.Uint32Range(1, 12).Draw(t, "limit"), AllowBelowFloor: true,
			Window:     time.Duration(rapid.IntRange(1, 12).Draw(t, "window")) * time.Second,
			Per:        rapid.SampledFrom([]trackway.Per{trackway.PerIP, trackway.PerIPPath, trackway.PerKey, trackway.PerProj}).Draw(t, "per"),
			Algorithm:  rapid.SampledFrom([]trackway.Algorithm{trackway.Fixed, trackway.Sliding, trackway.GCRA}).Draw(t, "algorithm"),
			Mode:       rapid.SampledFrom([]trackway.Mode{trackway.Enforce, trackway.Enforce, trackway.Report, trackway.Off}).Draw(t, "mode"),
			IPv6Prefix: 64,
		}
		if rapid.Bool().Draw(t, "wide") {
			p.IPv6Wide = trackway.IPv6Wide{Prefix: 48, Times: rapid.Uint32Range(1, 2).Draw(t, "times")}
		}
		return p
	}
	l := Limits{Tokens: tokens, Callers: 1000, Policies: []trackway.Policy{
		policy("a", "/api/", "GET /api/projects/*/stats"), policy("b", "/api/projects/"+token+"/", "POST /track/"), policy("c", "/"),
	}}
	l.Policies[2].Also = rapid.Bool().Draw(t, "also")
	for i, o := range []trackway.Override{{Address: netip.MustParsePrefix("192.0.2.0/31")}, {Key: "web"}, {Project: token}} {
		if rapid.Bool().Draw(t, "override") {
			o.Policy = l.Policies[i].Name
			o.Limit, o.Unlimited = rapid.Uint32Range(0, 20).Draw(t, "limit"), rapid.Bool().Draw(t, "unlimited")
			o.Until = base.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "until")) * time.Second)
			l.Overrides = append(l.Overrides, o)
		}
	}
	return l
}

// touch is a policy and one of its callers.
type touch struct{ policy, caller, route string }

// server enforces limits as internal/api does, and counts the calls over them
// by caller.
type server struct {
	limiter *limit.Limiter
	per     map[string]trackway.Policy
	refused map[touch]uint64
}

func newServer(t *rapid.T, l Limits) *server {
	set, err := limit.NewSet(l.Policies, l.Overrides)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{limit.NewAt(base, set, 1000), map[string]trackway.Policy{}, map[touch]uint64{}}
	for _, p := range set.Policies() {
		s.per[p.Name] = p
	}
	return s
}

// call makes a call. It refunds an admitted call at once if the caller already
// has the answer.
func (s *server) call(at time.Time, c *limit.Call, has bool) limit.Decision {
	d := s.limiter.Allow(at, c)
	for _, name := range d.Over() {
		s.over(c, name)
	}
	switch {
	case !d.Allowed:
		s.over(c, d.Policy)
	case has:
		s.limiter.Refund(at, c, &d)
	}
	return d
}

// over counts a call that is over a policy's limit.
func (s *server) over(c *limit.Call, name string) {
	who := touch{policy: name, caller: clientip.KeyOf(c.Addr, 64).String()}
	switch per := s.per[name].Per; {
	case per == trackway.PerKey && c.Key != "":
		who.caller = "shop/" + c.Key
	case per == trackway.PerProj && c.Project != "":
		who.caller = "shop"
	case per == trackway.PerIPPath:
		who.route = c.Route
	}
	s.refused[who]++
}

// turn is a caller who makes some calls of one kind within a second.
type turn struct {
	addr, kind int
	millis     []int
	has        bool // its calls are answered with 304
}

// drawSecond returns turns in the order of time. Either all calls come at once,
// at the second's beginning, or each has a millisecond of its own and nobody
// makes more than two of a kind.
func drawSecond(t *rapid.T, atOnce bool) []turn {
	turns := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) turn {
		return turn{
			addr: rapid.IntRange(0, len(addresses)-1).Draw(t, "address"), kind: rapid.IntRange(0, len(kinds)-1).Draw(t, "kind"),
			has: rapid.IntRange(0, 3).Draw(t, "has") == 0,
		}
	}), 0, 8, func(t turn) [2]int { return [2]int{t.addr, t.kind} }).Draw(t, "turns")
	slices.SortFunc(turns, func(a, b turn) int { return cmp.Or(cmp.Compare(a.addr, b.addr), cmp.Compare(a.kind, b.kind)) })
	free := rapid.Permutation(thousand).Draw(t, "milliseconds")
	for i := range turns {
		n := rapid.IntRange(1, 2).Draw(t, "calls")
		turns[i].millis = free[2*i : 2*i+n]
		if atOnce {
			turns[i].millis = make([]int, rapid.IntRange(1, 30).Draw(t, "calls"))
		}
	}
	return turns
}

var thousand = func() (all []int) {
	for ms := range 1000 {
		all = append(all, ms)
	}
	return all
}()

// For any calls, a simulation agrees with a server: the same policy refuses the
// same calls of the same callers. This also holds under limits other than those
// of the recording. The test writes the record to the disk.
func TestSimulationIsEnforcement(t *testing.T) {
	t.Parallel()
	for name, atOnce := range map[string]bool{"whole seconds": true, "milliseconds": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) { simulationIsEnforcement(t, atOnce) })
		})
	}
}

func simulationIsEnforcement(t *rapid.T, atOnce bool) {
	then, tried := drawLimits(t), drawLimits(t)
	was, would := newServer(t, then), newServer(t, tried)
	dir, err := os.MkdirTemp("", "replay-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	r := traffic.New(dir, []string{"/api/", "/track/"}, slog.New(slog.DiscardHandler))
	r.Reload(traffic.Settings{Record: true, Keep: time.Hour, MaxBytes: 1 << 30, Projects: map[string]string{token: "shop"}})
	calls := uint64(0)
	for second := range rapid.IntRange(1, 30).Draw(t, "seconds") {
		type moment struct {
			ms int
			turn
		}
		var order []moment
		for _, turn := range drawSecond(t, atOnce) {
			for _, ms := range turn.millis {
				order = append(order, moment{ms, turn})
			}
		}
		slices.SortStableFunc(order, func(a, b moment) int { return cmp.Compare(a.ms, b.ms) })
		for _, m := range order {
			k, at := kinds[m.kind], base.Add(time.Duration(second)*time.Second+time.Duration(m.ms)*time.Millisecond)
			c := limit.Call{Addr: addresses[m.addr], Method: k.Method, Path: k.Path, Route: k.Route, Project: tokens[k.Project], Key: k.Key}
			d := was.call(at, &c, m.has)
			r.Note(at, &c, &d)
			if m.has && d.Allowed {
				r.GiveBack(at, &c)
			}
			would.call(at, &c, m.has && d.Allowed)
			calls++
		}
		if rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
			mustFlush(t, r)
		}
	}
	mustFlush(t, r)
	o, err := Simulate(func(yield func(int64, []traffic.Row) error) (traffic.Coverage, error) {
		return traffic.Walk(dir, time.Unix(0, 0), time.Unix(math.MaxInt32, 0), yield)
	}, tried)
	if err != nil {
		t.Fatal(err)
	}
	gotWould, gotWas := map[touch]uint64{}, map[string]uint64{}
	for _, c := range o.Callers {
		if c.Refused > 0 {
			gotWould[touch{c.Policy, c.Caller, c.Route}] = c.Refused
		}
		if c.Was > 0 {
			gotWas[c.Policy] += c.Was
		}
	}
	wantWas := map[string]uint64{}
	for who, n := range was.refused {
		if was.per[who.policy].Mode == trackway.Enforce {
			wantWas[who.policy] += n
		}
	}
	if diff := gocmp.Diff(would.refused, gotWould); diff != "" {
		t.Errorf("refused under %+v (-server +simulation):\n%s", tried, diff)
	}
	if diff := gocmp.Diff(wantWas, gotWas); diff != "" || o.Record.Calls != calls {
		t.Errorf("%d calls, want %d; what was refused (-server +simulation):\n%s", o.Record.Calls, calls, diff)
	}
}

func mustFlush(t *rapid.T, r *traffic.Recorder) {
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
}

// rows is a source in memory.
type rows map[int64][]traffic.Row

func (r rows) source(yield func(int64, []traffic.Row) error) (traffic.Coverage, error) {
	covered := traffic.Coverage{}
	var seconds []int64
	for second := range r {
		seconds = append(seconds, second)
	}
	slices.Sort(seconds)
	for _, second := range seconds {
		if covered.From.IsZero() {
			covered.From = time.Unix(second, 0)
		}
		covered.To = time.Unix(second+1, 0)
		if err := yield(second, slices.Clone(r[second])); err != nil {
			return covered, err
		}
	}
	return covered, nil
}

// drawRows returns calls of some callers to the API. Some callers call much
// more than others.
func drawRows(t *rapid.T) rows {
	all := rows{}
	kind := &traffic.Kind{Method: "GET", Route: "/api/status", Path: "/api/status"}
	for i := range rapid.IntRange(1, 30).Draw(t, "callers") {
		addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		if rapid.IntRange(0, 4).Draw(t, "v6") == 0 {
			addr = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, byte(i)})
		}
		busy := rapid.SampledFrom([]uint32{1, 5, 300}).Draw(t, "busy")
		for _, second := range rapid.SliceOfNDistinct(rapid.Int64Range(0, 60), 1, 8, rapid.ID).Draw(t, "seconds") {
			first := rapid.Uint16Range(0, 999).Draw(t, "first")
			all[second+base.Unix()] = append(all[second+base.Unix()], traffic.Row{
				Addr: addr, Kind: kind, Calls: rapid.Uint32Range(1, busy).Draw(t, "calls"), First: first, Last: rapid.Uint16Range(first, 999).Draw(t, "last"),
			})
		}
	}
	return all
}

// A suggestion keeps its promise, and the next smaller limit would not. The
// test simulates both.
func TestSuggestionKeepsItsPromise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := drawRows(t)
		p := drawLimits(t).Policies[0]
		p.Per, p.Mode = rapid.SampledFrom([]trackway.Per{trackway.PerIP, trackway.PerIPPath}).Draw(t, "per"), trackway.Enforce
		share := rapid.SampledFrom([]float64{50, 90, 99.9, 100}).Draw(t, "share")
		a, err := Suggest(all.source, Limits{Callers: 1000, Policies: []trackway.Policy{p}}, Wish{Share: share})
		if err != nil {
			t.Fatal(err)
		}
		s := a.Suggestions[0]
		may := int(float64(s.Callers)*(100-share)/100 + 1e-9)
		touched := func(limit uint32) PolicyOutcome {
			o, err := Simulate(all.source, Limits{Callers: 1000, Policies: []trackway.Policy{withDefaults(p, limit)}})
			if err != nil {
				t.Fatal(err)
			}
			return o.Policies[0]
		}
		got := touched(s.Then.Limit)
		if got.CallersRefused > may || got.CallersRefused != s.Then.Touched || got.Refused != s.Then.Refused || got.Callers != s.Callers || got.Calls != s.Calls {
			t.Fatalf("%+v of %d callers, of whom %d may be refused: got %+v", s.Then, s.Callers, may, got)
		}
		if i := slices.Index(ladder, s.Then.Limit); i > 0 {
			if below := touched(ladder[i-1]); below.CallersRefused <= may {
				t.Fatalf("%+v of %d callers: %d would do, too: %+v", s.Then, s.Callers, ladder[i-1], below)
			}
		}
		if now := touched(p.Limit); now.CallersRefused != s.Now.Touched || now.Refused != s.Now.Refused {
			t.Fatalf("the configured limit: got %+v, want %+v", s.Now, now)
		}
		if p.Algorithm == trackway.Fixed && p.IPv6Wide.Times == 0 {
			if enough := touched(s.Needed).CallersRefused; enough > may {
				t.Fatalf("%d is said to be needed, but it refuses %d of %d", s.Needed, enough, s.Callers)
			}
			if s.Needed > 1 && touched(s.Needed-1).CallersRefused <= may {
				t.Fatalf("%d is said to be needed, and less would do", s.Needed)
			}
		}
	})
}

// withDefaults returns p as it is in a set, with a limit. Its burst keeps its
// share.
func withDefaults(p trackway.Policy, limit uint32) trackway.Policy {
	if p.Algorithm == trackway.GCRA && p.Burst == 0 {
		p.Burst = max(1, p.Limit/10)
	}
	return withLimit(p, limit)
}

// A suggested line, read as a configuration, yields its policy.
func TestLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawLimits(t).Policies[0]
		want.Name = rapid.StringMatching("[a-z0-9_-]{1,8}|on|no|true|null|1e3|0x1f").Draw(t, "name")
		want.Paths = rapid.SliceOfN(rapid.StringMatching("([A-Z]{3,6} )?/(x[a-z0-9,:!'~%&.-]{0,6}/?)?"), 1, 3).Draw(t, "paths")
		want.Window = time.Duration(rapid.IntRange(1, 86400).Draw(t, "seconds")) * time.Second
		want.Also, want.AllowBelowFloor = rapid.Bool().Draw(t, "also"), rapid.Bool().Draw(t, "floor")
		want.NoLooserThan = rapid.SampledFrom([]string{"", "api", "on"}).Draw(t, "no looser than")
		want.Candidate = rapid.Uint32Range(0, 9).Draw(t, "candidate")
		if want.Algorithm == trackway.GCRA {
			want.Burst = rapid.Uint32Range(1, 9).Draw(t, "burst")
		}
		if want.IPv6Wide.Prefix = 48; want.IPv6Wide.Times == 0 {
			want.IPv6Wide.Prefix = 40
		}
		text := "projects: [{name: demo, token: " + token + "}]\nlimits:\n  " + line(&want) + "\n"
		cfg, err := config.Parse("t.yaml", []byte(text), config.Flags{}, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := gocmp.Diff([]trackway.Policy{want}, cfg.Policies); diff != "" {
			t.Errorf("%s(-want +got):\n%s", text, diff)
		}
	})
}

func TestLadder(t *testing.T) {
	t.Parallel()
	want := []uint32{1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120}
	if diff := gocmp.Diff(want, ladder[:len(want)]); diff != "" || !slices.IsSorted(ladder) {
		t.Errorf("got %v", ladder)
	}
}

// BenchmarkSimulate measures the cost per call of a minute with a thousand
// callers, each of whom calls ten times a second.
func BenchmarkSimulate(b *testing.B) {
	all := rows{}
	for second := range int64(60) {
		for i := range 1000 {
			all[base.Unix()+second] = append(all[base.Unix()+second], traffic.Row{
				Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Kind: &kinds[2], Calls: 10, First: 5, Last: uint16(995 - i%100),
			})
		}
	}
	l := Limits{Tokens: tokens, Callers: 1 << 20, Policies: []trackway.Policy{{Name: "api", Paths: []string{"/api/"}, Limit: 30, Window: 30 * time.Second}}}
	for b.Loop() {
		if _, err := Simulate(all.source, l); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(60*1000*10), "ns/call")
}

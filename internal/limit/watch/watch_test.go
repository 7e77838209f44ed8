package watch

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trackway/internal/allocs"
	"trackway/internal/clientip"
)

// addr returns one of many addresses.
func addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// pass lets time pass in a synctest bubble.
func pass(d time.Duration) { <-time.After(d) }

// note notes a call of an address under one policy.
func note(w *Watch, from string, refused bool) *Call {
	c := &Call{
		At: time.Now(), Weight: 1, Addr: netip.MustParseAddr(from), Policies: []string{"track"}, Refused: refused,
		Project: "demo", Route: "POST /track", Agent: "curl",
	}
	w.Note(c)
	return c
}

// For any calls in any order: no count is too low, and no count is too high by
// more than its error. A caller outside the sketch has no more than the floor,
// which is at most the total divided by the room.
func TestSketchErrsAsItSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		callers := rapid.Float64Range(1, 400).Draw(t, "callers")
		heaviest := rapid.Uint64Range(1, 50).Draw(t, "weight")
		var s sketch
		exact, total := map[clientip.Key]uint64{}, uint64(0)
		for range rapid.IntRange(0, 5000).Draw(t, "calls") {
			key, weight := clientip.KeyOf(addr(int(random.ExpFloat64()*callers)), 64), 1+random.Uint64N(heaviest)
			s.add(key, weight)
			exact[key] += weight
			total += weight
		}
		if len(s.callers) != min(len(exact), kept) || len(s.index) != len(s.callers) || s.floor() > total/kept {
			t.Fatalf("%d and %d of %d callers are kept, with a floor of %d of %d", len(s.callers), len(s.index), len(exact), s.floor(), total)
		}
		sum := uint64(0)
		for _, c := range s.callers {
			sum += c.count
			if n := exact[c.key]; n > c.count || c.count-c.over > n || s.get(c.key) != c {
				t.Fatalf("%v: got %d, at most %d too high; want %d", c.key, c.count, c.over, n)
			}
		}
		for key, n := range exact {
			if got := s.look(key, s.floor()); n > got.count || got.count-got.over > n {
				t.Fatalf("%v: got %d, at most %d too high; want %d", key, got.count, got.over, n)
			}
		}
		if sum != total {
			t.Fatalf("the counts are %d together, the calls %d", sum, total)
		}
	})
}

func TestTop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := New(time.Now())
		began := time.Now().UTC().Truncate(time.Second)
		for range 5 {
			note(w, "192.0.2.1", false)
		}
		pass(time.Minute)
		c := note(w, "2001:db8::1", false)
		w.Sent(c, []byte("a"), []string{"view", "buy"})
		c.Agent, c.Project, c.Route = "curl/8 \xff", "shop", "GET /x"
		c.Addr = netip.MustParseAddr("2001:db8::2") // in the same /64
		w.Note(c)
		w.Sent(c, []byte("a"), []string{"view"})
		note(w, "::ffff:192.0.2.1", true)
		other := *c
		other.Policies, other.Weight = []string{"api", "all"}, 4
		w.Note(&other)
		w.Note(&Call{At: time.Now(), Weight: 1, Policies: []string{"track"}}) // belongs to nobody

		v4 := Caller{
			Policy: "track", Address: "192.0.2.1", Calls: 6, Refused: 1, First: began, Last: began.Add(time.Minute),
			Projects: []string{"demo"}, Routes: []string{"POST /track"}, Agents: []string{"curl"}, Types: []string{},
		}
		v6 := Caller{
			Policy: "track", Address: "2001:db8::/64", Calls: 2, First: began.Add(time.Minute), Last: began.Add(time.Minute),
			Projects: []string{"shop", "demo"}, Routes: []string{"GET /x", "POST /track"}, Agents: []string{"curl/8 ?", "curl"},
			Types: []string{"view", "buy"}, Bodies: 2, Repeats: .5,
		}
		check := func(policy string, refused bool, rows int, want ...Caller) {
			t.Helper()
			_, got := w.Top(time.Now(), policy, refused, rows)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("policy %q, refused %v (-want +got):\n%s", policy, refused, diff)
			}
		}
		check("track", false, 9, v4, v6)
		check("track", false, 1, v4)
		ofRefused := v4
		ofRefused.First = v4.Last // in this list since it was refused
		check("", true, 9, ofRefused)
		check("grid", false, 9, []Caller{}...)
		c.Addr, c.Weight = netip.MustParseAddr("192.0.2.1"), 1
		w.Note(c) // an accepted call of a caller who was refused before
		ofRefused.Calls++
		ofRefused.Projects, ofRefused.Agents, ofRefused.Routes = []string{"shop", "demo"}, []string{"curl/8 ?", "curl"}, []string{"GET /x", "POST /track"}
		check("track", true, 9, ofRefused)

		_, all := w.Top(time.Now(), "", false, 9)
		var policies []string
		for _, c := range all {
			policies = append(policies, c.Policy)
		}
		// The error is 2·√(4·3).
		if diff := cmp.Diff([]string{"track", "all", "api", "track"}, policies); diff != "" || all[1].Error != 7 {
			t.Errorf("policies of all callers (-want +got):\n%s\n%+v", diff, all[1])
		}
	})
}

// Reports cover the last half hour to hour, and older calls are forgotten.
func TestForgetting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := New(time.Now())
		start := time.Now()
		check := func(since time.Duration, calls ...uint64) {
			t.Helper()
			from, callers := w.Top(time.Now(), "", false, 9)
			var got []uint64
			for _, c := range callers {
				got = append(got, c.Calls)
			}
			if !from.Equal(start.Add(since)) || !slices.Equal(got, calls) {
				t.Errorf("after %v: got %v since %v, want %v since %v", time.Since(start), got, from.Sub(start), calls, since)
			}
		}
		note(w, "192.0.2.1", false)
		pass(29 * time.Minute)
		note(w, "192.0.2.1", false)
		check(0, 2)
		pass(2 * time.Minute) // 0:31
		note(w, "192.0.2.1", false)
		note(w, "192.0.2.2", false)
		check(0, 3, 1)
		pass(28 * time.Minute) // 0:59
		check(0, 3, 1)
		pass(time.Minute) // 1:00
		check(30*time.Minute, 1, 1)
		pass(30 * time.Minute) // 1:30
		check(time.Hour)
		if len(w.policies) != 0 {
			t.Errorf("%d policies are kept without a caller", len(w.policies))
		}
		note(w, "192.0.2.3", false)
		pass(5 * time.Hour)
		check(6 * time.Hour)
	})
}

// A report combines both halves of the hour for each caller.
func TestTwoHalves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, began := New(time.Now()), time.Now().UTC()
		for _, project := range []string{"a", "b", "c", "d", "e"} {
			c := note(w, "192.0.2.1", project == "b")
			c.Project, c.Agent = project, "agent of "+project
			w.Note(c)
			w.Sent(c, []byte(project), []string{"type of " + project})
			pass(12 * time.Minute)
		}
		_, got := w.Top(began.Add(59*time.Minute), "track", false, 9)
		want := []Caller{{
			Policy: "track", Address: "192.0.2.1", Calls: 10, Refused: 2, First: began.Truncate(time.Second), Last: began.Add(48 * time.Minute).Truncate(time.Second),
			Projects: []string{"e", "demo", "d", "c"}, Agents: []string{"agent of e", "curl", "agent of d", "agent of c"}, Routes: []string{"POST /track"},
			Types: []string{"type of e", "type of d", "type of c", "type of b"}, Bodies: 5,
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("(-want +got):\n" + diff)
		}
	})
}

// A spray of addresses takes no more room than given, and does not displace
// active callers.
func TestSpray(t *testing.T) {
	t.Parallel()
	w, start := New(time.Now()), time.Now()
	agent := strings.Repeat("ä", 5000)
	for i := range 30_000 {
		c := &Call{At: start, Weight: 1, Addr: addr(i + 1), Policies: []string{"track"}, Refused: true, Route: "GET /x", Agent: agent + strconv.Itoa(i)}
		w.Note(c)
		w.Sent(c, []byte(c.Agent), []string{c.Agent})
		if i%10 == 0 {
			c.Addr, c.Agent = addr(0), "heavy"
			w.Note(c)
		}
	}
	for _, refused := range []bool{false, true} {
		_, callers := w.Top(start, "track", refused, math.MaxInt)
		first := callers[0]
		if first.Address != addr(0).String() || first.Calls < 3000 || first.Calls > 3000+33_000/kept || first.Agents[0] != "heavy" {
			t.Errorf("refused %v: the first is %+v, want the one with 3000 calls", refused, first)
		}
		if len(callers) != kept {
			t.Errorf("refused %v: %d callers, want %d", refused, len(callers), kept)
		}
		for _, c := range callers {
			for _, text := range slices.Concat(c.Agents, c.Types) {
				if len(text) > longest || len(text) < longest-3 && text != "heavy" {
					t.Fatalf("a text of %d bytes is kept: %q", len(text), text)
				}
			}
		}
	}
}

func TestRepeats(t *testing.T) {
	t.Parallel()
	for bodies, want := range map[string]uint64{"": 0, "a": 0, "aaaa": 3, "abab": 2, "abcdefghijklmnop": 0, "abcdefghabcdefgh": 8, "abcdefghiabcdefghi": 0} {
		var c caller
		for _, b := range bodies {
			c.sent(uint64(b)-'a', nil) // a's hash is 0, which does not mean an empty place
		}
		if c.repeats != want || c.bodies != uint64(len(bodies)) {
			t.Errorf("%s: got %d repeats of %d, want %d", bodies, c.repeats, c.bodies, want)
		}
	}
}

// A flood is sampled with a bounded number of calls, is still counted correctly
// on average, and does not blur later counts.
func TestSample(t *testing.T) {
	t.Parallel()
	w := New(time.Now())
	now := w.base
	drawn, counted := 0, uint64(0)
	const calls, perSecond = 3_000_000, 300_000
	for range calls {
		now = now.Add(time.Second / perSecond)
		if weight := w.Sample(now, "track", false); weight > 0 {
			drawn++
			counted += weight
		}
	}
	if slots := calls / perSecond * int(time.Second) >> slotBits; drawn > (slots+10)*most || drawn < slots*few/2 {
		t.Errorf("drew %d calls of 10 s, want %d to %d in each of %d slots", drawn, few, most, slots)
	}
	if math.Abs(float64(counted)-calls) > calls/10 { // ten standard deviations
		t.Errorf("the drawn calls stand for %d, want about %d", counted, calls)
	}
	if got := w.Sample(now, "track", true); got != 1 {
		t.Errorf("a refused call stands for %d, want 1: its sample is another", got)
	}
	last := 0
	for i := range 8000 { // at a thousand a second the flood is forgotten within a few
		now = now.Add(time.Millisecond)
		if weight := w.Sample(now, "track", false); i >= 7000 && weight == 1 {
			last++
		}
	}
	if last != 1000 {
		t.Errorf("of the last thousand calls %d were drawn as themselves, want all", last)
	}
	now = now.Add(5 * time.Second)
	for range most {
		if got := w.Sample(now, "track", false); got != 1 {
			t.Fatalf("after the flood a call stands for %d, want 1", got)
		}
	}
	// The clock is behind, and the policy has no name.
	if got := w.Sample(w.base.Add(-time.Hour), "", false); got != 1 {
		t.Errorf("got %d, want 1", got)
	}
}

func TestSampleAllocatesNothing(t *testing.T) {
	w := New(time.Now())
	if n := allocs.PerRun(1000, func() { w.Sample(w.base, "track", false) }); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := New(time.Now())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2000 {
				now := w.base.Add(time.Duration(i) * time.Millisecond)
				w.Sample(now, "track", i%2 == 0)
				c := &Call{At: now, Weight: 1, Addr: addr(i % 50), Policies: []string{"track"}, Refused: i%2 == 0}
				w.Note(c)
				w.Sent(c, []byte{byte(i)}, nil)
				if i%100 == 0 {
					w.Top(now, "", i%3 == 0, 10)
				}
			}
		})
	}
	wg.Wait()
	_, callers := w.Top(w.base.Add(2*time.Second), "track", false, 100)
	if len(callers) != 50 || callers[0].Calls != 160 || callers[49].Calls != 160 || callers[0].Bodies != 160 {
		t.Errorf("got %+v, want 50 callers with 160 calls", callers)
	}
}

// BenchmarkSample measures the cost of each call of a flood, including the
// noting of drawn calls. Subtract the clock, which is measured beside it: a
// server has read the clock anyway.
func BenchmarkSample(b *testing.B) {
	w := New(time.Now())
	b.Run("clock", func(b *testing.B) { flood(b, func(time.Time) uint64 { return 0 }, w) })
	b.Run("sample", func(b *testing.B) {
		flood(b, func(now time.Time) uint64 { return w.Sample(now, "track", false) }, w)
	})
}

func flood(b *testing.B, sample func(time.Time) uint64, w *Watch) {
	b.Helper()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := &Call{Policies: []string{"track"}, Project: "demo", Route: "POST /track", Agent: "bench"}
		for i := rand.IntN(1000); pb.Next(); i++ {
			now := time.Now()
			if weight := sample(now); weight > 0 {
				c.At, c.Weight, c.Addr = now, weight, addr(i%1000)
				w.Note(c)
			}
		}
	})
}

// BenchmarkNote measures a drawn call, with more callers than are kept.
func BenchmarkNote(b *testing.B) {
	w := New(time.Now())
	c := &Call{At: time.Now(), Weight: 1, Policies: []string{"track"}, Refused: true, Project: "demo", Route: "POST /track", Agent: "bench"}
	b.ReportAllocs()
	for i := range b.N {
		c.Addr = addr(i % 1000)
		w.Note(c)
	}
}

// TestTextsAreCopies: nothing that is kept is a part of a call, whose memory
// other calls get.
func TestTextsAreCopies(t *testing.T) {
	t.Parallel()
	b := []byte("purchase")
	var r recent
	r.note(unsafe.String(&b[0], len(b)))
	copy(b, "xxxxxxxx")
	if r[0] != "purchase" {
		t.Errorf("it has become %q", r[0])
	}
}

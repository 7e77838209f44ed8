package suspect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/query"
)

var rules = trackway.Bots{Property: "suspect", Pace: 100, Repeats: 20, Regular: 2 * time.Hour, OneHit: 10}

// at returns a time.
func at(d time.Duration) trackway.Micros {
	return trackway.MicrosOf(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC).Add(d))
}

// want fails the test unless the visit has this outcome.
func want(t *testing.T, m *Memory, v Visit, why Reason, first bool) {
	t.Helper()
	if gotWhy, gotFirst := m.See(&rules, v); gotWhy != why || gotFirst != first {
		t.Fatalf("at %v: got %q, first %v; want %q, first %v", v.At.Time(), gotWhy, gotFirst, why, first)
	}
}

// TestPerson: somebody who reads pages for a day, with pauses, is not suspect.
func TestPerson(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	now := time.Duration(0)
	for i := range 2000 {
		now += time.Duration(2+i*i%37) * time.Second
		want(t, m, Visit{At: at(now), Who: 1, Caller: 2, Content: uint64(i / 3)}, "", false)
	}
}

func TestAgent(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	want(t, m, Visit{At: at(0), Who: 1, Robot: true}, Agent, true)
	want(t, m, Visit{At: at(time.Hour), Who: 1, Robot: true}, Agent, false)
	want(t, m, Visit{At: at(time.Hour), Who: 2}, "", false)
	m.Unlabeled(1)
	want(t, m, Visit{At: at(2 * time.Hour), Who: 1, Robot: true}, Agent, true)
}

func TestPace(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	for i := range rules.Pace - 1 {
		want(t, m, Visit{At: at(time.Duration(i) * time.Second), Who: 1, Content: uint64(i)}, "", false)
	}
	want(t, m, Visit{At: at(599 * time.Second), Who: 1}, Pace, true)
	want(t, m, Visit{At: at(600 * time.Second), Who: 1, Content: 1}, "", false) // the next ten minutes
}

func TestRepeats(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	for round := range 2 {
		for i := range rules.Repeats - 1 {
			want(t, m, Visit{At: at(time.Duration(round*600+i*(i+1)) * time.Second), Who: 1, Content: 7}, "", false)
		}
		want(t, m, Visit{At: at(time.Duration(round*600+400) * time.Second), Who: 1, Content: 8}, "", false)
	}
	for i := range rules.Repeats - 1 {
		want(t, m, Visit{At: at(time.Duration(1200+i*(i+1)) * time.Second), Who: 1, Content: 7}, "", false)
	}
	want(t, m, Visit{At: at(1700 * time.Second), Who: 1, Content: 7}, Repeats, true)
}

// TestRegular: intervals that are equal but for a little are suspect after the
// time of the rule, and one other interval is enough to begin again.
func TestRegular(t *testing.T) {
	t.Parallel()
	const gap = time.Minute
	m := NewMemory()
	now := time.Duration(0)
	see := func(n int, by time.Duration, why Reason, first bool) {
		t.Helper()
		for i := range n {
			now += by + time.Duration(i%3)*time.Second // a little later than planned, as timers are
			want(t, m, Visit{At: at(now), Who: 1, Content: uint64(now)}, why, first)
		}
	}
	see(110, gap, "", false)
	see(1, 5*gap, "", false)
	see(115, gap, "", false)
	see(3, gap, "", false)
	see(1, gap, Regular, true)
	// Events of one call have no interval, and a second is one at least.
	m = NewMemory()
	for i := range 99 {
		want(t, m, Visit{At: at(3 * time.Hour), Who: 1, Content: uint64(i)}, "", false)
	}
}

// TestOneHit: a caller whose identifiers come once is suspect. One whose
// identifiers come back is not, nor is another caller.
func TestOneHit(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	for i := range uint64(rules.OneHit - 1) {
		want(t, m, Visit{At: at(time.Duration(i) * time.Second), Caller: 5, Who: 100 + i}, "", false)
	}
	want(t, m, Visit{At: at(time.Minute), Caller: 5, Who: 200}, OneHit, true)
	want(t, m, Visit{At: at(time.Minute), Caller: 6, Who: 201}, "", false)
	want(t, m, Visit{At: at(2 * time.Minute), Caller: 5, Who: 101}, "", false) // it came back
	want(t, m, Visit{At: at(time.Hour), Caller: 5, Who: 300}, "", false)       // the next hour

	people := NewMemory()
	for i := range uint64(5 * rules.OneHit) {
		now := time.Duration(i) * time.Second
		want(t, people, Visit{At: at(now), Caller: 5, Who: 100 + i}, "", false)
		if i%5 == 0 {
			want(t, people, Visit{At: at(now + time.Millisecond), Caller: 5, Who: 100 + i}, "", false)
		}
	}
}

// TestNoRules: a rule that is 0 does not exist.
func TestNoRules(t *testing.T) {
	t.Parallel()
	m, none := NewMemory(), new(trackway.Bots)
	for i := range 1000 {
		v := Visit{At: at(time.Duration(i) * time.Minute), Caller: 1, Who: 1 + uint64(i)%2*uint64(i)}
		if why, _ := m.See(none, v); why != "" {
			t.Fatalf("visit %d is suspect: %s", i, why)
		}
	}
}

// TestBounded: any number of identifiers and callers takes the same memory, and
// the one that was used last stays known.
func TestBounded(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	want(t, m, Visit{At: at(0), Who: 1, Robot: true}, Agent, true)
	for i := range uint64(3 * visitorSets * ways) {
		m.See(&rules, Visit{At: at(time.Second), Who: m.Name(1, []trackway.Identifier{{Name: "cookie", Value: strconv.FormatUint(i, 10)}}), Caller: i + 1})
	}
	if len(m.visitors) != visitorSets || len(m.callers) != callerSets {
		t.Errorf("it has grown")
	}
	want(t, m, Visit{At: at(time.Second), Who: 9, Robot: true}, Agent, true)
	want(t, m, Visit{At: at(2 * time.Second), Who: 9, Robot: true}, Agent, false)
}

func TestNames(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	id := func(name, value string, hard bool) trackway.Identifier {
		return trackway.Identifier{Name: name, Value: value, Hard: hard}
	}
	hard, soft := id("registered", "a", true), id("cookie", "c", false)
	if m.Name(1, []trackway.Identifier{soft, hard}) != m.Name(1, []trackway.Identifier{hard}) {
		t.Error("a hard identifier does not come first")
	}
	if m.Name(1, []trackway.Identifier{soft}) == m.Name(2, []trackway.Identifier{soft}) {
		t.Error("projects share customers")
	}
	a := func(s string) uint64 { return m.Caller(1, netip.MustParseAddr(s), "x") }
	if a("2001:db8::1") != a("2001:db8::2") || a("192.0.2.1") == a("192.0.2.2") || a("192.0.2.1") != a("::ffff:192.0.2.1") {
		t.Error("callers are told apart by something else than IPv4 addresses and networks of 64 bits")
	}
	c := func(props ...trackway.Property) uint64 {
		return m.Content(&trackway.Command{Type: "view", Properties: props})
	}
	p := func(name, value string) trackway.Property { return trackway.Property{Name: name, Value: []byte(value)} }
	if c(p("a", "1")) == c(p("a", "2")) || c(p("a", "1"), p(trackway.MessageID, `"x"`)) != c(p("a", "1"), p(trackway.MessageID, `"y"`)) {
		t.Error("contents are wrong")
	}
	stored := func(text string) uint64 {
		return m.stored(&trackway.Event{Type: "view", Properties: []byte(text)})
	}
	if stored(`{"a":1,"message_id":"x","z":2}`) != stored(`{"a":1,"message_id":"y","z":2}`) || stored(`{"a":1}`) == stored(`{"a":2}`) {
		t.Error("stored contents are wrong")
	}
}

func TestRobot(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                                                         "Googlebot",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36":                    "HeadlessChrome",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile Safari/604.1": "",
		"Mozilla/5.0 (Linux; Android 10; CUBOT_X30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0 Mobile Safari/537.36":              "",
		"Mozilla/5.0 (Linux; Android 10; CUBOT X30) YandexBot/3.0":                                                                         "YandexBot",
		"okhttp/4.12.0": "", "curl/8.1": "", "": "", "Pingdom.com_bot_version_1.4": "Pingdom.com_bot_version_1.4", "\xff\xfebot": "bot",
	} {
		if got := Robot(agent); got != want {
			t.Errorf("%q: got %q, want %q", agent, got, want)
		}
	}
}

func FuzzRobot(f *testing.F) {
	for _, s := range []string{"Googlebot", "cubot", "cubotbot", "İbot"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, agent string) {
		if got := Robot(agent); len(got) > mostName {
			t.Errorf("%q: %q", agent, got)
		}
	})
}

func BenchmarkSee(b *testing.B) {
	m, now := NewMemory(), at(0)
	for i := range b.N {
		now++
		m.See(&rules, Visit{At: now, Who: uint64(i)%5000 + 1, Caller: uint64(i)%999 + 1, Content: uint64(i)})
	}
	b.ReportAllocs()
}

// BenchmarkLook is what a call with one event of ten properties costs more.
func BenchmarkLook(b *testing.B) {
	l := New(nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	p := &trackway.Project{Number: 1, Bots: rules}
	from := Origin{netip.MustParseAddr("192.0.2.1"), "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"}
	c := trackway.Command{Kind: trackway.AddEvent, Type: "page_visit", IDs: []trackway.Identifier{{Name: "cookie", Value: "0123456789abcdef"}}}
	for i := range 10 {
		c.Properties = append(c.Properties, trackway.Property{Name: fmt.Sprintf("property%d", i), Value: []byte(`"some value of a property"`)})
	}
	cmds, results, now := []trackway.Command{c}, make([]trackway.Result, 1), at(0)
	b.ReportAllocs()
	for b.Loop() {
		now += 7e9
		cmds[0].Properties[0].Value[3]++
		l.look(p, now, from, cmds, results)
	}
}

// TestLabeler: labels that cannot be stored are tried again, and a long queue
// costs no call anything.
func TestLabeler(t *testing.T) {
	t.Parallel()
	store := &refusing{err: errors.New("the disk is full"), found: 7}
	l := New(store, store, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	p := &trackway.Project{Number: 1, Name: "demo", Bots: rules}
	from := Origin{netip.MustParseAddr("192.0.2.1"), "Googlebot/2.1"}
	look := func(who string) {
		cmds := []trackway.Command{{Kind: trackway.AddEvent, Type: "e", IDs: []trackway.Identifier{{Name: "cookie", Value: who}}}}
		l.look(p, at(0), from, cmds, []trackway.Result{{Customer: 7}})
	}
	look("a")
	l.save(<-l.waiting)
	look("a") // again
	store.err = nil
	l.save(<-l.waiting)
	if got := store.stored; len(got) != 1 || got[0] != `a suspect="agent"` {
		t.Errorf("stored %q", got)
	}
	for i := range mostWaiting + 10 {
		look(strconv.Itoa(i))
	}
	if len(l.waiting) != mostWaiting {
		t.Errorf("%d labels wait", len(l.waiting))
	}
	look("a")
	if v := l.View(p, at(0).Time()); v.Reasons[0].Customers != mostWaiting+12 || v.Events != mostWaiting+13 || v.Agents[0].Name != "Googlebot" {
		t.Errorf("got %+v", v)
	}
	if v := l.View(p, at(24*time.Hour).Time()); v.Events != 0 {
		t.Errorf("after a day: got %+v", v)
	}
}

// TestLabelsAtAStop: labels that wait when the server stops are stored.
func TestLabelsAtAStop(t *testing.T) {
	t.Parallel()
	store := &refusing{found: 7}
	l := New(store, store, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	p := &trackway.Project{Number: 1, Name: "demo", Bots: rules}
	for _, who := range []string{"a", "b", "c"} {
		cmds := []trackway.Command{{Kind: trackway.AddEvent, Type: "e", IDs: []trackway.Identifier{{Name: "cookie", Value: who}}}}
		l.look(p, at(0), Origin{Agent: "Googlebot/2.1"}, cmds, []trackway.Result{{Customer: 7}})
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(stopped); err != nil || len(store.stored) != 3 || len(l.waiting) != 0 {
		t.Errorf("stored %q, and %d wait; %v", store.stored, len(l.waiting), err)
	}
}

// TestLabelOfNobody: a label is about one identifier, so it joins and moves no
// customers. If that has no customer any more, or another one, nothing is
// stored.
func TestLabelOfNobody(t *testing.T) {
	t.Parallel()
	store := new(refusing)
	l := New(store, store, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	p := &trackway.Project{Number: 1, Name: "demo", Bots: rules}
	look := func() {
		cmds := []trackway.Command{{Kind: trackway.AddEvent, Type: "e", IDs: []trackway.Identifier{
			{Name: "cookie", Value: "shared"}, {Name: "registered", Value: "jane", Hard: true},
		}}}
		l.look(p, at(0), Origin{Agent: "Googlebot/2.1"}, cmds, []trackway.Result{{Customer: 7}})
		l.save(<-l.waiting)
	}
	for _, found := range []trackway.Customer{0, 8} { // erased, and another one's
		store.found = found
		if look(); len(store.stored) != 0 {
			t.Errorf("customer %d: stored %q", found, store.stored)
		}
	}
	store.found = 7
	if look(); len(store.stored) != 1 || store.stored[0] != `jane suspect="agent"` || store.ids != 1 {
		t.Errorf("stored %q, with %d identifiers", store.stored, store.ids)
	}
}

// refusing stores the labels of customers, or refuses.
type refusing struct {
	query.Store

	err    error
	stored []string
	ids    int               // of the last command
	found  trackway.Customer // the one of any identifier
}

func (r *refusing) Snapshot() query.Snapshot { return snapshot{nil, r.found} }

// snapshot finds the same customer by any identifier.
type snapshot struct {
	query.Snapshot

	found trackway.Customer
}

func (s snapshot) Find(uint32, trackway.Identifier) (trackway.Customer, error) { return s.found, nil }

func (s snapshot) Survivor(_ uint32, c trackway.Customer) (trackway.Customer, error) { return c, nil }

func (s snapshot) Close() error { return nil }

func (r *refusing) Accept(_ *trackway.Project, _ trackway.Micros, cmds []trackway.Command, _ []trackway.Result) error {
	for _, c := range cmds {
		r.ids = len(c.IDs)
		if r.err == nil {
			r.stored = append(r.stored, fmt.Sprintf("%s %s=%s", c.IDs[0].Value, c.Properties[0].Name, c.Properties[0].Value))
		}
	}
	return r.err
}

// TestInventedAgents: a flood of invented names does not keep a frequent one
// out, and the names are bounded.
func TestInventedAgents(t *testing.T) {
	t.Parallel()
	var c counts
	for i := range 10 * mostAgents {
		c.add(1, at(0), Agent, false, "bot"+strconv.Itoa(i))
	}
	for i := range 10 * mostAgents {
		c.add(1, at(0), Agent, false, "Googlebot")
		c.add(1, at(0), Agent, false, "another-bot"+strconv.Itoa(i))
	}
	agents := c.projects[1].agents
	if len(agents) != mostAgents || agents["Googlebot"] < 10*mostAgents {
		t.Errorf("%d names, Googlebot %d times", len(agents), agents["Googlebot"])
	}
}

// TestOnlyPublicKeys: other calls, and other projects, are not looked at.
func TestOnlyPublicKeys(t *testing.T) {
	t.Parallel()
	l := New(nil, nil, nil, prometheus.NewRegistry())
	in := new(refusing)
	on, off := &trackway.Project{Bots: rules}, &trackway.Project{}
	public, private := &trackway.Key{Kind: trackway.PublicKey}, &trackway.Key{Kind: trackway.PrivateKey}
	for _, c := range []struct {
		p     *trackway.Project
		key   *trackway.Key
		looks bool
	}{{on, public, true}, {on, private, false}, {off, public, false}, {on, nil, true}} {
		if got := l.Ingest(in, c.p, c.key, Origin{}) != Ingester(in); got != c.looks {
			t.Errorf("%+v: looks %v", c, got)
		}
	}
}

func TestReadQuestion(t *testing.T) {
	t.Parallel()
	got, err := ReadQuestion(url.Values{"days": {"30"}, "pace": {"0"}, "regular": {"90m"}}, rules)
	want := Question{30, trackway.Bots{Property: "suspect", Repeats: 20, Regular: 90 * time.Minute, OneHit: 10}}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, value := range map[string]string{"days": "0", "pace": "-1", "repeats": "many", "regular": "6"} {
		_, err := ReadQuestion(url.Values{name: {value}}, rules)
		if e, ok := errors.AsType[*trackway.Error](err); !ok || e.Field != name {
			t.Errorf("%s=%s: got %v", name, value, err)
		}
	}
}

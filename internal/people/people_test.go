package people

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
)

func userOf(t *testing.T, name string, roles ...string) User {
	t.Helper()
	u, err := NewUser(name, "", roles)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for i, r := range Roles() {
		for j, least := range Roles() {
			if got := r.Includes(least); got != (i >= j) {
				t.Errorf("%s includes %s: %v", r, least, got)
			}
		}
		if Nobody.Includes(r) || Role("king").Includes(r) {
			t.Errorf("no role includes %s", r)
		}
	}
	u := userOf(t, "ada", "analyst:b", "viewer", "operator:a", "viewer:a")
	if diff := cmp.Diff([]string{"viewer", "operator:a", "analyst:b"}, u.Roles()); diff != "" {
		t.Error(diff)
	}
	for token, want := range map[string]Role{"a": Operator, "b": Analyst, "c": Viewer} {
		if got := u.RoleIn(token); got != want {
			t.Errorf("in %s: got %s, want %s", token, got, want)
		}
	}
	if got := u.Most(); got != Operator {
		t.Errorf("got %s", got)
	}
	only := userOf(t, "eve", "viewer:a")
	if only.RoleIn("b") != Nobody || only.All != Nobody || (List{only}).HasAdmin() {
		t.Error("a role in one project counts in another")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"ada": true, "ada.l+x@example.com": true, "7": true, "": false, "Ada": false, "ada l": false, "ä": false, "a\nb": false, "a:b": false,
		strings.Repeat("x", 64): true, strings.Repeat("x", 65): false,
	} {
		if got := CheckName(name) == nil; got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	hash := Hash("correct horse")
	if hash == Hash("correct horse") || !IsHash(hash) {
		t.Errorf("%s is no salted hash", hash)
	}
	for _, wrong := range []string{"", "correct horse", hash[:len(hash)-1], hash + "A", strings.Replace(hash, "m=19456", "m=8", 1), strings.Replace(hash, "argon2id", "argon2i", 1)} {
		if IsHash(wrong) {
			t.Errorf("%q counts as a hash", wrong)
		}
	}
	users := List{{Name: "ada", Password: hash}, {Name: "none"}}
	var p Passwords
	for _, c := range []struct {
		name, password string
		want           bool
	}{
		{"ada", "correct horse", true},
		{"ADA", "correct horse", true},
		{"ada", "correct horse ", false},
		{"ada", "", false},
		{"none", "", false},
		{"none", "correct horse", false},
		{"eve", "correct horse", false},
		{"ada", hash, false},
	} {
		u, err := p.Check(t.Context(), users, netip.Addr{}, c.name, c.password)
		if err != nil || (u != nil) != c.want {
			t.Errorf("%s, %q: got %v, %v", c.name, c.password, u, err)
		}
	}
}

// TestSameCost checks that a wrong name costs what a wrong password does. It
// compares the fastest of some tries, because others use the processor too.
func TestSameCost(t *testing.T) {
	t.Parallel()
	users := List{{Name: "ada", Password: Hash("correct horse")}}
	var p Passwords
	best := map[string]time.Duration{"ada": time.Hour, "eve": time.Hour}
	for range 40 {
		for name := range best {
			start := time.Now()
			if u, err := p.Check(t.Context(), users, netip.Addr{}, name, "wrong"); u != nil || err != nil {
				t.Fatal(u, err)
			}
			best[name] = min(best[name], time.Since(start))
		}
		if known, unknown := best["ada"], best["eve"]; known < 2*unknown && unknown < 2*known {
			return
		}
	}
	t.Errorf("a known name takes %v, and an unknown one %v", best["ada"], best["eve"])
}

// TestPasswordsAreBounded checks that one is computed at a time, and that a
// crowd is refused before any work is done for it.
func TestPasswordsAreBounded(t *testing.T) {
	t.Parallel()
	var p Passwords
	running, over := make(chan struct{}), make(chan struct{})
	go func() {
		_ = p.use(t.Context(), true, func() { close(running); <-over })
	}()
	<-running
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.use(gone, true, func() { t.Error("two at a time") }); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
	p.all.waiting.Store(mostWaiting)
	if err := p.use(t.Context(), true, func() { t.Error("it waits in a crowd") }); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
	p.all.waiting.Store(1)
	close(over)
	if _, err := p.Hash(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

// TestCrowdOfStrangers checks that strangers who wait, however many, keep out
// nobody whose address is known, and are not checked before them.
func TestCrowdOfStrangers(t *testing.T) {
	t.Parallel()
	const wait = 2 * time.Minute
	users := List{{Name: "ada", Password: Hash("correct horse")}}
	var p Passwords
	site := netip.MustParseAddr("2001:db8::1")
	if u, err := p.Check(t.Context(), users, site, "ada", "correct horse"); u == nil || err != nil {
		t.Fatal(u, err)
	}
	running, over := make(chan struct{}), make(chan struct{})
	go func() {
		_ = p.use(t.Context(), false, func() { close(running); <-over })
	}()
	<-running
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	var strangers sync.WaitGroup
	for range mostWaiting - 1 {
		strangers.Go(func() { _, _ = p.Check(ctx, users, netip.MustParseAddr("2001:db8:0:1::1"), "ada", "wrong") })
	}
	for p.strangers.waiting.Load() < mostWaiting {
		runtime.Gosched()
	}
	if _, err := p.Check(ctx, users, netip.Addr{}, "ada", "correct horse"); !errors.Is(err, errBusy) {
		t.Errorf("one stranger too many: got %v", err)
	}
	done := make(chan int32)
	go func() {
		u, err := p.Check(ctx, users, netip.MustParseAddr("2001:db8::2"), "ada", "correct horse")
		if u == nil || err != nil {
			t.Errorf("strangers keep others out: %v %v", u, err)
		}
		done <- p.strangers.waiting.Load()
	}()
	for p.all.waiting.Load() < 2 {
		runtime.Gosched()
	}
	close(over)
	if left := <-done; left < mostWaiting/2 {
		t.Errorf("most strangers came first: %d still wait", left)
	}
	cancel() // the strangers go
	strangers.Wait()
}

func TestKnownAreBounded(t *testing.T) {
	t.Parallel()
	var p Passwords
	for i := range 2 * mostKnown {
		p.know(netip.AddrFrom4([4]byte{192, 0, byte(i / 256), byte(i)}))
	}
	p.know(netip.Addr{})
	if len(p.known) != mostKnown || p.knows(netip.MustParseAddr("192.0.0.0")) || !p.knows(netip.MustParseAddr("::ffff:192.0.1.255")) || p.knows(netip.Addr{}) {
		t.Errorf("known are %d, %v", len(p.known), p.known[0])
	}
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for password, want := range map[string]bool{"caf\xc3\xa9 au lait": true, "caf\xe9 au lait": false} {
		if got := CheckPassword("ada", password) == nil; got != want {
			t.Errorf("%q: got %v", password, got)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	l, err := List{}.Add(userOf(t, "ada", "admin"))
	if err != nil || !l.HasAdmin() {
		t.Fatal(l, err)
	}
	code := func(_ List, err error) trackway.Code {
		known, _ := errors.AsType[*trackway.Error](err)
		if known == nil {
			return ""
		}
		return known.Code
	}
	same := func(u User) (User, error) { return u, nil }
	if code(l.Add(l[0])) != trackway.Forbidden || code(l.Remove("eve")) != trackway.NotFound || code(l.Change("eve", same)) != trackway.NotFound {
		t.Error("a wrong name is accepted")
	}
	next, err := l.Change("ada", func(u User) (User, error) { return u.WithRoles([]string{"viewer"}) })
	if err != nil || next.HasAdmin() || !l.HasAdmin() {
		t.Error("a change changes the list that it is made from", next, l, err)
	}
	full := make(List, MostUsers)
	if code(full.Add(userOf(t, "ada", "admin"))) != trackway.Forbidden {
		t.Error("there is no end to users")
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	ada, eve := userOf(t, "ada", "admin"), userOf(t, "eve", "viewer")
	users, from, now := List{ada, eve}, netip.MustParseAddr("192.0.2.1"), time.Unix(1_700_000_000, 0)
	var s Sessions
	token, first := s.Begin(&ada, from, now, time.Hour)
	later := now.Add(time.Minute)
	if got, u := s.Find(token, users, "", netip.MustParseAddr("192.0.2.2"), later); u != &users[0] || got.ID != first.ID || !got.Since.Equal(now) || !got.Seen.Equal(later) ||
		got.Address.String() != "192.0.2.2" {
		t.Errorf("got %+v %v", got, u)
	}
	if _, u := s.Find(first.ID, users, "", from, now); u != nil {
		t.Error("its name lets somebody in")
	}
	if _, u := s.Find(token, users, "", from, now.Add(time.Hour)); u != nil {
		t.Error("it holds when it is over")
	}
	token, _ = s.Begin(&eve, from, now, time.Hour)
	changed, err := eve.WithRoles([]string{"analyst"})
	if err != nil {
		t.Fatal(err)
	}
	if _, u := s.Find(token, List{ada, changed}, "", from, now); u != nil {
		t.Error("it outlives its user's roles")
	}
	if _, u := s.Find(token, users, "", from, now); u != nil {
		t.Error("it comes back with them")
	}
	for i := range 2 * mostOfUser {
		s.Begin(&eve, from, now.Add(time.Duration(i)*time.Second), time.Hour)
	}
	for i := range mostSessions + 7 {
		u := userOf(t, "u"+strings.Repeat("x", i%60), "viewer")
		s.Begin(&u, from, now, time.Hour)
	}
	all := func(*Session) bool { return true }
	if n := len(s.List(now, func(o *Session) bool { return o.User == "eve" })); n != mostOfUser {
		t.Errorf("a user has %d sessions", n)
	}
	if n := len(s.List(now, all)); n > mostSessions {
		t.Errorf("there are %d sessions", n)
	}
	s.Keep(List{eve}, "")
	if list := s.List(now, func(o *Session) bool { return o.User != "eve" }); len(list) > 0 {
		t.Errorf("%v outlive their users", list)
	}
	if s.End(all) != mostOfUser || len(s.List(now, all)) != 0 {
		t.Error("some go on")
	}
}

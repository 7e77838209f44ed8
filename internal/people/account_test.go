package people

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func vouched(t *testing.T, subject, name string, roles ...string) *User {
	t.Helper()
	u, err := Vouched(Account{subject, "terms"}, name, roles)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestVouched(t *testing.T) {
	t.Parallel()
	u := vouched(t, "7", "ada", "viewer", "operator:a", "viewer:a", "analyst")
	if diff := cmp.Diff([]string{"analyst", "operator:a"}, u.Roles()); diff != "" {
		t.Error(diff)
	}
	if none := vouched(t, "7", "ada"); none.Most() != Nobody {
		t.Errorf("without a role: got %s", none.Most())
	}
	if _, err := Vouched(Account{"7", "terms"}, "ada", []string{"king"}); err == nil {
		t.Error("there is a king")
	}
	long := strings.Repeat("é", 2*mostShown)
	for name, want := range map[string]string{
		"ada": "ada", " José Ñ ": "José Ñ", "a\u202eb\x1b[1m\n\xff": "ab[1m", long: long[:2*mostShown],
	} {
		if got := vouched(t, "7", name).Name; got != "oidc:"+want {
			t.Errorf("%q: got %q", name, got)
		}
	}
}

// TestAccountIsNoUser checks that an account and a user of the same name have
// nothing in common.
func TestAccountIsNoUser(t *testing.T) {
	t.Parallel()
	local, account := userOf(t, "ada", "viewer"), vouched(t, "ada", "ada", "admin")
	if local.Key() == account.Key() || local.Stamp() == account.Stamp() || local.Name == account.Name || !IsAccount(account.Name) || IsAccount(local.Name) {
		t.Errorf("got %q and %q", local.Stamp(), account.Stamp())
	}
	if CheckName(account.Name) == nil {
		t.Errorf("%s can be the name of a user", account.Name)
	}
	users, from, now := List{local}, netip.Addr{}, time.Unix(1_700_000_000, 0)
	var s Sessions
	token, _ := s.Begin(account, from, now, time.Hour)
	if o, u := s.Find(token, users, "terms", from, now); u != account || o.Key != "oidc:ada" {
		t.Errorf("got %v, %+v", u, o)
	}
	for range 2 * mostOfUser {
		s.Begin(&local, from, now, time.Hour)
	}
	if _, u := s.Find(token, nil, "terms", from, now); u != account {
		t.Error("the sessions of a user make room for those of the account")
	}
	other := vouched(t, "eve", "ada", "viewer")
	if other.Key() == account.Key() || other.Stamp() == account.Stamp() {
		t.Error("two accounts of the same name are the same")
	}
}

func TestTerms(t *testing.T) {
	t.Parallel()
	from, now := netip.Addr{}, time.Unix(1_700_000_000, 0)
	for _, terms := range []string{"", "others"} {
		var s Sessions
		token, started := s.Begin(vouched(t, "7", "ada", "viewer"), from, now, time.Hour)
		s.Keep(nil, "terms")
		if _, u := s.Find(token, nil, "terms", from, now); u == nil {
			t.Error("it ends under the same terms")
		}
		if s.Keep(nil, terms); len(s.List(now, func(*Session) bool { return true })) > 0 {
			t.Errorf("it goes on under %q", terms)
		}
		<-started.Ended
		token, _ = s.Begin(vouched(t, "7", "ada", "viewer"), from, now, time.Hour)
		if _, u := s.Find(token, nil, terms, from, now); u != nil {
			t.Errorf("it lets in under %q", terms)
		}
	}
}

package trackway

import (
	"testing"
	"time"
)

func TestPermissions(t *testing.T) {
	t.Parallel()
	public, private := Key{Kind: PublicKey}, Key{Kind: PrivateKey}
	some := Key{Kind: PrivateKey, Permissions: map[Permission][]string{GetCustomers: {"first_name"}, SetEvents: nil}}
	none := Key{Kind: PrivateKey, Permissions: map[Permission][]string{}}
	for _, c := range []struct {
		name       string
		key        *Key
		permission Permission
		has, other bool // for any name; for a name that no list holds
		restricted bool
	}{
		{"public", &public, SetCustomers, true, true, false},
		{"public", &public, SetEvents, true, true, false},
		{"public", &public, GetCustomers, false, false, false},
		{"public", &public, GetEvents, false, false, false},
		{"public", &public, GDPR, false, false, false},
		{"public", &public, Admin, false, false, false},
		{"private", &private, GetCustomers, true, true, false},
		{"private", &private, GDPR, true, true, false},
		{"private", &private, Admin, true, true, false},
		{"restricted", &some, GetCustomers, true, false, true},
		{"restricted", &some, SetEvents, true, true, false},
		{"restricted", &some, SetCustomers, false, false, false},
		{"restricted", &some, Admin, false, false, false},
		{"nothing", &none, SetEvents, false, false, false},
	} {
		k, p := c.key, c.permission
		if k.May(p) != c.has || k.MayName(p, "other") != c.other || k.Restricted(p) != c.restricted {
			t.Errorf("%s key, %s: got %t, other names %t, restricted %t, want %t, %t, %t",
				c.name, p, k.May(p), k.MayName(p, "other"), k.Restricted(p), c.has, c.other, c.restricted)
		}
	}
	if !some.MayName(GetCustomers, "first_name") {
		t.Error("the name that is allowed is not")
	}
}

// Constants cannot be computed from dates, so this test compares them with the
// dates.
func TestBoundsOfTime(t *testing.T) {
	t.Parallel()
	first, after := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC)
	if MinTime != MicrosOf(first) || MaxTime != MicrosOf(after)-1 {
		t.Errorf("got %d and %d, want %d and %d", MinTime, MaxTime, MicrosOf(first), MicrosOf(after)-1)
	}
}

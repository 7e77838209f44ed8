package history

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
)

// Proxies and keys are recorded too, but nothing that would let anybody use a
// key.
func TestRecordAccess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "limits.jsonl")
	l := open(t, path)
	web := trackway.Key{Name: "web", Kind: trackway.PublicKey, ID: "public-token"}
	back := trackway.Key{Name: "back", Kind: trackway.PrivateKey, ID: "key-id", Secret: [32]byte{1}}
	access := Access{
		Trusted:  []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.0/8")},
		Header:   "X-Forwarded-For",
		Projects: []trackway.Project{{Name: "demo", Keys: []trackway.Key{web, back}}},
	}
	rec := func(now time.Time) {
		t.Helper()
		if err := l.Record(now, nil, nil, access); err != nil {
			t.Fatal(err)
		}
	}
	rec(monday)
	access.Trusted[0], access.Trusted[1] = access.Trusted[1], access.Trusted[0]
	rec(tuesday) // nothing is different

	access.Trusted = append(access.Trusted, netip.MustParsePrefix("10.0.0.0/8"))
	back.Secret = [32]byte{2}
	back.PreviousUntil = tuesday
	back.Permissions = map[trackway.Permission][]string{trackway.SetEvents: {"buy", "add"}, trackway.GDPR: nil}
	access.Projects = []trackway.Project{{Name: "demo", Keys: []trackway.Key{back}}}
	rec(tuesday)

	want := []string{
		`2026-11-24T08:30:00Z key  web of demo: {"kind":"public","fingerprint":"` + fingerprint(&web) + `"} -> `,
		`2026-11-24T08:30:00Z key  back of demo: {"kind":"private","fingerprint":"` + fingerprint(&trackway.Key{ID: "key-id", Secret: [32]byte{1}}) +
			`"} -> {"kind":"private","fingerprint":"` + fingerprint(&back) +
			`","permissions":["events:set:add","events:set:buy","gdpr"],"previous_until":"2026-11-24T08:30:00.0000005Z"}`,
		`2026-11-24T08:30:00Z proxies  : {"trusted_proxies":["127.0.0.0/8","::1/128"],"client_ip_header":"X-Forwarded-For"} -> ` +
			`{"trusted_proxies":["10.0.0.0/8","127.0.0.0/8","::1/128"],"client_ip_header":"X-Forwarded-For"}`,
	}
	got := shown(l)
	if len(got) != 6 {
		t.Fatalf("got %d changes, want 3 at first and 3 later: %q", len(got), got)
	}
	if diff := cmp.Diff(got[:3], want); diff != "" {
		t.Error("changes (-got +want):\n" + diff)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), "public-token") || strings.Contains(string(text), "key-id") {
		t.Errorf("the file tells how to be let in: %s (%v)", text, err)
	}
	if fingerprint(&web) == fingerprint(&back) {
		t.Error("two keys have the same fingerprint")
	}
}

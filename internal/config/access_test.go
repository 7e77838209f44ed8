package config

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
)

// The permissions and the previous credentials of keys, and the consent
// categories, arrive in the domain's types.
func TestAccess(t *testing.T) {
	t.Parallel()
	const src = `
projects:
  - name: demo
    token: 12345678-1234-1234-1234-123456789abc
    consent_categories:
      - {id: newsletter, name: The newsletter, description: Once a month., legitimate_interest: true}
      - {id: sms}
    keys:
      - name: web
        kind: public
        token: new
        previous_token: old
        previous_until: 2026-11-23T10:00:00+02:00
        permissions:
          - events:set:page_visit
          - "events:set:Order: Completed"
          - customers:set
      - {name: back, kind: private, id: id, secret_env: SET, previous_until: 2026-11-23,
         previous_secret_sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, permissions: [gdpr, "customers:get:first_name"]}
      - {name: all, kind: private, id: all, secret_env: SET}
`
	digest := [sha256.Size]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}
	for i := 8; i < len(digest); i++ {
		digest[i] = digest[i%8]
	}
	secret := sha256.Sum256([]byte("from the environment"))
	got := mustParse(t, src, Flags{}).Projects[0]
	wantKeys := []trackway.Key{
		{
			Name: "web", Kind: trackway.PublicKey, ID: "new", PreviousID: "old", PreviousUntil: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC),
			Permissions: map[trackway.Permission][]string{trackway.SetEvents: {"page_visit", "Order: Completed"}, trackway.SetCustomers: nil},
		},
		{
			Name: "back", Kind: trackway.PrivateKey, ID: "id", Secret: secret,
			PreviousSecret: digest, PreviousUntil: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
			Permissions: map[trackway.Permission][]string{trackway.GDPR: nil, trackway.GetCustomers: {"first_name"}},
		},
		{Name: "all", Kind: trackway.PrivateKey, ID: "all", Secret: secret},
	}
	if diff := cmp.Diff(wantKeys, got.Keys); diff != "" {
		t.Error("keys (-want +got):\n" + diff)
	}
	wantConsents := []trackway.ConsentCategory{
		{ID: "newsletter", Name: "The newsletter", Description: "Once a month.", LegitimateInterest: true}, {ID: "sms", Name: "sms"},
	}
	if diff := cmp.Diff(wantConsents, got.Consents); diff != "" {
		t.Error("consents (-want +got):\n" + diff)
	}
}

// A rotation that does not end soon is a second secret that somebody has
// forgotten.
func TestOverlapWarning(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	for _, c := range []struct {
		until time.Duration
		want  int
	}{{-time.Hour, 0}, {MaxOverlap - time.Minute, 0}, {MaxOverlap + time.Minute, 1}} {
		until := time.Now().Add(c.until).UTC().Format(time.RFC3339)
		src := strings.Replace(minimal, "}]", ", keys: [{name: a, kind: public, token: token-of-a, previous_token: b, previous_until: "+until+"}]}]", 1)
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		_, warnings, err := Load(path, Flags{})
		if err != nil || len(warnings) != c.want {
			t.Errorf("until in %v: got %v, %v, want %d warnings", c.until, warnings, err, c.want)
		}
	}
}

package auth

import (
	"crypto/sha256"
	"testing"
	"time"

	"trackway"
)

// During a rotation, the old and the new credentials work. After its end, only
// the new ones do, without a reload.
func TestRotation(t *testing.T) {
	t.Parallel()
	end := now.Add(24 * time.Hour)
	digest := func(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }
	keys := New([]trackway.Project{{Token: demoToken, Keys: []trackway.Key{
		{Name: "web", Kind: trackway.PublicKey, ID: "new-token", PreviousID: "old-token", PreviousUntil: end},
		{Name: "back", Kind: trackway.PrivateKey, ID: "id", Secret: digest("new"), PreviousSecret: digest("old"), PreviousUntil: end},
		{Name: "never", Kind: trackway.PrivateKey, ID: "never", Secret: digest("new")},
	}}})
	before, last := now, end.Add(-time.Nanosecond)
	for _, c := range []struct {
		header string
		at     time.Time
		want   *trackway.Error
	}{
		{"Token new-token", before, nil},
		{"Token old-token", before, nil},
		{"Token old-token", last, nil},
		{"Token old-token", end, errNotFound},
		{"Token new-token", end, nil},
		{basic("id:new"), before, nil},
		{basic("id:old"), before, nil},
		{basic("id:old"), last, nil},
		{basic("id:old"), end, errSecret},
		{basic("id:new"), end, nil},
		{basic("id:other"), before, errSecret},
		{basic("never:old"), before, errSecret},
		{basic("never:new"), before, nil},
	} {
		if _, err := keys.Authorize(c.at, demoToken, c.header, ""); err != c.want {
			t.Errorf("%s at %v: got %v, want %v", c.header, c.at, err, c.want)
		}
		if _, err := keys.Operator(c.at, c.header); err != c.want {
			t.Errorf("%s at %v, as an operator: got %v, want %v", c.header, c.at, err, c.want)
		}
	}
}

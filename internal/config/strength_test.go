package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"trackway/internal/config/initial"
)

// A weak secret leads to a warning with its place and without its text. The
// digest of an empty text is refused.
func TestWeakSecrets(t *testing.T) {
	t.Parallel()
	digest := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	private := func(rest string) string {
		return fmt.Sprintf("projects:\n  - name: demo\n    token: 12345678-1234-1234-1234-123456789abc\n    keys:\n      - {name: a, kind: private, id: a, %s}\n", rest)
	}
	public := func(token string) string {
		return strings.Replace(private("x"), "private, id: a, x", "public, token: "+token, 1)
	}
	const strong = "k7Qz-19fLmA0xRw3"
	tests := map[string]struct {
		src, warning, refused string
	}{
		"one character":          {private("secret: x"), "5:49: projects[0].keys[0].secret: has fewer than 16 characters", ""},
		"fifteen":                {private("secret: " + strong[1:]), "has fewer than 16 characters", ""},
		"sixteen":                {private("secret: " + strong), "", ""},
		"all alike":              {private("secret: aaaaaaaaaaaaaaaaaaaaaaaa"), "has fewer than 8 different characters", ""},
		"few different":          {private("secret: abcabcabcabcabcabc"), "has fewer than 8 different characters", ""},
		"in the environment":     {private("secret_env: WEAK"), `5:53: projects[0].keys[0].secret_env: has fewer than 16 characters`, ""},
		"a digest":               {private("secret_sha256: " + digest(strong)), "", ""},
		"the digest of a guess":  {private("secret_sha256: " + digest("changeme")), "is the SHA-256 of a secret that attackers try first", ""},
		"the digest of nothing":  {private("secret_sha256: " + digest("")), "", "is the SHA-256 of an empty secret"},
		"what was before":        {private("secret: " + strong + ", previous_until: 2026-11-22, previous_secret_sha256: " + digest("")), "", "of an empty secret"},
		"a short token":          {public("tok"), "5:40: projects[0].keys[0].token: has fewer than 8 characters", ""},
		"a token":                {public("longer-token"), "", ""},
		"no password":            {private("secret: "+strong) + "dashboard: {password_sha256: " + digest("") + "}\n", "", "is the SHA-256 of an empty password"},
		"a password to be tried": {private("secret: "+strong) + "dashboard: {password_sha256: " + digest("admin") + "}\n", "6:30: dashboard.password_sha256: is the SHA-256 of a password", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := parse("t.yaml", []byte(test.src), Flags{}, func(string) (string, bool) { return "weak", true }, nil)
			_, err := d.result()
			if test.refused == "" && err != nil || test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)) {
				t.Errorf("got %v, want %q", err, test.refused)
			}
			if got := InvalidError(d.Warnings).Error(); (got == "") != (test.warning == "") || !strings.Contains(got, test.warning) {
				t.Errorf("got %q, want %q", got, test.warning)
			}
			if strings.Contains(InvalidError(d.Warnings).Error(), "abcabc") {
				t.Error("the secret is in the warning")
			}
		})
	}
}

// The first configuration, whose secrets are random, leads to no warning.
func TestInitIsStrong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if _, err := initial.Write(path); err != nil {
		t.Fatal(err)
	}
	if _, warnings, err := Load(path, Flags{}); err != nil || len(warnings) > 0 {
		t.Errorf("got %v, %v", warnings, err)
	}
}

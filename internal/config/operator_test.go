package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func hashed(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func TestLoadForOperator(t *testing.T) {
	t.Setenv("TRACKWAY_TEST_HERE", "from-env")
	const head = `
tls: {cert: absent.pem, key: absent.pem} # the server's alone
projects:
  - name: demo
    token: 12345678-1234-1234-1234-123456789abc
    keys:
      - {name: web, kind: public, token: "public"}
`
	hash := `      - {name: a, kind: private, id: a, secret_sha256: ` + hashed("hidden") + `}` + "\n"
	plain := `      - {name: b, kind: private, id: b, secret: plain}` + "\n"
	here := `      - {name: c, kind: private, id: c, secret_env: TRACKWAY_TEST_HERE}` + "\n"
	there := `      - {name: d, kind: private, id: d, secret_env: TRACKWAY_TEST_THERE}` + "\n"
	other := `      - {name: e, kind: private, id: e, secret_env: TRACKWAY_TEST_OTHER}` + "\n"
	reader := `      - {name: f, kind: private, id: f, secret: reads, permissions: [gdpr]}` + "\n"
	turned := `      - {name: g, kind: private, id: g, secret: new, previous_secret_sha256: ` + hashed("old") + `, previous_until: 2999-01-01}` + "\n"
	over := strings.Replace(turned, "2999", "2001", 1)
	for _, c := range []struct {
		name, keys, secret string
		want               PrivateKey
		err                error
	}{
		{"the first that has a secret", hash + there + plain + here, "", PrivateKey{"b", "plain"}, nil},
		{"by the environment", hash + there + here, "", PrivateKey{"c", "from-env"}, nil},
		{"the one whose secret is given", plain + here + hash, "hidden", PrivateKey{"a", "hidden"}, nil},
		{"another's secret", plain + here + hash, "wrong", PrivateKey{}, errOtherSecret},
		{"no secret", hash + there, "", PrivateKey{}, errNoSecret},
		{"no private key", "", "", PrivateKey{}, errNoSecret},
		{"the one that cannot be compared", plain + hash + there, "its", PrivateKey{"d", "its"}, nil},
		{"the first that may ask", reader + plain, "", PrivateKey{"b", "plain"}, nil},
		{"none that may ask", reader, "", PrivateKey{}, errNoSecret},
		{"one that may not, given", reader + plain, "reads", PrivateKey{"f", "reads"}, nil},
		{"the secret before", turned, "old", PrivateKey{"g", "old"}, nil},
		{"the secret before, when that is over", over, "old", PrivateKey{}, errOtherSecret},
		{"two of those", there + other, "its", PrivateKey{}, errOtherSecret},
	} {
		path := filepath.Join(t.TempDir(), "t.yaml")
		if err := os.WriteFile(path, []byte(head+c.keys), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, got, err := LoadForOperator(path, Flags{Listen: "127.0.0.1:9"}, c.secret)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, %v; want %v, %v", c.name, got, err, c.want, c.err)
		}
		if cfg == nil || cfg.Listen != "127.0.0.1:9" {
			t.Errorf("%s: got %+v, want the configuration, with the flag's address", c.name, cfg)
		}
	}
	if _, _, err := LoadForOperator(filepath.Join(t.TempDir(), "none"), Flags{}, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that there is no file", err)
	}
}

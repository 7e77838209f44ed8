package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trackway"
	"trackway/internal/config/initial"
)

// usualRules are the rules about bots of a project that configures none.
var usualRules = trackway.Bots{Pace: 1200, Repeats: 200, Regular: 6 * time.Hour, OneHit: 50}

func TestInit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trackway.yaml")
	made, err := initial.Write(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := Load(path, Flags{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("the generated file is not right: %v %v", err, warnings)
	}
	want := []trackway.Project{{
		Name: "demo", Token: made.ProjectToken, Hard: []string{"registered"}, Soft: []string{"cookie"}, Nobody: usualNobody(), User: "registered", Device: "cookie",
		Personal: []string{"email", "phone", "first_name", "last_name"}, Bots: usualRules,
		Keys: []trackway.Key{
			{Name: "web", Kind: trackway.PublicKey, ID: made.PublicToken},
			{Name: "backend", Kind: trackway.PrivateKey, ID: made.KeyID, Secret: sha256.Sum256([]byte(made.Secret))},
		},
	}}
	if diff := cmp.Diff(want, cfg.Projects); diff != "" {
		t.Error("projects (-want +got):\n" + diff)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode: got %v, %v, want 0600", info.Mode(), err)
	}

	if _, err := initial.Write(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Write: got %v, want fs.ErrExist", err)
	}
	if again, _, err := Load(path, Flags{}); err != nil || again.Projects[0].Token != made.ProjectToken {
		t.Errorf("the second Write changed the file (%v)", err)
	}
}

// The generated file claims that its values are the defaults. This must be true
// for everything except the project.
func TestInitIsDefault(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trackway.yaml")
	if _, err := initial.Write(path); err != nil {
		t.Fatal(err)
	}
	got, _, err := Load(path, Flags{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse(path, []byte(minimal), Flags{}, env)
	if err != nil {
		t.Fatal(err)
	}
	want.Projects, got.Projects = nil, nil
	want.File, got.Password = path, want.Password
	if diff := cmp.Diff(want, got, cmp.Comparer(comparePrefixes), cmpopts.EquateEmpty()); diff != "" {
		t.Error("(-default +generated):\n" + diff)
	}
}

// testCertificate returns a certificate and its key, in PEM.
func testCertificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certDER, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

var logTime = regexp.MustCompile(`time=\S+ |"time":"[^"]*",`)

func withoutTimes(log string) string { return logTime.ReplaceAllString(log, "") }

func FuzzParse(f *testing.F) {
	path := filepath.Join(f.TempDir(), "trackway.yaml")
	if _, err := initial.Write(path); err != nil {
		f.Fatal(err)
	}
	first, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first)
	f.Add([]byte(minimal))
	text, err := os.ReadFile(filepath.Join("testdata", "problems.txt"))
	if err != nil {
		f.Fatal(err)
	}
	for c := range strings.SplitSeq(string(text), "\n====\n") {
		src, _, _ := strings.Cut(c, "\n--\n")
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		cfg, err := Parse("t.yaml", src, Flags{}, env)
		if err == nil {
			again, err := Parse("t.yaml", src, Flags{}, env)
			if diff := cmp.Diff(cfg, again, cmp.Comparer(comparePrefixes)); diff != "" || err != nil {
				t.Fatalf("reading twice gives two results (%v):\n%s", err, diff)
			}
			return
		}
		var problems InvalidError
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("got %T, want InvalidError", err)
		}
		lines := strings.Count(string(src), "\n") + strings.Count(string(src), "\r") + 1
		for _, p := range problems {
			if p.Msg == "" || p.Line > lines {
				t.Errorf("of %d lines: %+v", lines, p)
			}
			if strings.ContainsFunc(p.String(), func(c rune) bool { return c < ' ' }) {
				t.Errorf("a control character is shown: %q", p.String())
			}
		}
	})
}

// TestPassword checks that the hash in the first configuration belongs to the
// printed password, and that a short password is warned of.
func TestPassword(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trackway.yaml")
	made, err := initial.Write(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := Load(path, Flags{})
	if err != nil || cfg.Password != sha256.Sum256([]byte(made.Password)) {
		t.Errorf("the configuration does not take %q (%v)", made.Password, err)
	}
	for password, warned := range map[string]bool{"hunter2hunter2h": true, "hunter2 hunter3 h": false} {
		d := parse("t.yaml", []byte(minimal+"\ndashboard: {password_env: PW}\n"), Flags{}, func(string) (string, bool) { return password, true }, nil)
		cfg, err := d.result()
		if err != nil || cfg.Password != sha256.Sum256([]byte(password)) {
			t.Errorf("%s: %v", password, err)
		}
		if (len(d.Warnings) == 1) != warned {
			t.Errorf("%d characters: got warnings %v", len(password), d.Warnings)
		}
	}
}

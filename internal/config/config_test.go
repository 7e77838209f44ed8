package config

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trackway"
	"trackway/internal/certificate"
	"trackway/internal/config/alarming"
	"trackway/internal/config/auditing"
	"trackway/internal/config/covered"
	"trackway/internal/config/scalar"
	"trackway/internal/config/transport"
)

const minimal = "projects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc}]\n"

// wide is how IPv6 callers are counted together by default.
var wide = trackway.IPv6Wide{Prefix: 48, Times: 16}

// tracked returns the paths of a limit that lists some paths, with those of
// dialects.
func tracked(paths ...string) []string {
	p := []trackway.Policy{{Paths: paths}}
	covered.Dialects(p)
	return p[0].Paths
}

func comparePrefixes(a, b netip.Prefix) bool { return a == b }

func mustParse(t *testing.T, src string, flags Flags) *Config {
	t.Helper()
	cfg, err := Parse("conf/t.yaml", []byte(src), flags, env)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestParse(t *testing.T) {
	t.Parallel()
	const src = `
listen: 0.0.0.0:8080
ops_listen: "[::1]:8081"
data_dir: /var/lib/trackway
tls: {cert: cert.pem, key: /etc/key.pem}
server: {name: ts1.eu, region: eu, url: "http://127.0.0.1:8080"}
servers: [{name: ts2.us, region: us, url: "https://ts2.us.example.com"}]
contact: {email: tracking@example.com, url: "https://example.com/support"}
trusted_proxies: [10.0.0.0/8, 192.0.2.1, "2001:db8::/32"]
client_ip_header: forwarded
projects:
  - name: demo
    token: 12345678-1234-1234-1234-123456789ABC
    identifiers: {hard: [registered, email], soft: [cookie], nobody: ["null", Anonymous]}
    opentelemetry: {user: [app.login], device: []}
    personal: [email, First Name]
    bots: {label: true, property: robot, pace: 600, repeats: 0, regular: 2h}
    retention: {default: 365d, events: {page_visit: 30d, "purchase: made": forever, ping: 1h30m}}
    keys:
      - {name: web, kind: public, token: public-token}
      - {name: backend, kind: private, id: a, secret: from the file}
      - {name: digest, kind: private, id: b, secret_sha256: 0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef}
      - name: env
        kind: private
        id: c
        secret_env: SET
limits:
  - {name: track, paths: [/track/], limit: 6000, window: 60s, per: ip}
  - {name: api, paths: [/api/, POST /data/], limit: 30, window: 30s, per: ip+path, algorithm: gcra, burst: 3, candidate: 20,
     ipv6_prefix: 56, ipv6_wide: {prefix: 32, times: 8}}
  - {name: all, paths: [/], limit: 100, window: 1m30s, per: key, algorithm: sliding, mode: report, also: true,
     allow_below_floor: true, ipv6_prefix: 48, ipv6_wide: {times: 0}}
overrides:
  - {policy: track, address: 203.0.113.0/24, limit: 60000, until: 2027-01-01}
  - {policy: track, project: demo, unlimited: true}
  - {policy: api, key: backend, limit: 0, until: 2027-01-01T12:00:00+02:00}
traffic: {record: true, keep: 36h, max_mb: 10}
connections: {max: 1000, per_address: 20}
memory: {max_mb: 512}
log: {level: debug, format: json}
`
	digest := [sha256.Size]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}
	for i := 8; i < len(digest); i++ {
		digest[i] = digest[i%8]
	}
	const token = "12345678-1234-1234-1234-123456789abc"
	want := &Config{
		Listen: "0.0.0.0:8080", OpsListen: "[::1]:8081", DataDir: "/var/lib/trackway", Partitions: 1,
		TLS:     transport.TLS{Cert: filepath.Join("conf", "cert.pem"), Key: "/etc/key.pem", ACME: transport.ACME{Directory: certificate.LetsEncrypt}},
		Server:  Server{Name: "ts1.eu", Region: "eu", URL: "http://127.0.0.1:8080"},
		Servers: []Server{{Name: "ts2.us", Region: "us", URL: "https://ts2.us.example.com"}},
		Contact: Contact{Email: "tracking@example.com", URL: "https://example.com/support"},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
		},
		ClientIPHeader: "Forwarded",
		Connections:    Connections{Max: 1000, PerAddress: 20},
		Memory:         Memory{MaxMB: 512},
		Log:            Log{Level: "debug", Format: "json"},
		Audit:          auditing.Defaults(),
		Projects: []trackway.Project{{
			Name: "demo", Token: token,
			Hard: []string{"registered", "email"}, Soft: []string{"cookie"}, Nobody: []string{"null", "Anonymous"}, User: "registered", Device: "cookie", Personal: []string{"email", "First Name"},
			UserAttributes: []string{"app.login"}, DeviceAttributes: []string{},
			Bots: trackway.Bots{Property: "robot", Pace: 600, Regular: 2 * time.Hour, OneHit: 50},
			Keep: trackway.Retention{
				Default: 365 * 24 * time.Hour,
				Events:  map[string]time.Duration{"page_visit": 30 * 24 * time.Hour, "purchase: made": 0, "ping": 90 * time.Minute},
			},
			Keys: []trackway.Key{
				{Name: "web", Kind: trackway.PublicKey, ID: "public-token"},
				{Name: "backend", Kind: trackway.PrivateKey, ID: "a", Secret: sha256.Sum256([]byte("from the file"))},
				{Name: "digest", Kind: trackway.PrivateKey, ID: "b", Secret: digest},
				{Name: "env", Kind: trackway.PrivateKey, ID: "c", Secret: sha256.Sum256([]byte("from the environment"))},
			},
		}},
		Policies: []trackway.Policy{
			{
				Name: "track", Paths: tracked("/track/"), Limit: 6000, Window: time.Minute,
				Per: trackway.PerIP, Algorithm: trackway.Fixed, Mode: trackway.Enforce, IPv6Prefix: 64, IPv6Wide: wide,
			},
			{
				Name: "api", Paths: []string{"/api/", "POST /data/"}, Limit: 30, Window: 30 * time.Second,
				Per: trackway.PerIPPath, Algorithm: trackway.GCRA, Mode: trackway.Enforce, Burst: 3, Candidate: 20,
				IPv6Prefix: 56, IPv6Wide: trackway.IPv6Wide{Prefix: 32, Times: 8},
			},
			{
				Name: "all", Paths: []string{"/"}, Limit: 100, Window: 90 * time.Second,
				Per: trackway.PerKey, Algorithm: trackway.Sliding, Mode: trackway.Report, Also: true,
				AllowBelowFloor: true, IPv6Prefix: 48, IPv6Wide: trackway.IPv6Wide{Prefix: 48, Times: 0},
			},
		},
		Overrides: []trackway.Override{
			{
				Policy: "track", Address: netip.MustParsePrefix("203.0.113.0/24"), Limit: 60000,
				Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
			},
			{Policy: "track", Project: token, Unlimited: true},
			{Policy: "api", Key: "backend", Until: time.Date(2027, 1, 1, 10, 0, 0, 0, time.UTC)},
		},
		Traffic: Traffic{Record: true, Keep: 36 * time.Hour, MaxBytes: 10e6},
		Alarms:  alarming.Alarms{Rules: alarming.Usual()},
	}
	if diff := cmp.Diff(want, mustParse(t, src, Flags{}), cmp.Comparer(comparePrefixes)); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got := mustParse(t, minimal, Flags{})
	want := &Config{
		Listen: "127.0.0.1:8080", OpsListen: "127.0.0.1:8081", DataDir: filepath.Join("conf", "trackway-data"), Partitions: 1,
		TLS:            transport.TLS{ACME: transport.ACME{Directory: certificate.LetsEncrypt}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		ClientIPHeader: "X-Forwarded-For",
		Connections:    Connections{PerAddress: 256},
		Log:            Log{Level: "info", Format: "text"},
		Audit:          auditing.Defaults(),
		Projects: []trackway.Project{{
			Name: "demo", Token: "12345678-1234-1234-1234-123456789abc", Hard: []string{"registered"}, Soft: []string{"cookie"}, Nobody: usualNobody(), User: "registered", Device: "cookie",
			Bots: usualRules,
		}},
		Policies: []trackway.Policy{
			{
				Name: "track", Paths: tracked("/track/", "/data/v2/projects/*/consent/categories"), Limit: 6000, Window: time.Minute,
				Per: trackway.PerIP, Algorithm: trackway.Fixed, Mode: trackway.Enforce, IPv6Prefix: 64, IPv6Wide: wide,
			},
			{
				Name: "api", Paths: []string{"/api/", "/data/"}, Limit: 30, Window: 30 * time.Second,
				Per: trackway.PerIPPath, Algorithm: trackway.Fixed, Mode: trackway.Enforce, IPv6Prefix: 64, IPv6Wide: wide,
			},
			{
				Name: "grid", Paths: []string{"/grid/"}, Limit: 15, Window: 30 * time.Second, NoLooserThan: "api",
				Per: trackway.PerIP, Algorithm: trackway.Fixed, Mode: trackway.Enforce, IPv6Prefix: 64, IPv6Wide: wide,
			},
			{
				Name: "signin", Paths: []string{"POST /grid/session", "GET /grid/oidc/callback"}, Limit: 5, Window: time.Minute,
				Per: trackway.PerIP, Algorithm: trackway.Fixed, Mode: trackway.Enforce, IPv6Prefix: 64, IPv6Wide: wide,
			},
		},
		Traffic: Traffic{Keep: 7 * 24 * time.Hour, MaxBytes: 512e6},
		Alarms:  alarming.Alarms{Rules: alarming.Usual()},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(comparePrefixes), cmpopts.IgnoreFields(Config{}, "Server")); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
	if !scalar.IsName(got.Server.Name) {
		t.Errorf("name of the server: got %q", got.Server.Name)
	}
}

// Load reads what other editors write.
func TestForms(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]string{
		"byte order mark":   "\ufefflisten: h:1\n" + minimal,
		"CRLF":              strings.ReplaceAll("listen: h:1\n"+minimal, "\n", "\r\n"),
		"one document mark": "---\nlisten: h:1\n" + minimal,
		"JSON":              `{"listen": "h:1", "projects": [{"name": "demo", "token": "12345678-1234-1234-1234-123456789abc"}]}`,
		"block of text":     "listen: >-\n  h:1\n" + minimal,
	} {
		if got := mustParse(t, src, Flags{}).Listen; got != "h:1" {
			t.Errorf("%s: got %q, want h:1", name, got)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	const src = "listen: a:1\nops_listen: a:2\ndata_dir: a\nlog: {level: warn, format: text}\n" + minimal
	got := mustParse(t, src, Flags{Listen: "b:1", OpsListen: "b:2", DataDir: "b", LogLevel: "error", LogFormat: "json"})
	if got.Listen != "b:1" || got.OpsListen != "b:2" || got.DataDir != "b" || got.Log != (Log{"error", "json"}) {
		t.Errorf("flags do not win: got %+v", got)
	}

	_, err := Parse("t.yaml", []byte(src), Flags{Listen: "b", LogLevel: "loud"}, env)
	want := `--listen or TRACKWAY_LISTEN "b": must be host:port, such as 127.0.0.1:8080
--log-level or TRACKWAY_LOG_LEVEL "loud": must be debug, info, warn or error`
	if fmt.Sprint(err) != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// Each problem of a Check gets its place: that of the value or, if the value is
// missing, that of the thing that lacks it.
func TestChecks(t *testing.T) {
	t.Parallel()
	const src = minimal + `limits:
  - {name: a, paths: [/a/, /b/], limit: 7, window: 60}
  - name: b
    paths: [/c/]
    limit: 8
    window: 60s
  - {name: c, paths: [/d/], window: 60s}
`
	check := func(cfg *Config) []Problem {
		if len(cfg.Projects) != 1 || len(cfg.Policies) != 3 || cfg.Policies[1].Limit != 8 {
			t.Errorf("the check got %+v", cfg)
		}
		return []Problem{
			{Field: "limits[0].paths[1]", Msg: "is odd"},
			{Field: "limits[0].window", Msg: "was told already"},
			{Field: "limits[1].limit", Msg: "is even"},
			{Field: "limits[1].per", Msg: "is missing"},
			{Field: "limits[1].ipv6_wide.prefix", Msg: "may follow from that"},
			{Field: "limits[2].limit", Msg: "was told already"},
		}
	}
	_, err := Parse("t.yaml", []byte(src), Flags{}, env, check)
	want := `t.yaml:3:28: limits[0].paths[1] "/b/": is odd
t.yaml:3:52: limits[0].window 60: must be a duration with its unit, such as 60s or 1m30s
t.yaml:6:12: limits[1].limit 8: is even
t.yaml:8:5: limits[2]: needs a limit: calls in a window`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}

	_, err = Parse("t.yaml", []byte(src[:strings.Index(src, "  - {name: a")]+src[strings.Index(src, "  - name: b"):strings.Index(src, "  - {name: c")]),
		Flags{}, env, func(*Config) []Problem {
			return []Problem{{Field: "limits[0].ipv6_wide.prefix", Msg: "is missing"}}
		})
	if want := "t.yaml:3:5: limits[0].ipv6_wide.prefix: is missing"; fmt.Sprint(err) != want {
		t.Errorf("missing: got %v, want %s", err, want)
	}
	_, err = Parse("t.yaml", []byte(minimal), Flags{}, env, func(*Config) []Problem {
		return []Problem{{Field: "limits[0].limit", Msg: "is wrong"}}
	})
	if want := "t.yaml:1:1: limits[0].limit: is wrong"; fmt.Sprint(err) != want {
		t.Errorf("a default: got %v, want %s", err, want)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "t.yaml")
	const withKey = "projects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc, keys: [{name: a, kind: private, id: a, %s}]}]\n"
	plain, digest := fmt.Sprintf(withKey, "secret: s3cr3t-of-16-chars"), fmt.Sprintf(withKey, "secret_sha256: "+strings.Repeat("ab", sha256.Size))
	for _, c := range []struct {
		name, src string
		mode      fs.FileMode
		warnings  []string
	}{
		{"its owner's secret", plain, 0o600, nil},
		{"no secret", digest, 0o644, nil},
		{"the group's secret, too", plain, 0o640, nil},
		{"a secret for others", plain, 0o644, []string{
			path + ": holds a secret and others may read it (mode 0644): chmod 640, or use secret_sha256, secret_env or secret_file",
		}},
		{"proxies everywhere", "trusted_proxies: [0.0.0.0/0, 10.0.0.0/8]\n" + digest, 0o644, []string{
			path + `:1:19: trusted_proxies[0] "0.0.0.0/0": lets every caller choose the address that its calls count for`,
		}},
	} {
		if err := os.WriteFile(path, []byte(c.src), c.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		cfg, warnings, err := Load(path, Flags{})
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, "trackway-data"); cfg.DataDir != want {
			t.Errorf("%s: data directory: got %s, want %s", c.name, cfg.DataDir, want)
		}
		var got []string
		for _, w := range warnings {
			got = append(got, w.String())
		}
		if diff := cmp.Diff(c.warnings, got); diff != "" {
			t.Errorf("%s: warnings (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestLoadFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.yaml")
	if _, _, err := Load(path, Flags{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: got %v, want fs.ErrNotExist", err)
	}
	if err := os.WriteFile(path, []byte("tls: {cert: a.pem, key: b.pem}\n"+minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := Load(path, Flags{})
	if want := path + ":1:6: tls: cannot be used: open "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("absent certificate: got %v, want %s…", err, want)
	}
}

// Only Load reads the real environment and the real certificate.
func TestLoadReadsSurroundings(t *testing.T) {
	t.Setenv("TRACKWAY_TEST_SECRET", "s3cr3t-of-16-chars")
	dir := t.TempDir()
	cert, key := testCertificate(t)
	for name, text := range map[string][]byte{
		"cert.pem": cert, "key.pem": key,
		"t.yaml": []byte("tls: {cert: cert.pem, key: key.pem}\nprojects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc, " +
			"keys: [{name: a, kind: private, id: a, secret_env: TRACKWAY_TEST_SECRET}]}]\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, warnings, err := Load(filepath.Join(dir, "t.yaml"), Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(warnings); len(warnings) != 1 || !strings.Contains(got, "t.yaml:1:6: tls: the certificate expired on 0001-01-01") {
		t.Errorf("warnings: got %s", got)
	}
	if got, want := cfg.Projects[0].Keys[0].Secret, sha256.Sum256([]byte("s3cr3t-of-16-chars")); got != want {
		t.Errorf("secret: got %x, want %x", got, want)
	}
	other, otherKey := testCertificate(t)
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), otherKey, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err = Load(filepath.Join(dir, "t.yaml"), Flags{})
	if want := "t.yaml:1:6: tls: cannot be used: tls: private key does not match public key"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a key of another certificate: got %v, want %s", err, want)
	}
	if bytes.Equal(cert, other) {
		t.Error("this test would notice nothing")
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key); err != nil {
		t.Errorf("the paths do not lead to the certificate: %v", err)
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		log  Log
		want string
	}{
		{Log{"info", "text"}, "level=INFO msg=b k=1\nlevel=ERROR msg=c\n"},
		{Log{"error", "text"}, "level=ERROR msg=c\n"},
		{Log{"debug", "json"}, `{"level":"DEBUG","msg":"a"}` + "\n" + `{"level":"INFO","msg":"b","k":1}` + "\n" + `{"level":"ERROR","msg":"c"}` + "\n"},
	} {
		var out strings.Builder
		log := c.log.Logger(&out, c.log.SlogLevel())
		log.Debug("a")
		log.Info("b", "k", 1)
		log.Error("c")
		if got := withoutTimes(out.String()); got != c.want {
			t.Errorf("%+v: got\n%s\nwant\n%s", c.log, got, c.want)
		}
	}
}

// A certificate of an authority that is not for the host of server.url is of no
// use to clients.
func TestHostsOfURL(t *testing.T) {
	t.Parallel()
	for hosts, warned := range map[string]bool{"ts.example.com": false, "TS.example.com": false, "a.example.com, ts.example.com": false, "a.example.com": true} {
		path := filepath.Join(t.TempDir(), "t.yaml")
		text := "server: {url: \"https://TS.example.com\"}\ntls: {acme: {hosts: [" + hosts + "]}}\n" + minimal
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, warnings, err := Load(path, Flags{})
		if err != nil || (len(warnings) == 1) != warned || warned && !strings.Contains(fmt.Sprint(warnings), "tls.acme: the hosts lack that of server.url, ts.example.com") {
			t.Errorf("%s: got %v, %v", hosts, warnings, err)
		}
	}
}

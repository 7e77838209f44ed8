package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"trackway/internal/porttest"
	"trackway/internal/prereq"
)

// acmeHost is the host that gets a certificate. Only the authority's DNS knows
// it.
const acmeHost = "tracking.test"

// authority is a running ACME server (letsencrypt/pebble).
type authority struct {
	directory, roots string // URLs
	trusted          *x509.CertPool
	stop             func()
}

// startAuthority starts an authority whose certificates last for life. It
// checks challenges at these addresses of 127.0.0.1.
func startAuthority(t *testing.T, web, secure string, life time.Duration) *authority {
	t.Helper()
	programs := t.TempDir()
	build := exec.Command("go", "build", "-o", programs+"/", "github.com/letsencrypt/pebble/v2/cmd/pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv")
	build.Dir = filepath.Join(root, "tools")
	if out, err := build.CombinedOutput(); err != nil {
		prereq.Missing(t, prereq.Pebble, string(out))
	}
	dir := t.TempDir()
	certify(t, dir, 1, time.Now().Add(time.Hour)) // of the authority's own listeners
	text, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{trusted: x509.NewCertPool()}
	a.trusted.AppendCertsFromPEM(text)
	dns, listen, manage := porttest.Address(t), porttest.Address(t), porttest.Address(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": manage,
		"certificate": filepath.Join(dir, "cert.pem"), "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": port(t, web), "tlsPort": port(t, secure), "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "for tests", "validityPeriod": int(life.Seconds())}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	for _, args := range [][]string{
		{"pebble-challtestsrv", "-dnsserver", dns, "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", porttest.Address(t)},
		{"pebble", "-config", file, "-dnsserver", dns},
	} {
		cmd := exec.CommandContext(ctx, filepath.Join(programs, args[0]), args[1:]...)
		cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			stop()
			_ = cmd.Wait() // it was killed
		})
	}
	a.directory = "https://localhost:" + strconv.Itoa(port(t, listen)) + "/dir"
	a.roots = "https://localhost:" + strconv.Itoa(port(t, manage)) + "/roots/0"
	a.trusted.AppendCertsFromPEM(a.fetch(t, a.roots))
	a.fetch(t, a.directory)
	t.Setenv("SSL_CERT_FILE", filepath.Join(dir, "cert.pem")) // the server trusts the authority's listener
	return a
}

// fetch gets a document, and waits until the authority is up.
func (a *authority) fetch(t *testing.T, url string) []byte {
	t.Helper()
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.trusted}}}
	var text []byte
	awaitPatiently(t, func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := web.Do(req)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, err = io.ReadAll(res.Body)
		return err == nil && res.StatusCode == http.StatusOK
	})
	return text
}

func port(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// serial returns the serial number of the certificate that the server presents
// for acmeHost, if a client accepts it.
func (s *server) serial(t *testing.T, a *authority) string {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{RootCAs: a.trusted, ServerName: acmeHost}}
	conn, err := d.DialContext(t.Context(), "tcp", s.public)
	if err != nil {
		return ""
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// startFor starts a server at an address, with certificates of an authority.
func startFor(t *testing.T, dir, listen, redirect string, a *authority) *server {
	t.Helper()
	file := filepath.Join(dir, "trackway.yaml")
	settings := "tls: {redirect: \"" + redirect + "\", acme: {hosts: [" + acmeHost + "], email: ops@example.com, directory: \"" + a.directory + "\"}}\n"
	if err := os.WriteFile(file, []byte(settings+baseConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	s := launch(t, dir, "--config", file, "--data", filepath.Join(dir, "data"), "--listen", listen)
	s.config = file
	s.awaitReady(t)
	return s
}

// TestACME: a server gets a certificate by either challenge, renews it, goes on
// without the authority, and sends plain HTTP on.
func TestACME(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the authority, and waits for a certificate to be renewed")
	}
	// It is renewed after 57 to 60 seconds. The rest is for a slow machine:
	// clients refuse it once it has ended.
	const life = 90 * time.Second
	listen, web := porttest.Address(t), porttest.Address(t)
	a := startAuthority(t, web, listen, life)
	dir := t.TempDir()
	s := startFor(t, dir, listen, web, a)
	s.log.mayHold("no certificate from the authority")
	first := ""
	awaitPatiently(t, func() bool { first = s.serial(t, a); return first != "" })
	awaitPatiently(t, func() bool {
		serial := s.serial(t, a)
		if serial == "" {
			t.Fatal("a client refused the certificate")
		}
		return serial != first
	})
	expires := s.metric(t, "trackway_tls_certificate_expires_timestamp_seconds")
	if left := time.Until(time.Unix(int64(expires), 0)); left < life/3 || left > life {
		t.Errorf("the metric says that the certificate ends in %v", left)
	}
	if out, err := exec.Command(binary(t), "doctor", "--config", s.config, "--data", filepath.Join(dir, "data"),
		"--listen", listen, "--ops-listen", s.ops).CombinedOutput(); !strings.Contains(string(out), "that of "+acmeHost+" ends on") {
		t.Errorf("doctor does not name the certificate: %s (%v)", out, err)
	}
	checkRedirect(t, web, listen)

	a.stop()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	again := startFor(t, dir, listen, web, a)
	again.log.mayHold("no certificate from the authority")
	if again.serial(t, a) == "" {
		t.Error("the restarted server does not serve its certificate")
	}
}

// TestACMEByHTTP: if the authority cannot reach the HTTPS port, the listener
// for plain HTTP answers the challenge.
func TestACMEByHTTP(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the authority")
	}
	listen, web := porttest.Address(t), porttest.Address(t)
	a := startAuthority(t, web, porttest.Address(t), time.Hour)
	s := startFor(t, t.TempDir(), listen, web, a)
	s.log.mayHold("no certificate from the authority")
	awaitPatiently(t, func() bool { return s.serial(t, a) != "" })
}

// checkRedirect checks that plain HTTP sends readers on, and refuses calls.
func checkRedirect(t *testing.T, web, listen string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct {
		method, key string
		status      int
	}{{http.MethodGet, "", 308}, {http.MethodPost, "", 403}, {http.MethodGet, "Token " + publicKey, 403}} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+web+"/about/api", nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.key != "" {
			req.Header.Set("Authorization", c.key)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		want := ""
		if c.status == 308 {
			want = "https://127.0.0.1:" + strconv.Itoa(port(t, listen)) + "/about/api"
		}
		if res.StatusCode != c.status || res.Header.Get("Location") != want {
			t.Errorf("%s (key %q): got %d to %q, want %d to %q", c.method, c.key, res.StatusCode, res.Header.Get("Location"), c.status, want)
		}
	}
}

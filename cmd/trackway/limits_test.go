package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const usageAnswer = `{"at":"2026-11-22T03:54:50Z","table":{"bytes":27962048,"slots":1747628,"used":5,"untracked":7},"policies":[
	{"name":"track","limit":6000,"window":60,"mode":"report","calls":40,"refused":1,"would_refuse":2,"candidate_refused":3,"callers":4,
	"p50":13,"p95":14,"p99":15,"max":16,"tenths":[31,32,33,34,35,36,37,38,39,30],"over":8}]}`

const callersAnswer = `{"since":"2026-11-22T03:54:50Z","rows":[{"policy":"api","address":"203.0.113.7","address_from":"the peer","calls":46,"refused":10,"error":2,
	"first":"2026-11-22T03:54:51Z","last":"2026-11-22T03:54:52Z","projects":["demo"],"routes":["GET /api/limits/callers","GET /api/status"],
	"user_agents":["evil\u001b[2J\u009b` + "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" + `"],"event_types":[],"bodies":8,"repeats":0.875}]}`

// operator starts a server with a single answer, and returns a configuration
// that leads to it.
func operator(t *testing.T, status int, body, more string, serve func(*httptest.Server)) (config string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, secret, _ := r.BasicAuth(); id != "backend" || secret != "s3cret" {
			http.Error(w, `{"success":false,"error":"Invalid secret"}`, http.StatusForbidden)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "QUERY", r.URL.RequestURI()))
	}))
	serve(s)
	t.Cleanup(s.Close)
	return configure(t, "listen: "+s.Listener.Addr().String()+"\n"+more, "secret: s3cret")
}

// configure writes a configuration with a private key.
func configure(t *testing.T, head, secret string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "t.yaml")
	write(t, path, head+`
projects:
  - name: demo
    token: 12345678-1234-1234-1234-123456789abc
    keys: [{name: back, kind: private, id: backend, `+secret+`}]
`)
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLimitsShow(t *testing.T) {
	t.Parallel()
	path := operator(t, 200, usageAnswer, "", (*httptest.Server).Start)
	stdout, _ := runs(t, fine, "limits", "show", "--config", path)
	want := `POLICY  LIMIT        MODE    CALLS  REFUSED  WOULD  CANDIDATE  CALLERS  P50  P95  P99  MAX
track   6000 in 60s  report  40     1        2      3          4        13   14   15   16

CALLERS THAT USED  0%  10%  20%  30%  40%  50%  60%  70%  80%  90%  OVER
track              31  32   33   34   35   36   37   38   39   30   8

5 of 1747628 counters are in use, in 28.0 MB; 7 calls were admitted without being counted.
`
	if stdout != want {
		t.Errorf("got\n%s\nwant\n%s", stdout, want)
	}
	stdout, _ = runs(t, fine, "limits", "show", "--config", path, "--json")
	if stdout != usageAnswer+"\n" {
		t.Errorf("got %s, want the answer as it is", stdout)
	}
}

func TestLimitsTop(t *testing.T) {
	t.Parallel()
	path := operator(t, 200, callersAnswer, "", (*httptest.Server).Start)
	stdout, _ := runs(t, fine, "limits", "top", "--config", path)
	lines := strings.Split(stdout, "\n")
	want := `46     10       2  api     203.0.113.7  ` + time.Date(2026, 11, 22, 3, 54, 52, 0, time.UTC).Local().Format(time.TimeOnly) +
		`  88%      demo     GET /api/limits/callers +1  -      evil\x1b[2J\u009b` + strings.Repeat("x", 42) + "…  the peer"
	if lines[1] != want {
		t.Errorf("got\n%s\nwant\n%s", lines[1], want)
	}
	path = operator(t, 200, `{"since":"2026-11-22T03:54:50Z","rows":[]}`, "", (*httptest.Server).Start)
	stdout, _ = runs(t, fine, "limits", "top", "--config", path)
	contains(t, "nobody", stdout, "Nobody since")

	path = operator(t, 400, `{"success":false,"errors":["asked QUERY"]}`, "", (*httptest.Server).Start)
	_, stderr := runs(t, failed, "limits", "top", "--config", path, "--policy", "a b", "--refused", "--rows", "3")
	contains(t, "the query", stderr, "refuses: 400 asked /api/limits/callers?policy=a+b&refused=true&rows=3")
}

func TestAskingFails(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"success":false,"message":"m\u001b"}`:              `m\x1b`,
		`{"status":429,"error":"rate","message":"Too many"}`: "Too many",
		`{"success":false,"error":"e"}`:                      "e",
		`{"errors":{"code":500,"description":"d"}}`:          "d",
		`{"success":false,"errors":["a","b"]}`:               "a b",
		`<html>`:                                             "without a known reason",
	} {
		path := operator(t, 500, body, "", (*httptest.Server).Start)
		_, stderr := runs(t, failed, "limits", "show", "--config", path)
		contains(t, body, stderr, "refuses: 500 "+want)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	path := configure(t, "listen: "+gone.Listener.Addr().String(), "secret: s3cret")
	_, stderr := runs(t, failed, "limits", "show", "--config", path)
	contains(t, "no server", stderr, "no answer from http://"+gone.Listener.Addr().String())
	contains(t, "no server", stderr, "connection refused; is the server running, with this configuration?")
	path = operator(t, 200, "<html>", "", (*httptest.Server).Start)
	for _, command := range []string{"show", "top"} {
		_, stderr = runs(t, failed, "limits", command, "--config", path)
		contains(t, "no JSON", stderr, "the server's answer cannot be read")
	}
	for _, args := range [][]string{{"limits"}, {"limits", "guess"}, {"limits", "top", "--rows", "many"}} {
		runs(t, misuse, args...)
	}
}

func TestSecretFile(t *testing.T) {
	t.Parallel()
	path := operator(t, 200, usageAnswer, "", (*httptest.Server).Start)
	secret := filepath.Join(t.TempDir(), "secret")
	for text, want := range map[string]int{"s3cret\r\n": fine, "s3cret": fine, "other": failed, "\n": failed} {
		write(t, secret, text)
		_, stderr := runs(t, want, "limits", "show", "--config", path, "--secret-file", secret)
		if strings.Contains(stderr, "s3cret") || strings.Contains(stderr, "other\n") {
			t.Errorf("the secret is told: %s", stderr)
		}
	}
	runs(t, failed, "limits", "show", "--config", path, "--secret-file", secret+".absent")
}

func TestSecretByEnvironment(t *testing.T) {
	s := operator(t, 200, usageAnswer, "", (*httptest.Server).Start)
	t.Setenv("TRACKWAY_SECRET", "wrong")
	_, stderr := runs(t, failed, "limits", "show", "--config", s)
	contains(t, "another secret", stderr, "belongs to no private key")
	t.Setenv("TRACKWAY_SECRET", "s3cret")
	runs(t, fine, "limits", "show", "--config", s)
}

// A server is trusted by its own certificate, whatever name that has.
func TestAskingOverTLS(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"ts1.example.com"}, {"*.example.com"}, nil} {
		cert, key := selfSigned(t, names)
		dir := t.TempDir()
		write(t, filepath.Join(dir, "cert.pem"), string(cert))
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		path := operator(t, 200, usageAnswer, "tls: {cert: "+dir+"/cert.pem, key: "+dir+"/key.pem}\n", func(s *httptest.Server) {
			s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
			s.StartTLS()
		})
		stdout, _ := runs(t, fine, "limits", "show", "--config", path)
		contains(t, "over TLS", stdout, "track   6000 in 60s")

		other, _ := selfSigned(t, names)
		write(t, filepath.Join(dir, "cert.pem"), string(other))
		_, stderr := runs(t, failed, "limits", "show", "--config", path)
		contains(t, "another certificate", stderr, "no answer from https://")
		write(t, filepath.Join(dir, "cert.pem"), "none")
		_, stderr = runs(t, failed, "limits", "show", "--config", path)
		contains(t, "no certificate", stderr, "cert.pem holds no certificate")
	}
}

func selfSigned(t *testing.T, names []string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: names,
	}
	if names == nil {
		template.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// certify writes a certificate for localhost and proxyHost, and its key, into
// dir.
func certify(t *testing.T, dir string, serial int64, until time.Time) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost", proxyHost}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// served returns the serial number of the certificate that the server presents.
func (s *server) served(t *testing.T) int64 {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := d.DialContext(t.Context(), "tcp", s.public)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestRenewedCertificate: the server uses a renewed certificate without a
// restart, and never a wrong one.
func TestRenewedCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	until := time.Now().Add(90 * 24 * time.Hour).Truncate(time.Second)
	certify(t, dir, 1, until)
	s := startIn(t, dir, "tls: {cert: cert.pem, key: key.pem}\n"+strings.Replace(baseConfig, "region: test", `region: test, url: "https://localhost:8443"`, 1))
	s.log.mayHold("reload refused")
	if got := s.served(t); got != 1 {
		t.Errorf("got certificate %d, want 1", got)
	}
	const expires = "trackway_tls_certificate_expires_timestamp_seconds"
	if got := s.metric(t, expires); got != float64(until.Unix()) {
		t.Errorf("it ends at %v, want %v", got, until.Unix())
	}

	certify(t, dir, 2, until.Add(time.Hour))
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.awaitLog(t, "a line that says it has reloaded", func(text string) bool { return strings.Contains(text, `"msg":"reloaded"`) })
	if got, ends := s.served(t), s.metric(t, expires); got != 2 || ends != float64(until.Add(time.Hour).Unix()) {
		t.Errorf("got certificate %d that ends at %v, want 2 of %v", got, ends, until.Add(time.Hour).Unix())
	}

	other := t.TempDir() // this key is another one
	certify(t, other, 3, until)
	if err := os.Rename(filepath.Join(other, "cert.pem"), filepath.Join(dir, "cert.pem")); err != nil {
		t.Fatal(err)
	}
	s.reload(t, http.StatusBadRequest, "private key does not match")
	if got := s.served(t); got != 2 {
		t.Errorf("got certificate %d, want 2", got)
	}
}

// TestCheckWarnsOfCertificate: the operator is warned of a certificate that
// ends soon.
func TestCheckWarnsOfCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certify(t, dir, 1, time.Now().Add(10*24*time.Hour))
	file := filepath.Join(dir, "trackway.yaml")
	text := "tls: {cert: cert.pem, key: key.pem}\n" + strings.Replace(baseConfig, "region: test", `region: test, url: "https://other.example"`, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "doctor"} {
		// The exit status does not matter: doctor finds no server, and examines
		// this machine.
		out, _ := exec.Command(binary(t), command, "--config", file, "--listen", "127.0.0.1:1", "--ops-listen", "127.0.0.1:2").CombinedOutput()
		for _, want := range []string{"the certificate expires on ", "in 9 days", "not for the host of server.url"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s does not say %q: %s", command, want, out)
			}
		}
	}
}

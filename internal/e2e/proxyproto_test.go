package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"trackway/internal/porttest"
)

// TestProxyProtocol: behind a TCP proxy, callers are identified by the address
// that the proxy sends first on a connection.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+"proxy_protocol: true\nlimits:\n  - {name: api, paths: [/data/], limit: 1, window: 60s, per: ip}\n")
	call := func(client string) int {
		conn, err := net.Dial("tcp", s.public)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "PROXY TCP4 %s 192.0.2.1 4711 80\r\nGET /data/ HTTP/1.1\r\nHost: x\r\n\r\n", client)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	for _, c := range []struct {
		client string
		want   int
	}{{"198.51.100.1", 404}, {"198.51.100.1", 429}, {"198.51.100.2", 404}} {
		if got := call(c.client); got != c.want {
			t.Errorf("%s: got %d, want %d", c.client, got, c.want)
		}
	}
}

// TestProxyProtocolRedirect: the same proxy passes plain HTTP on, with the same
// header.
func TestProxyProtocolRedirect(t *testing.T) {
	t.Parallel()
	dir, plain := t.TempDir(), porttest.Address(t)
	certify(t, dir, 1, time.Now().Add(time.Hour))
	tls := fmt.Sprintf("tls: {cert: %[1]s/cert.pem, key: %[1]s/key.pem, redirect: %[2]q}\n", dir, plain)
	s := start(t, baseConfig+"proxy_protocol: true\n"+tls)
	conn, err := net.Dial("tcp", plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PROXY TCP4 198.51.100.1 192.0.2.1 4711 80\r\nGET /about/api HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, want := res.Header.Get("Location"), fmt.Sprintf("https://x:%d/about/api", port(t, s.public)); res.StatusCode != http.StatusPermanentRedirect || got != want {
		t.Errorf("got %d to %q, want a redirect to %s", res.StatusCode, got, want)
	}
}

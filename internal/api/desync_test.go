package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestHeldBackBodyIsNoRequest: if a refused caller holds its body back for
// longer than a request may take, the server must not read the body as a new
// request. Behind a proxy, that would be a request in another client's name.
func TestHeldBackBodyIsNoRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	srv := httptest.NewUnstartedServer(f.Server)
	f.rest = 50 * time.Millisecond
	srv.Config.IdleTimeout = time.Hour
	srv.Start()
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "POST %scustomers HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n", trackBase); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("got %d, %v, want 401", res.StatusCode, err)
	}
	if rest, err := io.ReadAll(in); err != nil { // the end, and not our own deadline
		t.Errorf("got %q, %v: the connection goes on", rest, err)
	}
}

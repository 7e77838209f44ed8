package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"trackway"
)

// TestHeldBackBodyIsNoRequest: a caller who is refused and holds the body back beyond the time that a request may take must not
// have it read as a request of its own: behind a proxy that would be a request in somebody else's name.
func TestHeldBackBodyIsNoRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackway.Policy{
		Name: "track", Paths: []string{"/track/"}, Limit: 1, Window: time.Minute, Per: trackway.PerIP, AllowBelowFloor: true,
	})
	srv := httptest.NewUnstartedServer(f.Server)
	srv.Config.ReadTimeout = 50 * time.Millisecond
	srv.Start()
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const smuggled = "GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n"
	head := fmt.Sprintf("POST %scustomers HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", trackBase, len(smuggled))
	in := bufio.NewReader(conn)
	for _, want := range []int{http.StatusUnauthorized} { // it costs the one call, and its body does not come
		if _, err := io.WriteString(conn, head); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != want {
			t.Fatalf("got %d, want %d", res.StatusCode, want)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
	// The connection is closed once the body's time is over. What is sent then goes nowhere.
	rest, err := io.ReadAll(in)
	_, _ = io.WriteString(conn, smuggled)
	if strings.Contains(string(rest), "HTTP/1.1") {
		t.Errorf("got %q, %v: the connection went on", rest, err)
	}
}

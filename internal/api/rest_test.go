package api

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/api/rest"
)

// narrow accepts connections with small buffers, so that unread data soon stops
// the sender, as on a real network.
type narrow struct{ net.Listener }

const narrowBuffer = 32 << 10

func (l narrow) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetReadBuffer(narrowBuffer)
	}
	return conn, err
}

// sendAll sends all of a request before it reads anything, and returns the
// answer.
func sendAll(t *testing.T, addr net.Addr, head string, chunked bool, n int) (status int, closed bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).SetWriteBuffer(narrowBuffer); err != nil {
		t.Fatal(err)
	}
	length := fmt.Sprintf("Content-Length: %d\r\n", n)
	if chunked {
		length = "Transfer-Encoding: chunked\r\n"
	}
	if _, err := io.WriteString(conn, head+length+"\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if strings.Contains(head, "Expect:") {
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
			t.Fatalf("got %q, %v, want to be asked for the body", line, err)
		}
		if _, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	piece := bytes.Repeat([]byte(" "), 16<<10)
	for left := n; left > 0; left -= len(piece) {
		piece = piece[:min(len(piece), left)]
		if chunked {
			_, err = fmt.Fprintf(conn, "%x\r\n%s\r\n", len(piece), piece)
		} else {
			_, err = conn.Write(piece)
		}
		if err != nil {
			t.Errorf("the connection is closed while the body is sent: %v", err)
			break // there may be an answer all the same
		}
	}
	if chunked {
		_, _ = io.WriteString(conn, "0\r\n\r\n") // what was announced has been refused
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("the answer is lost: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	if text, err := io.ReadAll(res.Body); err != nil || len(text) == 0 {
		t.Errorf("the answer is lost: %q, %v", text, err)
	}
	return res.StatusCode, res.Close
}

// An answer that refuses a body also reaches a client that sends all of the
// body before it reads.
func TestRefusalsArrive(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackway.Policy{Name: "track", Paths: []string{"/track/v2/projects/limited/"}, Limit: 1, Window: time.Hour, Per: trackway.PerIP, AllowBelowFloor: true})
	srv := httptest.NewUnstartedServer(f.Server)
	srv.Listener = narrow{srv.Listener}
	srv.Start()
	t.Cleanup(srv.Close)
	const known, some = "Authorization: Token " + publicToken + "\r\n", 700_000
	post := func(path, fields string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + fields
	}
	event := trackBase + "customers/events"
	limited := post("/track/v2/projects/limited/customers", "X-Forwarded-For: 198.51.100.1\r\n")
	sendAll(t, srv.Listener.Addr(), limited, false, 0)
	for name, c := range map[string]struct {
		head   string
		n      int
		status int
	}{
		"no key":                  {post(event, ""), some, 401},
		"may not":                 {post(dataBase+"customers/export-one", known), some, 403},
		"no such route":           {post("/none", ""), some, 404},
		"not by POST":             {post(trackBase+"system/time", ""), some, 405},
		"too large":               {post(event, known), maxSingleBody + 1, 413},
		"too large, asked for":    {post(event, known+"Expect: 100-continue\r\n"), maxSingleBody + some, 413},
		"not JSON":                {post(event, known+"Content-Type: image/png\r\n"), some, 415},
		"encoded":                 {post(event, known+"Content-Encoding: br\r\n"), some, 415},
		"too often":               {limited, some, 429},
		"too large for this call": {post(dataBase+"customers/anonymize", "Authorization: Basic aWQ6cHJpdmF0ZS1zZWNyZXQ=\r\n"), some, 413},
	} {
		for _, chunked := range []bool{false, true} {
			if !chunked && strings.Contains(c.head, "Expect:") {
				continue // it is not asked for
			}
			t.Run(fmt.Sprintf("%s, chunked %v", name, chunked), func(t *testing.T) {
				t.Parallel()
				if status, closed := sendAll(t, srv.Listener.Addr(), c.head, chunked, c.n); status != c.status || !closed {
					t.Errorf("got %d, close %v; want %d, and that the connection is closed", status, closed, c.status)
				}
			})
		}
	}
}

// The server reads only a bounded part of a refused body, and only of a few
// bodies at the same time.
func TestRefusedIsReadInPart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	srv := httptest.NewUnstartedServer(f.Server)
	srv.Listener = narrow{srv.Listener}
	srv.Start()
	defer srv.Close()
	endless := func() (sent int) {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", trackBase+"customers"); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(conn.SetDeadline(time.Now().Add(30*time.Second)), conn.(*net.TCPConn).SetWriteBuffer(narrowBuffer)); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := conn.Write(make([]byte, 64<<10))
			if sent += n; err != nil {
				return sent
			}
		}
	}
	const buffers = 512 << 10 // of the kernel, and net/http's
	if sent := endless(); sent < rest.MaxBytes || sent > rest.MaxBytes+buffers {
		t.Errorf("%d bytes could be sent, want about %d", sent, rest.MaxBytes)
	}
	fill(t, f.reader.places.lingering, maxLingering)
	if sent := endless(); sent > buffers {
		t.Errorf("%d bytes could be sent while others are read", sent)
	}
}

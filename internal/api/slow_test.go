package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// one is a listener of one connection.
type one chan net.Conn

func (l one) Accept() (net.Conn, error) {
	conn, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l one) Close() error   { close(l); return nil }
func (l one) Addr() net.Addr { return &net.TCPAddr{} }

// placed is a connection from an address.
type placed struct{ net.Conn }

func (placed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 1} }

// A client whose body arrives too slowly gets an answer that says so. net/http
// ends the context of a request if it cannot read the body, as it does when the
// client has gone.
func TestSlowBodyIsTold(t *testing.T) {
	t.Parallel()
	for _, length := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			ours, theirs := net.Pipe()
			in := make(one, 1)
			in <- placed{theirs}
			srv := &http.Server{Handler: f.Server, ReadTimeout: time.Hour}
			served := make(chan error, 1)
			go func() { served <- srv.Serve(in) }()
			status, text := slowly(t, ours, length)
			if status != 503 || !strings.Contains(text, "too slowly") {
				t.Errorf("%s: got %d, %s", length, status, text)
			}
			_ = ours.Close()
			_ = srv.Close()
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
	}
}

// slowly announces a body, sends none of it, and returns the answer.
func slowly(t *testing.T, conn net.Conn, length string) (status int, text string) {
	t.Helper()
	_, err := fmt.Fprintf(conn, "POST %scustomers/events HTTP/1.1\r\nHost: x\r\nAuthorization: Token %s\r\n%s\r\n\r\n", trackBase, publicToken, length)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Errorf("%s: no answer: %v", length, err)
		return 0, ""
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || !res.Close || res.Header.Get("Retry-After") == "" {
		t.Errorf("%s: got close %v, %v, %v", length, res.Close, res.Header, err)
	}
	return res.StatusCode, string(b)
}

package listen

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trackway/internal/door"
)

// TestShortcut checks that plain requests bypass net/http, that others do not,
// and that a stop waits until they are answered.
func TestShortcut(t *testing.T) {
	t.Parallel()
	l, err := TCP(t.Context(), "listen", "127.0.0.1:0", door.Bounds{Max: 4}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var past atomic.Int32
	running, goOn := make(chan struct{}), make(chan struct{})
	l.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(fmt.Sprintf("%T", w), "shortcut") {
			past.Add(1)
			if r.URL.Path == "/other" {
				t.Error("a request of another path went past net/http")
			}
		}
		if r.URL.Path == "/plain/slow" {
			close(running)
			<-goOn
		}
	}))
	l.Shortcut(1<<10, "/plain/")
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()
	client := &http.Client{Transport: new(http.Transport)}
	send := func(path string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String()+path, strings.NewReader("{}"))
		if err != nil {
			t.Error(err)
			return
		}
		res, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	for range 1000 { // the client's next request may come before net/http has finished the last
		if send("/plain/a"); past.Load() > 0 {
			break
		}
	}
	if past.Load() == 0 {
		t.Error("no request went past net/http")
	}
	send("/other")
	answered := make(chan struct{})
	go func() {
		send("/plain/slow")
		close(answered)
	}()
	<-running
	drained := make(chan error, 1)
	go func() { drained <- l.Drain() }()
	if err := <-served; err != nil { // the stop has begun
		t.Error(err)
	}
	close(goOn)
	<-answered
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestStopWithoutBody checks that a stop closes a connection on which the body
// of a plain request does not come, as soon as with net/http, and waits for one
// that comes.
func TestStopWithoutBody(t *testing.T) {
	t.Parallel()
	l, err := TCP(t.Context(), "listen", "127.0.0.1:0", door.Bounds{Max: 100}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended, plain := make(chan error, 2), make(chan bool)
	l.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= 2 {
			return
		}
		is := strings.Contains(fmt.Sprintf("%T", w), "shortcut")
		if plain <- is; is {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
		}
	}))
	l.Shortcut(1<<10, "/")
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()
	begin := func() net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{} "); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	begun := func() net.Conn {
		for { // net/http may not wait for the next request yet
			conn := begin()
			if <-plain {
				return conn
			}
			_ = conn.Close()
		}
	}
	begun()
	coming := begun()
	began := time.Now()
	drained := make(chan error, 1)
	go func() { drained <- l.Drain() }()
	if err := <-served; err != nil { // the stop has begun
		t.Error(err)
	}
	if _, err := io.WriteString(coming, strings.Repeat(" ", 97)); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the body that comes: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("there is a body that was never sent")
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestForward: a request goes to the other server, and its answer comes back as
// it is made. If the other one cannot be reached, the answer says why.
func TestForward(t *testing.T) {
	t.Parallel()
	l := NewListener()
	first, more := make(chan struct{}), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.URL.String()+"\n")
		_ = http.NewResponseController(w).Flush()
		close(first)
		<-more
		_, _ = io.WriteString(w, "done")
	})}
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(l) })
	down := false
	h := Forward(Transport(func(context.Context) (net.Conn, error) {
		if down {
			return nil, errors.New("nobody leads")
		}
		mine, theirs := net.Pipe()
		running.Go(func() { l.Take(theirs) })
		return mine, nil
	}))
	front := httptest.NewServer(h)
	defer front.Close()
	answer, err := front.Client().Post(front.URL+"/destinations/pause?name=out", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	<-first
	line := make([]byte, 64)
	n, err := answer.Body.Read(line)
	if got := string(line[:n]); err != nil || got != "POST /destinations/pause?name=out\n" {
		t.Errorf("got %q, %v", got, err)
	}
	close(more)
	if rest, err := io.ReadAll(answer.Body); err != nil || string(rest) != "done" {
		t.Errorf("got %q, %v", rest, err)
	}
	_ = answer.Body.Close()

	down = true
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/destinations", http.NoBody))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "nobody leads") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	running.Wait()
	l.Take(nil) // it is closed: nobody takes it
}

// TestTell checks that another member learns who asks, and that a client cannot
// say that it is somebody else.
func TestTell(t *testing.T) {
	t.Parallel()
	l := NewListener()
	defer func() { _ = l.Close() }()
	told := make(chan string, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		Believe(r)
		told <- r.RemoteAddr
	})}
	go func() { _ = srv.Serve(l) }()
	h := Forward(Transport(func(context.Context) (net.Conn, error) {
		mine, theirs := net.Pipe()
		go l.Take(theirs)
		return mine, nil
	}))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/destinations/pause?name=out", http.NoBody)
	r.RemoteAddr = "ada"
	r.Header.Set(operatorField, "eve")
	Tell(r)
	h.ServeHTTP(httptest.NewRecorder(), r)
	if got := <-told; got != "ada" {
		t.Errorf("got %q", got)
	}
}

package listen

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

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

package listen

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"trackway/internal/door"
	"trackway/internal/porttest"
)

// TestCloseUnserved checks that a listener that was never served releases its
// address.
func TestCloseUnserved(t *testing.T) {
	t.Parallel()
	l, err := TCP(t.Context(), "listen", porttest.Address(t), door.Bounds{Max: 4}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	again, err := TCP(t.Context(), "listen", l.Addr().String(), door.Bounds{Max: 4}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	_, err = TCP(t.Context(), "tls.redirect", l.Addr().String(), door.Bounds{Max: 4}, nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.HasPrefix(err.Error(), "tls.redirect: listen tcp 127.0.0.1:") {
		t.Errorf("a taken port: got %v", err)
	}
}

// TestCloseAwaitsHandlers checks that no handler runs after Close has returned.
func TestCloseAwaitsHandlers(t *testing.T) {
	t.Parallel()
	l, err := TCP(t.Context(), "listen", "127.0.0.1:0", door.Bounds{Max: 4}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	running, ended := make(chan struct{}), false
	l.Handle(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(running)
		<-r.Context().Done()
		ended = true
	}))
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String(), http.NoBody)
		if err != nil {
			t.Error(err)
			return
		}
		if res, err := new(http.Transport).RoundTrip(r); err == nil {
			_ = res.Body.Close()
			t.Error("the request was answered")
		}
	}()
	<-running
	if err := l.Close(); err != nil || !ended {
		t.Errorf("closed with %v, the handler's end: %v", err, ended)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

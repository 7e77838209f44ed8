package control

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestListen: only the owner can use the socket, no other server can take it
// from a live one, and it is removed with the listener.
func TestListen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNobody) {
		t.Errorf("before: got %v, want %v", err, ErrNobody)
	}
	ln := mustListen(t, dir)
	info, err := os.Stat(filepath.Join(dir, SocketName))
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("got %v, %v, want a socket of mode 0600", info.Mode(), err)
	}
	wantAnswer(t, dir)
	if _, err := Listen(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("a second server: got %v", err)
	}
	wantAnswer(t, dir)
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v, want nothing left", left, err)
	}
}

// A socket that a killed server left behind is replaced.
func TestListenReplacesStale(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, SocketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNobody) {
		t.Errorf("got %v, want %v", err, ErrNobody)
	}
	mustListen(t, dir)
	wantAnswer(t, dir)
}

// The name of a data directory may be longer than the address of a socket.
func TestListenInLongDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120), strings.Repeat("e", 120))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		if _, err := Listen(t.Context(), dir); !errors.Is(err, errLongPath) {
			t.Errorf("got %v, want %v", err, errLongPath)
		}
		return
	}
	mustListen(t, dir)
	wantAnswer(t, dir)
}

func TestListenWithoutDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "absent")
	if _, err := Listen(t.Context(), dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
}

// mustListen serves 204 until the end of the test.
func mustListen(t *testing.T, dir string) net.Listener {
	t.Helper()
	ln, err := Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return ln
}

func wantAnswer(t *testing.T, dir string) {
	t.Helper()
	client := Client(dir)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://trackway/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusNoContent {
		t.Errorf("got %d, want 204", res.StatusCode)
	}
}

// A body of any length arrives unchanged, and each part of it arrives before
// the next one is ready.
func TestClientSendsBodies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ln, err := Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ready := bytes.Repeat([]byte("0123456789"), 100_000)
	arrived := make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got := make([]byte, len(ready))
		if _, err := io.ReadFull(r.Body, got); err != nil || !bytes.Equal(got, ready) {
			t.Errorf("other bytes have arrived: %v", err)
		}
		close(arrived)
		if rest, err := io.ReadAll(r.Body); err != nil || string(rest) != "end" {
			t.Errorf("got %q, %v at the end", rest, err)
		}
	})}
	go func() { _ = s.Serve(ln) }()
	defer s.Close()
	body, more := io.Pipe()
	go func() {
		_, _ = more.Write(ready)
		<-arrived
		_, _ = io.WriteString(more, "end")
		_ = more.Close()
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(ready) + len("end"))
	res, err := Client(dir).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}

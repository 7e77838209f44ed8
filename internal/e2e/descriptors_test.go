package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startUnder starts a server with a limit on open files, and does not wait for
// it.
func startUnder(t *testing.T, dir string, files int) *server {
	t.Helper()
	config := filepath.Join(dir, "trackway.yaml")
	if err := os.WriteFile(config, []byte(baseConfig+wideLimits), 0o600); err != nil {
		t.Fatal(err)
	}
	s := launchUnder(t, fmt.Sprintf("ulimit -n %d", files), dir, "--config", config, "--data", filepath.Join(dir, "data"))
	s.config = config
	return s
}

// TestFewDescriptors: if the limit on open files is too low for the store, the
// start fails with the necessary number.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	for _, files := range []int{64, 100} {
		s := startUnder(t, t.TempDir(), files)
		if status := s.await(t, patience); status != 1 || !strings.Contains(s.log.all(), fmt.Sprintf("may have %d files open, and needs at least 200", files)) {
			t.Errorf("under a limit of %d: exit status %d, and\n%s", files, status, s.log)
		}
	}
}

// TestTooManyOpenFiles: running out of descriptors is not a disk failure. While
// idle connections hold all of them, the store continues with the files that it
// has, or waits. Nothing acknowledged is lost. Once there are descriptors
// again, everything works as before.
func TestTooManyOpenFiles(t *testing.T) {
	t.Parallel()
	const files = 256
	dir := t.TempDir()
	s := startUnder(t, dir, files)
	s.log.mayHold("too many files are open")
	s.log.mayHold("too many open files")
	s.awaitReady(t)
	properties := map[string]any{}
	for i := range 50 {
		properties[fmt.Sprint("text", i)] = strings.Repeat("x", 12_000)
	}
	acked, made := 0, 0
	track := func(n int) {
		for range n {
			res, err := s.try(t.Context(), request{path: "/track/v2/projects/{token}/customers/events", body: encode(t, map[string]any{
				"customer_ids": map[string]any{"registered": "many"}, "event_type": "load", "timestamp": loadTime + float64(made),
				"properties": properties,
			})})
			if made++; err == nil && res.success() {
				acked++
			}
		}
	}
	track(5) // this connection stays open, and is used again
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			_ = c.Close()
		}
	}()
	dialer := net.Dialer{Timeout: 2 * time.Second}
	for range files + 100 {
		c, err := dialer.DialContext(t.Context(), "tcp", s.public)
		if err != nil {
			break // there are no more
		}
		idle = append(idle, c)
	}
	during := make(chan struct{})
	go func() {
		defer close(during)
		track(120) // 72 MB: write-ahead logs, and tables
	}()
	for waiting := true; waiting; {
		select {
		case <-during:
			waiting = false
		case <-s.exited:
			t.Fatalf("the server ended:\n%s", s.log)
		case <-s.log.changed: // it may wait for a descriptor
			waiting = !strings.Contains(s.log.all(), "too many files are open")
		}
	}
	for _, c := range idle {
		_ = c.Close()
	}
	idle = nil
	<-during
	track(5)
	for s.do(t, request{path: "/track/v2/projects/{token}/system/time"}).status != http.StatusOK {
		continue
	}
	if acked < 10 {
		t.Errorf("%d events were acknowledged, want those at least that came before and after", acked)
	}
	if stored := len(s.events(t, "many")); stored < acked {
		t.Errorf("%d events are stored, %d were acknowledged", stored, acked)
	}
	if n := strings.Count(s.log.all(), "too many open files"); n > 100 {
		t.Errorf("the log says it %d times", n)
	}
	s.kill(t)
	if stored := len(startIn(t, dir, baseConfig+wideLimits).events(t, "many")); stored < acked {
		t.Errorf("after a kill %d events are stored, %d were acknowledged", stored, acked)
	}
}

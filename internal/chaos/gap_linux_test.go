package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trackway/internal/sleep"
)

// gapTime is how long nothing is acknowledged before the test keeps what shows
// why. No fault that the servers survive takes so long.
const gapTime = time.Minute

// watch keeps what shows why nothing is acknowledged, once, until ctx ends.
func (l *ledger) watch(ctx context.Context) {
	for sleep.For(ctx, time.Second) == nil {
		l.mu.Lock()
		since := time.Since(l.last)
		wanted := since > gapTime && !l.still
		l.mu.Unlock()
		if !wanted {
			continue
		}
		dir, err := evidence(ctx, *keepFlag, l.servers)
		l.t.Logf("nothing was acknowledged for %.0f s: %s has the logs of the servers, their states and their goroutines (%v)", since.Seconds(), dir, err)
		return
	}
}

// evidence keeps the log of each server, what it knows of the cluster, its
// metrics and its goroutines in a new directory, which stays after the test. A
// server that is down has only a log.
func evidence(ctx context.Context, in string, servers []*server) (dir string, err error) {
	if dir, err = os.MkdirTemp(in, "trackway-chaos-gap-"); err != nil {
		return "", err
	}
	for _, s := range servers {
		keep := func(what string, text []byte) {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, fmt.Sprintf("server-%d-%s", s.n, what)), text, 0o600))
		}
		for what, path := range map[string]string{
			"cluster.json": "/-/cluster", "ready": "/-/ready", "metrics": "/metrics", "goroutines": "/debug/pprof/goroutine?debug=2",
		} {
			_, text, failed := s.get(ctx, path)
			if failed != nil {
				text = []byte(failed.Error())
			}
			keep(what, text)
		}
		text, failed := os.ReadFile(s.log)
		if failed != nil {
			text = []byte(failed.Error())
		}
		keep("log", text)
	}
	return dir, err
}

// TestEvidence: what a server that answers says is kept, and so is the log of
// one that does not answer.
func TestEvidence(t *testing.T) {
	t.Parallel()
	answering := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "answer to ", r.URL.Path)
	}))
	defer answering.Close()
	var servers []*server
	for i, to := range []string{answering.Listener.Addr().String(), ""} {
		s := &server{t: t, n: i + 1, log: filepath.Join(t.TempDir(), "log"), web: &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				if to == "" {
					return nil, errors.New("it is down")
				}
				return new(net.Dialer).DialContext(ctx, network, to)
			},
		}}}
		if err := os.WriteFile(s.log, fmt.Appendf(nil, "log of %d", s.n), 0o600); err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
	}
	dir, err := evidence(t.Context(), t.TempDir(), servers)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"server-1-cluster.json": "answer to /-/cluster", "server-1-goroutines": "answer to /debug/pprof/goroutine", "server-1-log": "log of 1",
		"server-2-cluster.json": "it is down", "server-2-log": "log of 2",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
}

package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trackway/internal/scale"
	"trackway/internal/sleep"
)

// TestLimitCutOneWay: while one server gets nothing that another one sends, the
// servers of a shared limit admit no more than docs/limits.md says: the limit,
// and the part of a server for each of the two that do not hear each other.
func TestLimitCutOneWay(t *testing.T) {
	parallel(t)
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	const limit, window, servers = 300, 5, 3
	windows := scale.Of(4, 1)
	c := newCluster(t, servers, rand.New(rand.NewPCG(1, 1)), fmt.Sprintf(`
trusted_proxies: [127.0.0.0/8]
limits:
  - {name: track, paths: [/track/], limit: %d, window: %ds, per: ip, shared: true, allow_below_floor: true}
`, limit, window), binary)
	for _, s := range c.servers {
		s.awaitMetric(fmt.Sprintf("trackway_limit_shared_answering %d", servers))
	}
	c.network.set(0, 1, weather{cut: true})
	for _, s := range c.servers[:2] {
		s.awaitMetric(fmt.Sprintf("trackway_limit_shared_answering %d", servers-1))
	}
	const takesOver = 3
	c.pass((takesOver + window) * time.Second) // from then on, the parts of the silent ones are shared

	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(windows*window)*time.Second)
	defer cancel()
	var next, admitted, refused atomic.Int64
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for sleep.For(ctx, 40*time.Millisecond) == nil {
				switch status := c.servers[next.Add(1)%servers].ask(t.Context()); status {
				case http.StatusOK:
					admitted.Add(1)
				case http.StatusTooManyRequests:
					refused.Add(1)
				default:
					t.Errorf("a call gets %d", status)
				}
			}
		})
	}
	callers.Wait()
	// The time may begin and end within a window.
	most, least := (windows+1)*(limit+2*limit/servers), (windows-1)*limit
	if got := int(admitted.Load()); got > most || got < least || refused.Load() == 0 {
		t.Errorf("in %d windows, %d calls were admitted and %d refused, want %d to %d", windows, got, refused.Load(), least, most)
	} else {
		t.Logf("in %d windows of %d calls, %d were admitted, at most %d, and %d refused", windows, limit, got, most, refused.Load())
	}
}

// ask makes a call that is counted, and returns its status.
func (s *server) ask(ctx context.Context) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+public+"/track/v2/projects/"+project+"/system/time", http.NoBody)
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", key)
	req.Header.Set("X-Forwarded-For", "203.0.113.1")
	res, err := s.web.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode
}

// awaitMetric waits until a server's metric has a value.
func (s *server) awaitMetric(line string) {
	s.t.Helper()
	s.eventually(line, func(ctx context.Context) bool {
		_, body, err := s.get(ctx, "/metrics")
		return err == nil && strings.Contains(string(body), "\n"+line+"\n")
	}, func() string { return "" })
}

package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trackway/internal/load"
	"trackway/internal/scale"
)

// balancer is a proxy that hands each request to the next server, as nginx
// does. If a server cannot be reached, the next one gets the request. A request
// that a server has received is never sent again.
type balancer struct {
	servers []*server
	next    atomic.Uint64

	mu    sync.Mutex // guards what follows
	last  time.Time  // when a command was acknowledged
	worst time.Duration
}

func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	var err error
	if r.Body != nil {
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	for range b.servers {
		req := r.Clone(r.Context())
		req.Body, req.URL.Host = io.NopCloser(bytes.NewReader(body)), public
		var res *http.Response
		res, err = b.servers[b.next.Add(1)%uint64(len(b.servers))].web.Transport.RoundTrip(req)
		if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Op == "dial" {
			continue
		}
		if err == nil && res.StatusCode == http.StatusOK && strings.HasPrefix(r.URL.Path, "/track/") {
			b.acknowledged()
		}
		return res, err
	}
	return nil, err
}

func (b *balancer) acknowledged() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if !b.last.IsZero() {
		b.worst = max(b.worst, now.Sub(b.last))
	}
	b.last = now
}

// without returns the longest time without an acknowledgement since the last
// call.
func (b *balancer) without() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	worst := b.worst
	b.worst = 0
	return worst
}

// TestBalanced: `trackway bench` loads three servers through a proxy, while one
// after another is killed, every second time the leader. Its verification finds
// everything that was acknowledged, once.
func TestBalanced(t *testing.T) {
	parallel(t)
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("SEED=%d", seed)
	duration, each := *forFlag/4, 20*time.Second
	if duration == 0 {
		each = 10 * time.Second
		duration = time.Duration(scale.Of(2, 1)) * each
	}
	c := newCluster(t, 3, rand.New(rand.NewPCG(seed, 1)), wideLimits, binary)
	b := &balancer{servers: c.servers}
	front := httptest.NewServer(&httputil.ReverseProxy{
		Transport: b, ErrorLog: nil,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: public})
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	defer front.Close()
	config := filepath.Join(t.TempDir(), "trackway.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, baseConfig, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	bench := exec.CommandContext(t.Context(), binary, "bench", "--config", config, "--url", front.URL, "--rate", "150", "--connections", "64",
		"--duration", duration.String(), "--mix", "single=6,batch=1,merge=1", "--batch", "10", "--json")
	bench.Stdout, bench.Stderr = &out, &errs
	if err := bench.Start(); err != nil {
		t.Fatal(err)
	}
	without := map[string][]time.Duration{}
	for n := range int(duration / each) {
		victim, name := c.leader(), "kill the leader"
		if n%2 == 1 {
			victim, name = c.others(victim)[0], "kill a follower"
		}
		b.without()
		began := time.Now()
		victim.kill()
		c.pass(each / 2)
		victim.start()
		victim.awaitReady()
		without[name] = append(without[name], b.without().Round(100*time.Millisecond))
		c.pass(each - time.Since(began))
	}
	err = bench.Wait()
	var got load.Report
	if wrong := json.Unmarshal([]byte(out.String()), &got); wrong != nil || got.Verified == nil {
		t.Fatalf("trackway bench: %v: %s%s", err, &out, &errs)
	}
	t.Logf("through a proxy, a server killed every %v: of %d acknowledged events %d are lost and %d doubled; %d requests had no answer; time without service after each: %v",
		each, got.Verified.Acknowledged, got.Verified.Missing, got.Verified.Repeated, got.Unanswered, without)
	if err != nil || !got.Verified.Sound() || got.Acked == 0 {
		t.Errorf("trackway bench: %v: %+v\n%s", err, *got.Verified, &errs)
	}
	c.settle()
}

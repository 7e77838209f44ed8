package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// sharedLimit returns a limit that servers share.
func sharedLimit(limit, window int) string {
	return fmt.Sprintf("\nlimits:\n  - {name: track, paths: [/track/], limit: %d, window: %ds, per: ip, shared: true, allow_below_floor: true}\n", limit, window)
}

// limitedCluster starts servers with limits.
func limitedCluster(t *testing.T, n int, limits string) *cluster {
	t.Helper()
	c := prepareCluster(t, n)
	c.limits = limits
	c.begin()
	return c
}

// flood makes calls of one address at the same time, and counts those that were
// admitted. to chooses a server for each call. If fewer than least were
// admitted, it goes on: a busy server may answer too late when others want to
// borrow.
func (c *cluster) flood(calls, least int64, address string, to func(i int64) int) int64 {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: patience}
	defer client.CloseIdleConnections()
	var next, admitted atomic.Int64
	var workers sync.WaitGroup
	end := time.Now().Add(patience)
	for range 48 {
		workers.Go(func() {
			for i := next.Add(1); i <= calls || admitted.Load() < least && time.Now().Before(end); i = next.Add(1) {
				if status, _ := c.call(client, to(i), address); status == http.StatusOK {
					admitted.Add(1)
				}
			}
		})
	}
	workers.Wait()
	return admitted.Load()
}

// call makes a call of an address, and returns its status and how many are
// left. The status is 0 if the server does not answer.
func (c *cluster) call(client *http.Client, server int, address string) (status, left int) {
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+c.public[server]+"/track/v2/projects/"+projectToken+"/system/time", nil)
	if err != nil {
		return 0, 0
	}
	req.Header.Set("X-Forwarded-For", address)
	req.Header.Set("Authorization", "Token "+publicKey)
	res, err := client.Do(req)
	if err != nil {
		return 0, 0
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	left, _ = strconv.Atoi(res.Header.Get("X-RateLimit-Remaining"))
	return res.StatusCode, left
}

// awaitSharing waits until each server knows that all answer.
func (c *cluster) awaitSharing() {
	c.t.Helper()
	for _, s := range c.servers {
		s.awaitMetric(c.t, "trackway_limit_shared_answering", float64(len(c.servers)))
	}
}

// TestClusterSharedLimit: three servers together admit the limit of a caller
// that makes ten times as many calls, however it spreads them.
func TestClusterSharedLimit(t *testing.T) {
	t.Parallel()
	const limit = 300
	c := limitedCluster(t, 3, sharedLimit(limit, longWindow))
	c.awaitSharing()
	var floods sync.WaitGroup
	for address, to := range map[string]func(int64) int{
		"203.0.113.1": func(i int64) int { return int(i % 3) },
		"203.0.113.2": func(i int64) int { return int(max(0, i%10-7)) }, // most at the first server
		"2001:db8::1": func(int64) int { return 2 },
	} {
		floods.Go(func() {
			const least = limit * 98 / 100
			if got := c.flood(10*limit, least, address, to); got > limit || got < least {
				t.Errorf("%s: %d calls were admitted, want %d", address, got, limit)
			}
		})
	}
	floods.Wait()
	if status, left := c.call(&http.Client{Timeout: patience}, 0, bystander); status != http.StatusOK || left != limit/3-1 {
		t.Errorf("another caller gets %d with %d left", status, left)
	}
	for i, s := range c.servers {
		guide := string(s.do(t, request{path: "/about/api"}).body)
		limits := string(s.do(t, request{path: "/api/limits"}).body)
		if !strings.Contains(guide, "address, shared by 3 servers") || !strings.Contains(limits, `"shared":true`) || !strings.Contains(limits, `"servers":3`) {
			t.Errorf("server %d does not publish that three servers share the limit: %s", i, limits)
		}
	}
}

// TestClusterSharedLimitKilled: one of the servers is killed while a caller
// floods all of them. The calls that it has admitted still count. Later, the
// others share its part, until it is back.
func TestClusterSharedLimitKilled(t *testing.T) {
	t.Parallel()
	const limit, window = 300, 5
	c := limitedCluster(t, 3, sharedLimit(limit, longWindow)+fmt.Sprintf(
		"  - {name: api, paths: [/api/], limit: %d, window: %ds, per: ip, shared: true}\n", limit, window))
	c.awaitSharing()
	victim := c.leader()
	var killed sync.Once
	got := c.flood(10*limit, 0, flooder, func(i int64) int {
		if i == limit/2 {
			killed.Do(func() { c.servers[victim].kill(t) })
		}
		return int(i % 3)
	})
	if got > limit || got < limit/3 {
		t.Errorf("%d calls were admitted, want at most %d, and not much less", got, limit)
	}
	next := 0
	awaitLeft := func(want int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		await(ctx, t, func() bool {
			next++
			res := c.servers[(victim+1)%3].do(t, request{path: "/api/servers", header: from(fmt.Sprintf("198.51.%d.%d", next/200, next%200))})
			return res.header.Get("X-RateLimit-Remaining") == strconv.Itoa(want)
		})
	}
	awaitLeft(limit/2 - 1) // of two servers
	c.start(victim)
	c.servers[victim].awaitReady(t)
	awaitLeft(limit/3 - 1)
}

// TestClusterSharedLimitStopped: a server that hangs delays nobody for long.
// Without the rule that it is not asked after three timeouts, about sixty calls
// would wait for it, until it counts as gone.
func TestClusterSharedLimitStopped(t *testing.T) {
	t.Parallel()
	c := limitedCluster(t, 3, sharedLimit(1, longWindow)) // each call needs to know what the others have
	c.awaitSharing()
	victim := (c.leader() + 1) % 3
	other, process := (victim+1)%3, c.servers[victim].cmd.Process
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = process.Signal(syscall.SIGCONT) }()
	const callers, most = 200, 30
	client := &http.Client{Timeout: patience}
	for i := range 2 * callers {
		if status, _ := c.call(client, other, fmt.Sprintf("203.0.113.%d", i/2)); status != http.StatusOK && status != http.StatusTooManyRequests {
			t.Fatalf("call %d gets %d", i, status)
		}
	}
	if got := c.servers[other].metric(t, "trackway_limit_shared_timeouts_total"); got < 1 || got > most {
		t.Errorf("%v calls have waited for a server that hangs, want a few", got)
	}
}

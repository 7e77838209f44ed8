package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"trackway/internal/scale"
	"trackway/internal/sleep"
)

const (
	loadClients   = 32
	loadCustomers = 8  // fewer than clients, so that they compete for the same customers
	loadBatch     = 10 // events in a batch
	loadGroup     = 24 // events between two anonymous visits: every second batch contains a visit and its merge
	loadVisit     = 4  // position of the anonymous event in the group
	loadMerge     = 9  // position of the event that identifies the visitor
	loadTime      = 1_700_000_000
)

// load is what clients sent to one data directory, and the answers. While the
// clients send, each uses its own element of clients. The rest is read after
// they have ended.
type load struct {
	clients [loadClients]loadClient
	acks    atomic.Int64 // acknowledged requests
	again   bool         // a request that gets 503 is sent again: the servers may be electing a leader
}

type loadClient struct {
	made    int           // events so far
	acked   []string      // names of events
	unknown []loadRequest // requests without an answer, or with one that asks to come back
}

// loadRequest is kept so that it can be sent again, byte for byte.
type loadRequest struct {
	request
	names []string // of its events
}

// TestKill: after kill -9 at any moment, everything acknowledged is stored
// once. Everything else can be sent again any number of times, and is then
// stored once.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := scale.Of(4, 2)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var l load
	for range rounds {
		s := startIn(t, dir, baseConfig+wideLimits)
		l.check(t, s)
		l.sendUntil(t, s, 1+random.Int64N(1200), func() { s.kill(t) })
	}
	l.check(t, startIn(t, dir, baseConfig+wideLimits))
}

// TestTerminate checks the same for SIGTERM under load, and an orderly end.
func TestTerminate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var l load
	s := startIn(t, dir, baseConfig+wideLimits)
	l.sendUntil(t, s, 500, func() {
		if status := s.stop(t); status != 0 {
			t.Errorf("got exit status %d after SIGTERM, want 0\n%s", status, s.log)
		}
	})
	l.check(t, startIn(t, dir, baseConfig+wideLimits))
}

// sendUntil makes all clients send, and calls end once a number of further
// requests were acknowledged. It returns when every client has noticed the
// server's absence.
func (l *load) sendUntil(t *testing.T, s *server, more int64, end func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	enough := make(chan struct{})
	target := l.acks.Load() + more
	var clients sync.WaitGroup
	for i := range l.clients {
		clients.Go(func() {
			for l.send(ctx, t, s, i) {
				if l.acks.Add(1) == target {
					close(enough)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		clients.Wait()
		close(ended)
	}()
	select {
	case <-enough:
	case <-ended:
		t.Errorf("all clients gave up after %d requests of %d\n%s", l.acks.Load(), target, s.log)
	}
	end()
	<-ended
}

// send sends the next request of client i, and reports whether it was
// acknowledged.
func (l *load) send(ctx context.Context, t *testing.T, s *server, i int) bool {
	t.Helper()
	c := &l.clients[i]
	r := c.next(t, i)
	res, err := s.try(ctx, r.request)
	for l.again && err == nil && res.status == http.StatusServiceUnavailable && sleep.For(ctx, lookAgain) == nil {
		res, err = s.try(ctx, r.request)
	}
	if err == nil && r.acknowledged(res) {
		c.acked = append(c.acked, r.names...)
		return true
	}
	if err == nil && res.status != http.StatusServiceUnavailable {
		t.Errorf("client %d: got %v for %s", i, res, r.body)
	}
	c.unknown = append(c.unknown, r)
	return false
}

func (r loadRequest) acknowledged(res response) bool {
	if len(r.names) == 1 {
		return res.success()
	}
	return batchSuccess(res, len(r.names))
}

// next returns the next request of client i: one event or, every fourth time, a
// batch.
func (c *loadClient) next(t *testing.T, i int) loadRequest {
	t.Helper()
	if c.made%4 != 3 {
		name, data := c.nextEvent(i)
		return loadRequest{request{path: "/track/v2/projects/{token}/customers/events", body: encode(t, data)}, []string{name}}
	}
	var r loadRequest
	var commands []command
	for range loadBatch {
		name, data := c.nextEvent(i)
		r.names = append(r.names, name)
		commands = append(commands, command{"customers/events", encode(t, data)})
	}
	r.path, r.body = "/track/v2/projects/{token}/batch", encode(t, map[string]any{"commands": commands})
	return r
}

func (c *loadClient) nextEvent(i int) (name string, data map[string]any) {
	n := c.made
	c.made++
	name = fmt.Sprintf("event-%d-%d", i, n)
	registered, cookie := fmt.Sprintf("person-%d", i%loadCustomers), loadCookie(i, n)
	ids := map[string]any{"registered": registered}
	switch n % loadGroup {
	case loadVisit:
		ids = map[string]any{"cookie": cookie}
	case loadMerge:
		ids["cookie"] = cookie
	}
	return name, map[string]any{
		"customer_ids": ids, "event_type": "load", "timestamp": loadTime + float64(n)/8, "properties": map[string]any{"name": name},
	}
}

func loadCookie(client, n int) string { return fmt.Sprintf("visit-%d-%d", client, n/loadGroup) }

// check compares the store with what the clients know. Then it sends all
// unanswered requests twice more, and compares again.
func (l *load) check(t *testing.T, s *server) {
	t.Helper()
	s.log.private("person-", "visit-")
	var known, unknown []string
	var again []loadRequest
	for i := range l.clients {
		c := &l.clients[i]
		known = append(known, c.acked...)
		for _, r := range c.unknown {
			unknown = append(unknown, r.names...)
			again = append(again, r, r)
		}
	}
	stored := l.stored(t, s)
	compare(t, "acknowledged", known, stored, 1)
	compare(t, "not acknowledged", unknown, stored, 0)
	for _, r := range again {
		if res := s.again(t, r.request); !r.acknowledged(res) {
			t.Errorf("sent again: got %v for %s", res, r.body)
		}
	}
	stored = l.stored(t, s)
	compare(t, "acknowledged, and there before others were sent again", known, stored, 1)
	compare(t, "sent again", unknown, stored, 1)
	if got, want := len(stored), len(known)+len(unknown); got != want {
		t.Errorf("%d events are stored, want %d", got, want)
	}
	l.learn()
	t.Logf("%d events, %d of them sent again", len(stored), len(unknown))
}

// learn records that the requests sent again are acknowledged.
func (l *load) learn() {
	for i := range l.clients {
		c := &l.clients[i]
		for _, r := range c.unknown {
			c.acked = append(c.acked, r.names...)
		}
		c.unknown = nil
	}
}

// compare checks that each event in names is stored at least a number of times,
// and never twice.
func compare(t *testing.T, what string, names []string, stored map[string]int, least int) {
	t.Helper()
	var wrong []string
	for _, name := range names {
		if n := stored[name]; n < least || n > 1 {
			wrong = append(wrong, fmt.Sprintf("%s %d times", name, n))
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%d of %d events that were %s are not stored once, such as %q", len(wrong), len(names), what, wrong[:min(len(wrong), 10)])
	}
}

// stored counts the events that the server returns, by name.
func (l *load) stored(t *testing.T, s *server) map[string]int {
	t.Helper()
	count := map[string]int{}
	add := func(events []event) {
		for _, e := range events {
			if e.Type == "load" {
				count[e.Properties["name"].(string)]++
			}
		}
	}
	for k := range loadCustomers {
		add(s.events(t, fmt.Sprintf("person-%d", k)))
	}
	for i := range l.clients {
		for _, cookie := range l.clients[i].openCookies(i) {
			// After its merge, its events appear under the registered customer.
			if c := s.exportOne(t, map[string]any{"cookie": cookie}); c != nil && c.IDs["registered"] == nil {
				add(c.Events)
			}
		}
	}
	return count
}

// openCookies names the anonymous visits of client i that may not be merged
// yet: the last one, and those whose requests got no answer.
func (c *loadClient) openCookies(i int) []string {
	first := c.made - 1
	for _, r := range c.unknown {
		first = min(first, c.made-len(r.names))
	}
	var cookies []string
	for n := max(first, 0); n < c.made; n++ {
		cookies = append(cookies, loadCookie(i, n))
	}
	return slices.Compact(cookies)
}

// events reads all load events of a registered customer, page by page. An
// unknown customer has no events.
func (s *server) events(t *testing.T, registered string) []event {
	t.Helper()
	const page = 1000
	var all []event
	for {
		res := s.do(t, request{path: "/data/v2/projects/{token}/customers/events", body: encode(t, map[string]any{
			"customer_ids": map[string]any{"registered": registered}, "event_types": []string{"load"}, "order": "asc", "limit": page, "skip": len(all),
		})})
		if res.status == http.StatusNotFound {
			return nil
		}
		var answer struct{ Data []event }
		if err := json.Unmarshal(res.body, &answer); err != nil || !res.success() {
			t.Fatalf("events of %s: got %v, want events (%v)", registered, res, err)
		}
		all = append(all, answer.Data...)
		if len(answer.Data) < page {
			return all
		}
	}
}

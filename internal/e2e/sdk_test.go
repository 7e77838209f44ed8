package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trackway/client"
)

// sdk returns a client of a server. change may change its options. A rejection
// fails the test.
func sdk(t *testing.T, address string, change func(*client.Options)) *client.Client {
	t.Helper()
	o := client.Options{URL: address, Project: projectToken, Token: publicKey, OnReject: func(_ context.Context, r client.Rejection) {
		t.Errorf("rejected, %d: %s\n%s", r.Status, r.Reason, r.Command)
	}}
	if change != nil {
		change(&o)
	}
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSDK checks the Go client's requests and their answers against the
// contract.
func TestSDK(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	c := sdk(t, "http://"+s.public, func(o *client.Options) { o.Transport, o.Discover = contract, true })
	now, err := c.Time(t.Context())
	if err != nil || time.Since(now).Abs() > time.Minute {
		t.Errorf("got the time %v, %v", now, err)
	}
	ids := client.IDs{"registered": "jane", "cookie": []string{"c-1", "c-2"}}
	if err := c.Identify(ids, client.Properties{"plan": "pro"}); err != nil {
		t.Error(err)
	}
	for range 2 { // equal events, but two
		if err := c.Track(ids, "purchase", client.Properties{"total": 7.99, "text": string(make([]byte, 2000))}); err != nil {
			t.Error(err)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	jane := s.exportOne(t, map[string]any{"cookie": "c-2"})
	if jane == nil || jane.IDs["registered"] != "jane" || jane.Properties["plan"] != "pro" || len(jane.Events) != 2 ||
		jane.Events[1].Properties["total"] != 7.99 {
		t.Errorf("got %+v", jane)
	}
}

// TestSDKWrongKey: a wrong key or an unknown project loses no command. The
// client reports it, and the next client with the right key and project
// delivers the waiting commands.
func TestSDKWrongKey(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	address, dir := "http://"+s.public, t.TempDir()
	wrong := []func(*client.Options){
		func(o *client.Options) { o.Token = "no-such-key" },
		func(o *client.Options) { o.Project = "00000000-0000-0000-0000-000000000000" },
	}
	for i, change := range wrong {
		denied := make(chan error, 1)
		c := sdk(t, address, func(o *client.Options) {
			change(o)
			o.Dir, o.MaxDelay = dir, time.Hour
			o.OnTrouble = func(_ context.Context, err error) {
				select {
				case denied <- err:
				default:
				}
			}
		})
		if err := c.Track(client.IDs{"registered": "jane"}, "load", client.Properties{"n": i}); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { cancel(<-denied) }()
		err := c.Close(ctx)
		left, ok := errors.AsType[*client.UndeliveredError](err)
		if _, said := errors.AsType[*client.AnswerError](err); !ok || !said || left.Commands != i+1 || !left.Kept || left.LastError == "" {
			t.Errorf("close: got %v", err)
		}
		t.Log(err)
	}
	c := sdk(t, address, func(o *client.Options) { o.Dir = dir })
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	s.log.private("jane")
	if got := s.events(t, "jane"); len(got) != len(wrong) {
		t.Errorf("got %d events, want %d", len(got), len(wrong))
	}
}

// sent holds the names of the events that clients accepted, by customer.
type sent struct {
	mu    sync.Mutex // guards names
	names map[string][]string
}

func (s *sent) track(t *testing.T, c *client.Client, who, name string) {
	t.Helper()
	if err := c.Track(client.IDs{"registered": who}, "load", client.Properties{"name": name}); err != nil {
		t.Errorf("track %s: %v", name, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[who] = append(s.names[who], name)
}

// check checks that all events are stored once, and in the order in which they
// were tracked.
func (s *sent) check(t *testing.T, on *server) {
	t.Helper()
	total := 0
	for who, names := range s.names {
		on.log.private(who)
		stored := on.events(t, who)
		total += len(stored)
		for i, name := range names {
			if i >= len(stored) || stored[i].Properties["name"] != name {
				t.Errorf("%s: %d events are stored, %d were tracked; number %d is not %s", who, len(stored), len(names), i, name)
				break
			}
		}
		if len(stored) > len(names) {
			t.Errorf("%s: %d events are stored, %d were tracked", who, len(stored), len(names))
		}
	}
	t.Logf("%d events, each stored once", total)
}

// TestSDKChaos: once the chaos is over, everything that Track accepted is on
// the server exactly once and in order. The network does anything to requests
// and answers, and clients with a queue on disk are stopped and restarted
// meanwhile.
func TestSDKChaos(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := start(t, baseConfig+wideLimits)
	c := s.newChaos(t, rand.New(rand.NewPCG(seed, 0)))
	tracked := sent{names: map[string][]string{}}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			who, dir := fmt.Sprintf("chaos-%d", i), ""
			if i%2 == 0 {
				dir = t.TempDir()
			}
			open := func() *client.Client {
				return sdk(t, c.url, func(o *client.Options) {
					o.Dir, o.Interval, o.BatchSize, o.MaxDelay, o.Timeout = dir, time.Millisecond, 1+i*7, 50*time.Millisecond, 10*time.Second
				})
			}
			k := open()
			for n := range 300 {
				tracked.track(t, k, who, fmt.Sprint(who, " ", n))
				if dir != "" && n%100 == 99 { // it ends before everything is sent, and the next one continues
					ctx, cancel := context.WithCancel(t.Context())
					cancel()
					_ = k.Close(ctx) // its error says whether commands are left
					k = open()
				}
				if n%10 == 0 {
					_ = k.Flush(t.Context()) // to have enough requests for every fate
				}
			}
			if err := k.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c.end()
	for _, f := range []fate{pass, delay, resetFirst, cutRequest, loseAnswer, cutAnswer, twice, answer500, answer503, answer429} {
		if c.count(f) == 0 {
			t.Errorf("no request was: %s", f)
		}
	}
	tracked.check(t, s)
}

var crowdLasts = flag.Duration("crowd", 10*time.Second,
	"how long forty clients track; with 2m the limit is the usual one, 6000 in a minute")

// crowdLimit returns the usual limit and its window in seconds, or a tenth of
// both.
func crowdLimit() (limit, window int) {
	if *crowdLasts >= 2*time.Minute {
		return 6000, 60
	}
	return 600, 6
}

// crowdConfig returns a configuration with that limit.
func crowdConfig() string {
	limit, window := crowdLimit()
	return fmt.Sprintf("%s\nlimits:\n  - {name: track, paths: [/track/], limit: %d, window: %ds, allow_below_floor: true}\n%s",
		baseConfig, limit, window,
		"  - {name: api, paths: [/api/, /data/], limit: 4000000, window: 30s, per: ip+path}\n"+
			"  - {name: grid, paths: [/grid/], limit: 4000000, window: 30s}\n")
}

const (
	crowdSize  = 40
	crowdEvery = 40 * time.Millisecond // 1000 requests a second in all, of which 100 are admitted
)

// tally counts answers.
type tally struct {
	next              *http.Transport
	requests, limited atomic.Int64
}

func newTally(t *testing.T) *tally {
	t.Helper()
	c := &tally{next: &http.Transport{MaxIdleConnsPerHost: crowdSize}}
	t.Cleanup(c.next.CloseIdleConnections)
	return c
}

func (c *tally) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(r)
	if err == nil {
		c.requests.Add(1)
		if res.StatusCode == http.StatusTooManyRequests {
			c.limited.Add(1)
		}
	}
	return res, err
}

func (c *tally) share() float64 { return float64(c.limited.Load()) / float64(c.requests.Load()) }

// TestSDKCrowd: forty clients share an address and want ten times its limit.
// All get their events through, in order of time, and fewer than one request in
// a hundred is refused. If this machine stands still for a moment, requests
// that were spread come all at once, and more are refused: then another crowd
// has to do it.
func TestSDKCrowd(t *testing.T) {
	t.Parallel()
	const tries = 3
	for range tries {
		if counts := sdkCrowd(t); counts.share() < 0.01 || t.Failed() {
			return
		}
	}
	t.Errorf("1 %% of the requests or more were refused, %d times", tries)
}

// sdkCrowd has a crowd send to a new server.
func sdkCrowd(t *testing.T) *tally {
	t.Helper()
	s := start(t, crowdConfig())
	tracked := sent{names: map[string][]string{}}
	counts := newTally(t)
	var all sync.WaitGroup
	began := time.Now()
	for i := range crowdSize {
		all.Go(func() {
			who := fmt.Sprint("crowd-", i)
			c := sdk(t, "http://"+s.public, func(o *client.Options) { o.Interval, o.Transport = time.Millisecond, counts })
			ticks := time.NewTicker(crowdEvery)
			defer ticks.Stop()
			for n := range int(*crowdLasts / crowdEvery) {
				tracked.track(t, c, who, fmt.Sprint(who, " ", n))
				<-ticks.C
			}
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	t.Logf("%d requests, %d refused (%.2f %%), all there after %v", counts.requests.Load(), counts.limited.Load(), 100*counts.share(),
		time.Since(began))
	tracked.check(t, s)
	return counts
}

// TestNaiveCrowd is the comparison: clients that simply try again a little
// later.
func TestNaiveCrowd(t *testing.T) {
	t.Parallel()
	s := start(t, crowdConfig())
	ctx, cancel := context.WithTimeout(t.Context(), *crowdLasts)
	defer cancel()
	counts := newTally(t)
	began := time.Now()
	var all sync.WaitGroup
	var through atomic.Int64
	for i := range crowdSize {
		all.Go(func() {
			ticks := time.NewTicker(crowdEvery)
			defer ticks.Stop()
			for n := 0; ctx.Err() == nil; {
				body := encode(t, map[string]any{
					"customer_ids": map[string]any{"registered": fmt.Sprint("naive-", i)}, "event_type": "load",
					"timestamp": loadTime + n,
				})
				switch status := post(ctx, t, counts, s, body); status {
				case http.StatusOK:
					through.Add(1)
					n++
				case http.StatusTooManyRequests, 0: // 0: the time is up
				default:
					t.Errorf("got status %d", status)
				}
				<-ticks.C
			}
		})
	}
	all.Wait()
	t.Logf("%d events through of %d, %d requests, %d refused (%.2f %%)", through.Load(), crowdSize*int(*crowdLasts/crowdEvery),
		counts.requests.Load(), counts.limited.Load(), 100*counts.share())
	limit, window := crowdLimit()
	most := int64(limit * (1 + int(time.Since(began).Seconds())/window))
	if through.Load() > most {
		t.Errorf("%d events came through, and the limit allows %d", through.Load(), most)
	}
	if counts.share() < 0.3 {
		t.Logf("only %.2f of the requests were refused: this machine is too slow for a comparison with the crowd above", counts.share())
	}
}

// post sends one event and returns the status, or 0 if ctx ended.
func post(ctx context.Context, t *testing.T, counts *tally, s *server, body json.RawMessage) int {
	t.Helper()
	req, err := s.newRequest(ctx, request{path: "/track/v2/projects/{token}/customers/events", auth: "public", body: body})
	if err != nil {
		t.Error(err)
		return 0
	}
	res, err := counts.RoundTrip(req)
	if err != nil {
		if ctx.Err() == nil {
			t.Error(err)
		}
		return 0
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	return res.StatusCode
}

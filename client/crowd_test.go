package client

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The crowd: clients behind one address, which together want ten times what its
// limit admits.
const (
	crowd      = 40
	crowdEvery = 40 * time.Millisecond // each sends an event this often: 1000 a second in all
)

var crowdLasts = flag.Duration("crowd", 13*time.Second,
	"how long the crowd tracks, in the time of the test's bubble; with 2m the limit is the usual one")

// crowdLimit returns the usual limit, or a tenth of it in a tenth of the time.
func crowdLimit() *fake {
	if *crowdLasts >= 2*time.Minute {
		return &fake{limit: 6000, window: time.Minute}
	}
	return &fake{limit: 600, window: 6 * time.Second}
}

// TestCrowd checks clients that share a limit and know nothing of each other:
// all of them get their events through in order, and the server hardly ever
// refuses one. TestCrowdNaive shows that this is due to their pacing.
func TestCrowd(t *testing.T) {
	t.Parallel()
	crowdFor := *crowdLasts
	synctest.Test(t, func(t *testing.T) {
		f := crowdLimit()
		var all sync.WaitGroup
		for i := range crowd {
			all.Go(func() {
				// It may make a request for each event.
				c := f.open(t, func(o *Options) { o.Interval = time.Millisecond })
				for n := range int(crowdFor / crowdEvery) {
					c.mustTrack(t, fmt.Sprintf("%d/%d", i, n))
					pass(crowdEvery)
				}
				c.mustClose(t)
			})
		}
		began := time.Now()
		all.Wait()
		last := map[int]int{}
		for _, name := range f.types() {
			var i, n int
			if _, err := fmt.Sscanf(name, "%d/%d", &i, &n); err != nil {
				t.Fatal(err)
			}
			if n != last[i] {
				t.Fatalf("client %d: event %d came where %d was due", i, n, last[i])
			}
			last[i]++
		}
		for i := range crowd {
			if last[i] != int(crowdFor/crowdEvery) {
				t.Errorf("client %d: %d events arrived of %d", i, last[i], int(crowdFor/crowdEvery))
			}
		}
		share := float64(f.limited) / float64(f.requests)
		t.Logf("%d events in %d requests, %d refused (%.2f %%), all there after %v",
			len(f.stored), f.requests, f.limited, 100*share, time.Since(began))
		if share >= 0.01 {
			t.Errorf("%d of %d requests were refused, want less than 1 %%", f.limited, f.requests)
		}
		if over := time.Since(began) - crowdFor; over > f.window {
			t.Errorf("the last event arrived %v after the end", over)
		}
	})
}

// TestCrowdNaive is the comparison: clients that simply try again are refused
// most of the time.
func TestCrowdNaive(t *testing.T) {
	t.Parallel()
	crowdFor := *crowdLasts
	synctest.Test(t, func(t *testing.T) {
		f := crowdLimit()
		ctx, cancel := context.WithTimeout(t.Context(), crowdFor)
		defer cancel()
		var all sync.WaitGroup
		for i := range crowd {
			all.Go(func() {
				for n := range int(crowdFor / crowdEvery) {
					for naive(ctx, t, f, fmt.Sprintf("%d/%d", i, n)) == http.StatusTooManyRequests && ctx.Err() == nil {
						pass(100 * time.Millisecond)
					}
					pass(crowdEvery)
				}
			})
		}
		all.Wait()
		share := float64(f.limited) / float64(f.requests)
		t.Logf("%d events in %d requests, %d refused (%.2f %%) when the time was over", len(f.stored), f.requests, f.limited, 100*share)
		if share < 0.3 {
			t.Errorf("only %.2f of the requests were refused: the crowd above proves nothing", share)
		}
	})
}

func naive(ctx context.Context, t *testing.T, f *fake, name string) int {
	t.Helper()
	command, err := encode("customers/events", data{IDs: IDs{"registered": "jane"}, Type: name})
	if err != nil {
		t.Error(err)
	}
	req, err := newRequest(ctx, http.MethodPost, "http://ts1.example.com/", appendBody(nil, [][]byte{command}))
	if err != nil {
		t.Error(err)
		return 0
	}
	req.Header.Set("Authorization", "Token "+testToken)
	res, err := f.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

// TestAlone checks that a single client that wants more than its limit is never
// refused.
func TestAlone(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 3, 10, 30, 600} {
		synctest.Test(t, func(t *testing.T) {
			f := fake{limit: limit, window: 6 * time.Second}
			c := f.open(t, func(o *Options) { o.Interval = time.Millisecond })
			began := time.Now()
			for n := range 2000 {
				c.mustTrack(t, strconv.Itoa(n))
				pass(7 * time.Millisecond)
			}
			c.mustClose(t)
			if f.limited > 0 || len(f.stored) != 2000 {
				t.Errorf("a limit of %d: %d refused, %d stored, want 0 and 2000", limit, f.limited, len(f.stored))
			}
			least := 0.6
			if limit == 2 || limit == 600 { // half: the second call would be at the window's end, when it wants no more
				least = 0.4
			}
			if used := float64(f.requests) / (float64(limit) * time.Since(began).Seconds() / 6); used < least {
				t.Errorf("a limit of %d: %d requests: %.2f of what it may", limit, f.requests, used)
			}
		})
	}
}

// Package fleet knows the tracking servers that clients may choose from, and
// their states. A server has the state that it last reported, or is down if it
// did not answer. The package routes nothing and shares nothing between
// servers.
package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// State is the state of a server.
type State string

// The states. A server in service answers, but is about to stop.
const (
	Up      State = "up"
	Service State = "service"
	Down    State = "down"
)

// Server is one tracking server.
type Server struct {
	Name   string `json:"name"`
	Region string `json:"region"`
	URL    string `json:"url"`
	State  State  `json:"state"`
}

const (
	interval  = 10 * time.Second // between requests for a server's state
	patience  = 3 * time.Second  // for an answer
	maxAnswer = 64 << 10         // bytes read of an answer
)

// Fleet is this server and the others. It is safe for concurrent use.
type Fleet struct {
	client  *http.Client
	turn    atomic.Uint64
	changed chan struct{} // holds one element if the list of others has changed

	mu   sync.Mutex // guards what follows; not held during requests
	self Server
	rest []Server
}

// New returns the fleet of self and others. It makes no requests: see
// [Fleet.Run].
func New(self Server, others []Server) *Fleet {
	f := &Fleet{changed: make(chan struct{}, 1), client: &http.Client{
		Transport:     &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * interval},
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	f.self.State = Up
	f.Reload(self, others)
	return f
}

// Reload replaces the servers. Those that stay keep their state. The field
// State of the arguments is ignored.
func (f *Fleet) Reload(self Server, others []Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	self.State = f.self.State
	rest := slices.Clone(others)
	for i := range rest {
		rest[i].State = Down // until it answers
		for _, before := range f.rest {
			if before.Name == rest[i].Name && before.URL == rest[i].URL {
				rest[i].State = before.State
			}
		}
	}
	f.self, f.rest = self, rest
	select {
	case f.changed <- struct{}{}:
	default: // a check is pending anyway
	}
}

// Stop notes that this server is about to stop.
func (f *Fleet) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.self.State = Service
}

// Self returns this server.
func (f *Fleet) Self() Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.self
}

// Servers returns all servers. Those that are up come first; their order moves
// on by one with each call, so that clients that take the first server spread
// evenly. Then come those in service, then those that are down.
func (f *Fleet) Servers() []Server {
	f.mu.Lock()
	all := append([]Server{f.self}, f.rest...)
	f.mu.Unlock()
	slices.SortStableFunc(all, func(a, b Server) int { return cmp.Compare(rank(a.State), rank(b.State)) })
	up := slices.IndexFunc(all, func(s Server) bool { return s.State != Up })
	if up < 0 {
		up = len(all)
	}
	if up > 1 {
		first := int(f.turn.Add(1) % uint64(up))
		copy(all, slices.Concat(all[first:up], all[:first]))
	}
	return all
}

// Pick returns a random server that is up and has this name and region; an
// empty text matches any. known reports whether there is such a server at all,
// up whether one of them is up.
func (f *Fleet) Pick(name, region string) (s Server, known, up bool) {
	var found []Server
	for _, s := range f.Servers() {
		if (name == "" || s.Name == name) && (region == "" || s.Region == region) {
			known = true
			if s.State == Up {
				found = append(found, s)
			}
		}
	}
	if len(found) == 0 {
		return Server{}, known, false
	}
	return found[rand.IntN(len(found))], true, true //nolint:gosec // G404: spreads clients out, no secret
}

func rank(s State) int { return slices.Index([]State{Up, Service, Down}, s) }

// Run asks the other servers for their states, at once and then every ten
// seconds, until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	defer f.client.CloseIdleConnections()
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		f.askAll(ctx)
		select {
		case <-ticks.C:
		case <-f.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// askAll asks all other servers at the same time.
func (f *Fleet) askAll(ctx context.Context) {
	f.mu.Lock()
	rest := slices.Clone(f.rest)
	f.mu.Unlock()
	var asked sync.WaitGroup
	for _, s := range rest {
		asked.Go(func() {
			state := f.ask(ctx, s.URL)
			if ctx.Err() == nil {
				f.set(s, state)
			}
		})
	}
	asked.Wait()
}

func (f *Fleet) set(s Server, state State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rest {
		if f.rest[i].Name == s.Name && f.rest[i].URL == s.URL {
			f.rest[i].State = state
		}
	}
}

// ask returns the state of the server at url. A server that answers with "too
// many requests" is well: otherwise it could not count them.
func (f *Fleet) ask(ctx context.Context, url string) State {
	state, err := f.fetch(ctx, strings.TrimRight(url, "/")+"/api/status")
	if err != nil {
		return Down // whatever the reason, a client would fail too
	}
	return state
}

func (f *Fleet) fetch(ctx context.Context, url string) (State, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return Down, err
	}
	res, err := f.client.Do(r)
	if err != nil {
		return Down, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return Down, err
	case res.StatusCode == http.StatusTooManyRequests:
		return Up, nil
	case res.StatusCode != http.StatusOK:
		return Down, fmt.Errorf("status %d", res.StatusCode)
	}
	var status struct{ State State }
	if err := json.Unmarshal(body, &status); err != nil {
		return Down, err
	}
	if status.State != Up && status.State != Service {
		return Down, fmt.Errorf("state %q", status.State)
	}
	return status.State, nil
}

// Package fleet knows the tracking servers that clients may choose from, and how
// they are. A server is as it said when it was asked last, and down if it did not
// answer. The package routes nothing and shares nothing between servers.
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

// State is how a server is.
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
	interval  = 10 * time.Second // from one question to the next
	patience  = 3 * time.Second  // for an answer
	maxAnswer = 64 << 10         // bytes of an answer that are looked at
)

// Fleet is this server and the others. Safe for concurrent use.
type Fleet struct {
	client  *http.Client
	turn    atomic.Uint64
	changed chan struct{} // holds one element when there are others to ask than before

	mu   sync.Mutex // guards what follows; nothing is asked under it
	self Server
	rest []Server
}

// New returns the fleet of self and others. It asks nobody: see [Fleet.Run].
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

// Reload replaces the servers; those that stay keep their state. What State says is not read.
func (f *Fleet) Reload(self Server, others []Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	self.State = f.self.State
	rest := slices.Clone(others)
	for i := range rest {
		rest[i].State = Down // until it has answered
		for _, before := range f.rest {
			if before.Name == rest[i].Name && before.URL == rest[i].URL {
				rest[i].State = before.State
			}
		}
	}
	f.self, f.rest = self, rest
	select {
	case f.changed <- struct{}{}:
	default: // it will be looked at anyway
	}
}

// Stop says that this server is about to stop.
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

// Servers returns all servers: those that are up come first, in an order that moves on by one with each call, so that clients
// which take the first spread out evenly; then those in service, then those that are down.
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

// Pick returns one of the servers of this name and region that are up, at random; empty is any. known tells whether there are such
// servers at all, up tells whether one of them is up.
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
	return found[rand.IntN(len(found))], true, true //nolint:gosec // G404: nothing is to be kept secret here
}

func rank(s State) int { return slices.Index([]State{Up, Service, Down}, s) }

// Run asks the other servers how they are, at once and then every ten seconds, until ctx ends.
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

// askAll asks all the others at the same time.
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

// ask returns how the server at url is. One that says that it was asked too often is well, or it would not count.
func (f *Fleet) ask(ctx context.Context, url string) State {
	state, err := f.fetch(ctx, strings.TrimRight(url, "/")+"/api/status")
	if err != nil {
		return Down // whatever the reason: a client would meet it, too
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

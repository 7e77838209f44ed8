package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// fate is what happens to one request.
type fate string

// The fates. A request lost on its way is not carried out; one with a lost
// answer is.
const (
	pass       fate = "pass"
	delay      fate = "delay"
	resetFirst fate = "reset before it is sent"
	cutRequest fate = "cut on the way there"
	loseAnswer fate = "reset instead of the answer"
	cutAnswer  fate = "answer cut"
	twice      fate = "sent twice"
	answer500  fate = "500"
	answer503  fate = "503"
	answer429  fate = "429"
)

// chaos is an unreliable proxy in front of a server, until end is called. Each
// fate is equally likely.
type chaos struct {
	url    string
	server *server
	client *http.Client

	mu     sync.Mutex // guards what follows
	random *rand.Rand
	calm   bool
	met    map[fate]int
}

// newChaos starts an unreliable proxy in front of a server until the end of the
// test.
func (s *server) newChaos(t *testing.T, random *rand.Rand) *chaos {
	t.Helper()
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}
	c := &chaos{server: s, random: random, met: map[fate]int{}, client: &http.Client{Transport: transport}}
	front := httptest.NewServer(c)
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		transport.CloseIdleConnections()
	})
	c.url = front.URL
	return c
}

// end lets all later requests pass.
func (c *chaos) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calm = true
}

func (c *chaos) draw() fate {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := pass
	if !c.calm {
		all := []fate{pass, pass, delay, resetFirst, cutRequest, loseAnswer, cutAnswer, twice, answer500, answer503}
		if f = all[c.random.IntN(len(all))]; f == answer503 && c.met[answer429] < 3 { // each of those costs a second
			f = answer429
		}
	}
	c.met[f]++
	return f
}

// count returns how many requests had a fate.
func (c *chaos) count(f fate) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.met[f]
}

func (c *chaos) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := c.draw()
	body, err := io.ReadAll(r.Body)
	if err != nil || f == resetFirst {
		panic(http.ErrAbortHandler)
	}
	switch f {
	case answer500, answer503:
		w.WriteHeader(map[fate]int{answer500: http.StatusInternalServerError, answer503: http.StatusServiceUnavailable}[f])
		return
	case answer429:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case delay:
		timer := time.NewTimer(30 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	case cutRequest:
		c.cut(r, body)
		panic(http.ErrAbortHandler)
	case twice:
		if _, err := c.forward(r, body); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	c.answer(w, r, f, body)
}

// answer forwards a request, and returns as much of the answer as the fate
// leaves.
func (c *chaos) answer(w http.ResponseWriter, r *http.Request, f fate, body []byte) {
	res, err := c.forward(r, body)
	if err != nil || f == loseAnswer {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), res.header)
	w.WriteHeader(res.status) // the header has the length, so a cut is noticed
	if f == cutAnswer {
		res.body = res.body[:len(res.body)/2]
	}
	_, err = w.Write(res.body)
	if err = errors.Join(err, http.NewResponseController(w).Flush()); err != nil || f == cutAnswer {
		panic(http.ErrAbortHandler)
	}
}

// forward sends a request to the server.
func (c *chaos) forward(r *http.Request, body []byte) (response, error) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+c.server.public+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return response{}, err
	}
	req.Header = r.Header.Clone()
	res, err := c.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return response{res.StatusCode, res.Header, answer}, err
}

// cut forwards only half of a request.
func (c *chaos) cut(r *http.Request, body []byte) {
	conn, err := new(net.Dialer).DialContext(context.WithoutCancel(r.Context()), "tcp", c.server.public)
	if err != nil {
		return
	}
	defer conn.Close()
	var whole bytes.Buffer
	req := r.Clone(r.Context())
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if req.Write(&whole) == nil {
		_, _ = conn.Write(whole.Bytes()[:whole.Len()-len(body)/2-1]) // any part of it may arrive
	}
}

package client

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testProject = "12345678-1234-1234-1234-123456789abc"
	testToken   = "public-token"
)

// fake is a tracking server in memory, together with the network to it. It is
// safe for concurrent use.
type fake struct {
	limit  int           // requests of all clients in a window; 0: no limit
	window time.Duration // of real time, or of a bubble's

	mu       sync.Mutex
	before   func(n int, r *http.Request) *http.Response // the nth request is carried out, but its answer is lost
	lose     func(n int) bool                            // the nth request is carried out, but its answer is lost
	bad      string                                      // every batch with this text in it is refused as a whole
	requests int
	limited  int
	used     int
	ends     time.Time
	stored   []stored
	seen     map[string]bool
	bodies   [][]byte
	hosts    []string
}

type stored struct {
	at      time.Time
	command string // JSON
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.requests
	f.requests++
	f.hosts = append(f.hosts, r.URL.Host)
	if f.before != nil {
		if res := f.before(n, r); res != nil {
			return res, nil
		}
	}
	h := http.Header{}
	if f.limit > 0 && !f.admit(h) {
		f.limited++
		return reply(http.StatusTooManyRequests, h, `{"status":429,"error":"rate limit","message":"Too many requests."}`), nil
	}
	body, err := unzipped(r)
	if err != nil {
		return nil, err
	}
	f.bodies = append(f.bodies, body)
	res := f.carryOut(r, h, body)
	if f.lose != nil && f.lose(n) {
		return nil, errors.New("connection reset")
	}
	return res, nil
}

// admit counts a request, and sets the header fields as the server does.
func (f *fake) admit(h http.Header) bool {
	now := time.Now()
	if !now.Before(f.ends) {
		f.used, f.ends = 0, now.Add(f.window)
	}
	ok := f.used < f.limit
	if ok {
		f.used++
	}
	t := strconv.FormatInt(int64((f.ends.Sub(now)+time.Second-1)/time.Second), 10)
	h.Set("RateLimit-Policy", fmt.Sprintf(`"track";q=%d;w=%d`, f.limit, int(f.window.Seconds())))
	h.Set("RateLimit", fmt.Sprintf(`"track";r=%d;t=%s`, f.limit-f.used, t))
	if !ok {
		h.Set("Retry-After", t)
	}
	return ok
}

func (f *fake) carryOut(r *http.Request, h http.Header, body []byte) *http.Response {
	switch {
	case r.Header.Get("Authorization") != "Token "+testToken:
		return reply(http.StatusUnauthorized, h, `{"success":false,"error":"Access key not found"}`)
	case strings.HasSuffix(r.URL.Path, "/system/time"):
		return reply(http.StatusOK, h, `{"errors":[],"success":true,"time":1700000000.123456}`)
	case f.bad != "" && strings.Contains(string(body), f.bad):
		return reply(http.StatusBadRequest, h, `{"success":false,"message":"Invalid JSON"}`)
	}
	var batch struct{ Commands []json.RawMessage }
	if err := json.Unmarshal(body, &batch); err != nil || len(batch.Commands) == 0 || len(batch.Commands) > 50 {
		return reply(http.StatusBadRequest, h, `{"success":false,"message":"Invalid JSON"}`)
	}
	var results []string
	for _, command := range batch.Commands {
		if f.seen == nil {
			f.seen = map[string]bool{}
		}
		if strings.Contains(string(command), `"refuse"`) {
			results = append(results, `{"success":false,"errors":["No."]}`)
			continue
		}
		if !f.seen[string(command)] { // the server's check for duplicates
			f.seen[string(command)] = true
			f.stored = append(f.stored, stored{time.Now(), string(command)})
		}
		results = append(results, `{"success":true}`)
	}
	return reply(http.StatusOK, h, `{"results":[`+strings.Join(results, ",")+`],"success":true}`)
}

func unzipped(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer r.Body.Close()
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func reply(status int, h http.Header, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader([]byte(body)))}
}

// asked returns how many requests have come.
func (f *fake) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// types returns the types of the stored events, in the order in which they were
// stored.
func (f *fake) types() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	types := []string{}
	for _, s := range f.stored {
		var c struct {
			Data struct {
				Type string `json:"event_type"`
			}
		}
		if json.Unmarshal([]byte(s.command), &c) == nil {
			types = append(types, c.Data.Type)
		}
	}
	return types
}

// open returns a client of the fake. change may change its options.
func (f *fake) open(t *testing.T, change func(*Options)) *Client {
	t.Helper()
	o := Options{URL: "http://ts1.example.com", Project: testProject, Token: testToken, Transport: f}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Client) mustTrack(t *testing.T, eventType string) {
	t.Helper()
	if err := c.Track(IDs{"registered": "jane"}, eventType, nil); err != nil {
		t.Errorf("track %s: %v", eventType, err)
	}
}

func (c *Client) mustClose(t *testing.T) {
	t.Helper()
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// pass lets time pass, in a bubble.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // a bubble's time passes at once
}

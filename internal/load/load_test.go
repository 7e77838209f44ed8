package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tracker is a tracking server in memory, with its transport. It can break its
// promises.
type tracker struct {
	wrong    string // the promise that it breaks; empty: it breaks none
	takes    func(n int) time.Duration
	mu       sync.Mutex // guards the fields below
	requests int
	reads    int
	events   map[string][]uint64 // by registered customer
	visits   map[string][]uint64 // by cookie, not merged
	came     map[string]bool     // addresses that requests came from
}

type sentEvent struct {
	IDs        map[string]string `json:"customer_ids"`
	Properties struct{ N uint64 }
}

func (s *tracker) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	n := s.requests
	s.requests++
	if s.came == nil {
		s.came = map[string]bool{}
	}
	s.came[r.Header.Get("X-Forwarded-For")] = true
	s.mu.Unlock()
	if s.wrong == "gone" {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	if s.takes != nil && strings.Contains(r.URL.Path, "/track/") {
		timer := time.NewTimer(s.takes(n))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	if strings.HasPrefix(r.URL.Path, "/data/") {
		return s.read(body), nil
	}
	return s.track(n, r, body)
}

func (s *tracker) read(body []byte) *http.Response {
	if s.wrong == "private key" {
		return answer(403, `{"errors":["may not read"]}`)
	}
	switch s.reads++; {
	case s.reads%3 == 1:
		return answer(429, `{}`)
	case s.reads%5 == 2:
		return answer(502, "no server could be reached")
	}
	var q struct {
		IDs         map[string]string `json:"customer_ids"`
		Limit, Skip int
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return answer(400, `{}`)
	}
	all := s.events[q.IDs["registered"]]
	if all == nil {
		return answer(404, `{}`)
	}
	var data []string
	for _, n := range all[min(q.Skip, len(all)):min(q.Skip+q.Limit, len(all))] {
		data = append(data, fmt.Sprintf(`{"type":"bench","properties":{"n":%d}}`, n))
	}
	return answer(200, `{"success":true,"data":[`+strings.Join(data, ",")+`]}`)
}

func (s *tracker) track(n int, r *http.Request, body []byte) (*http.Response, error) {
	if r.Method == http.MethodGet {
		if s.wrong == "key" {
			return answer(401, `{"success":false,"error":"Access key not found"}`), nil
		}
		return answer(200, `{"success":true,"time":1}`), nil
	}
	every := func(k int) bool { return n%k == k-1 }
	switch {
	case s.wrong == "limited" && every(5):
		return answer(429, `{}`), nil
	case s.wrong == "refused" && every(5):
		return answer(400, `{}`), nil
	case s.wrong == "lost" && every(5):
		return answer(200, `{"success":true,"results":[{"success":true},{"success":true},{"success":true}]}`[:len(`{"success":true`)]+`}`), nil
	}
	events := decode(r.URL.Path, body)
	for _, e := range events {
		s.store(e)
		if s.wrong == "repeated" && every(5) {
			s.store(e)
		}
		if s.wrong == "foreign" && every(5) {
			e.Properties.N += 1_000_000
			s.store(e)
		}
	}
	if s.wrong == "unanswered" && every(5) {
		return nil, errors.New("reset")
	}
	results := strings.Repeat(`{"success":true},`, len(events))
	return answer(200, `{"success":true,"results":[`+strings.TrimSuffix(results, ",")+`]}`), nil
}

func decode(path string, body []byte) []sentEvent {
	if strings.HasSuffix(path, "/customers/events") {
		var e sentEvent
		if json.Unmarshal(body, &e) != nil {
			return nil
		}
		return []sentEvent{e}
	}
	var batch struct{ Commands []struct{ Data sentEvent } }
	if json.Unmarshal(body, &batch) != nil {
		return nil
	}
	var events []sentEvent
	for _, c := range batch.Commands {
		events = append(events, c.Data)
	}
	return events
}

func (s *tracker) store(e sentEvent) {
	if s.events == nil {
		s.events, s.visits = map[string][]uint64{}, map[string][]uint64{}
	}
	who, cookie := e.IDs["registered"], e.IDs["cookie"]
	if who == "" {
		s.visits[cookie] = append(s.visits[cookie], e.Properties.N)
		return
	}
	s.events[who] = append(append(s.events[who], s.visits[cookie]...), e.Properties.N)
	delete(s.visits, cookie)
}

func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: strconv.Itoa(status), Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader([]byte(body))),
	}
}

func plan(s *tracker) Plan {
	return Plan{
		Client: &http.Client{Transport: s}, URL: "http://ts1", Project: "p", Track: "Token t", Read: "Basic x",
		Rate: 100, Connections: 4, Duration: 10 * time.Second, Mix: Mix{Single: 2, Batch: 1, Merge: 1}, BatchSize: 3, Customers: 7, Name: "run",
	}
}

// TestVerify checks that a run detects a server that breaks its promise, with
// the right number, and accepts one that keeps it.
func TestVerify(t *testing.T) {
	t.Parallel()
	// Half of 1000 requests carry one event, a quarter 3 and a quarter 2. Every
	// fifth request adds up to 350 of 1750 events.
	for wrong, want := range map[string]Verification{
		"":           {Acknowledged: 1750, Stored: 1750},
		"limited":    {Acknowledged: 1400, Stored: 1400},
		"refused":    {Acknowledged: 1400, Stored: 1400},
		"unanswered": {Acknowledged: 1400, Stored: 1750, Unanswered: 350},
		"repeated":   {Acknowledged: 1750, Stored: 2100, Repeated: 350},
		"foreign":    {Acknowledged: 1750, Stored: 2100, Foreign: 350},
		"lost":       {Acknowledged: 1500, Stored: 1400, Missing: 100},
	} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := tracker{wrong: wrong}
				p := plan(&s)
				p.Connections = 1 // keeps the order of the requests
				run := New(p)
				run.Load(t.Context())
				got, err := run.Verify(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(*got, want); diff != "" {
					t.Errorf("(-got +want):\n%s", diff)
				}
				if sound := want.Missing+want.Repeated+want.Foreign == 0; got.Sound() != sound {
					t.Errorf("got sound: %t", got.Sound())
				}
			})
		})
	}
}

// TestOpenLoop checks that a request's latency counts from when it was due. A
// stall of two seconds delays all requests that were due in it; a closed loop
// would not have sent them.
func TestOpenLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tracker{takes: func(n int) time.Duration {
			if n == 50 {
				return 2 * time.Second
			}
			return 0
		}}
		p := plan(&s)
		p.Rate, p.Connections, p.Mix = 10, 1, Mix{Single: 1}
		run := New(p)
		run.Load(t.Context())
		got := run.Report()
		if got.Acked != 100 || got.Loop != "open" || got.Latency.P50 > 1 || got.Latency.P90 < 900 || got.Latency.P99 < 1850 ||
			got.Latency.Max < 1999 {
			t.Errorf("got %+v, want 100 requests, of which twenty waited for up to two seconds", got)
		}
	})
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tracker{takes: func(int) time.Duration { return 100 * time.Millisecond }}
		p := plan(&s)
		p.Rate, p.Mix, p.Addresses, p.Header = 0, Mix{Single: 1}, 5, "X-Forwarded-For"
		run := New(p)
		run.Load(t.Context())
		got := run.Report()
		if got.Acked < 400 || got.Acked > 404 || got.Loop != "closed" || got.Latency.P50 < 99 || got.Latency.Max > 101 ||
			got.Rate < 39 || got.Rate > 41 {
			t.Errorf("got %+v, want 400 requests of 100 ms each", got)
		}
		want := []string{"198.18.0.0", "198.18.0.1", "198.18.0.2", "198.18.0.3", "198.18.0.4"}
		if addresses := slices.Sorted(maps.Keys(s.came)); !slices.Equal(addresses, want) {
			t.Errorf("got the addresses %q, want %q", addresses, want)
		}
	})
}

// The report says if a server is too slow. A server that hangs does not keep
// the run from ending.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tracker{takes: func(n int) time.Duration {
			if n < 10 {
				return time.Second
			}
			return time.Hour
		}}
		p := plan(&s)
		p.Rate, p.Connections = 10, 1
		run := New(p)
		began := time.Now()
		run.Load(t.Context())
		if took := time.Since(began); took > p.Duration+lastAnswer {
			t.Errorf("it took %v", took)
		}
		got := run.Report()
		if got.Acked < 9 || got.Acked > 10 || got.Unsent < 88 || got.Acked+got.Unanswered+got.Unsent != 100 {
			t.Errorf("got %+v, want about 90 of 100 unsent", got)
		}
		if !strings.Contains(got.String(), "were due and never sent") {
			t.Errorf("got %s", got)
		}
	})
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tracker{takes: func(int) time.Duration { return 100 * time.Millisecond }}
		run := New(plan(&s))
		ctx, cancel := context.WithTimeout(t.Context(), 1050*time.Millisecond)
		defer cancel()
		run.Load(ctx)
		got := run.Report()
		if got.Unanswered != 0 || got.Acked == 0 || got.Seconds > 1.3 {
			t.Errorf("got %+v, want what was under way to be answered, and no more to be sent", got)
		}
	})
}

// A request does not count as unsent if it was due while the run waited for the
// last answers.
func TestInterruptedIsNotBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tracker{takes: func(int) time.Duration { return 5 * time.Second }}
		p := plan(&s)
		p.Rate, p.Connections, p.Duration = 10, 10, time.Hour
		run := New(p)
		ctx, cancel := context.WithTimeout(t.Context(), 950*time.Millisecond)
		defer cancel()
		run.Load(ctx)
		if got := run.Report(); got.Acked != 10 || got.Unsent != 0 {
			t.Errorf("got %+v, want ten requests and none unsent", got)
		}
	})
}

// If the server is gone, each connection tries again now and then, not as fast
// as it can be refused. An event that never left does not count as perhaps
// stored.
func TestGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := tracker{wrong: "gone"}
		p := plan(&s)
		p.Rate = 0
		run := New(p)
		run.Load(t.Context())
		if got := run.Report(); got.Unanswered < 400 || got.Unanswered > 404 || got.Reasons["dial: connection refused"] != got.Unanswered {
			t.Errorf("got %+v, want four connections to be refused ten times a second", got)
		}
		for _, a := range run.ledger {
			if len(a.unknown) > 0 {
				t.Errorf("got %d events that may be stored", len(a.unknown))
			}
		}
	})
}

// Broken connections have one reason, for all ports.
func TestReason(t *testing.T) {
	t.Parallel()
	at := func(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }
	err := &url.Error{Op: "Post", URL: "http://ts1", Err: &net.OpError{
		Op: "read", Net: "tcp", Source: at(40098), Addr: at(8080), Err: os.NewSyscallError("read", syscall.ECONNRESET),
	}}
	if got := reason(err); got != "read: connection reset by peer" {
		t.Errorf("got %q", got)
	}
}

// If a server takes addresses from Forwarded, they have the form of that header
// (RFC 7239, section 4).
func TestForwarded(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{"forwarded": "for=198.18.0.1", "X-Real-IP": "198.18.0.1"} {
		p := plan(&tracker{})
		p.Addresses, p.Header = 2, header
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if p.pretend(req, 1); req.Header.Get(header) != want {
			t.Errorf("%s: got %q, want %q", header, req.Header.Get(header), want)
		}
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	p := plan(&tracker{})
	if err := p.Reach(t.Context()); err != nil {
		t.Error(err)
	}
	p = plan(&tracker{wrong: "key"})
	if err := p.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "Access key not found") {
		t.Errorf("got %v", err)
	}
	p = plan(&tracker{wrong: "private key"})
	if err := p.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "may not read") {
		t.Errorf("a key that cannot verify: got %v", err)
	}
}

func TestParseMix(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Mix{
		"single":                     {Single: 1},
		"batch, merge=2":             {Batch: 1, Merge: 2},
		"single=8,batch=1,merge=1":   {Single: 8, Batch: 1, Merge: 1},
		"":                           nil,
		"single=0":                   nil,
		"single=-1":                  nil,
		"double":                     nil,
		"single=8,batch=one,merge=1": nil,
	} {
		got, err := ParseMix(text)
		if diff := cmp.Diff(got, want); diff != "" || (err == nil) != (want != nil) {
			t.Errorf("%q: %v (-got +want):\n%s", text, err, diff)
		}
	}
	count := map[Kind]int{}
	for n := range uint64(100) {
		count[Mix{Single: 8, Batch: 1, Merge: 1}.kind(n)]++
	}
	if want := map[Kind]int{Single: 80, Batch: 10, Merge: 10}; !maps.Equal(count, want) {
		t.Errorf("got %v, want %v", count, want)
	}
}

func TestReportWords(t *testing.T) {
	t.Parallel()
	r := Report{
		Loop: "open", WantedRate: 1000, Connections: 64, Seconds: 10, Acked: 9000, Rate: 900, Events: 9500, EventRate: 950, Limited: 3, Failed: 2,
		Unanswered: 1, Latency: Latency{1, 2, 3, 4, 5}, Reasons: map[string]uint64{"reset": 1, "400": 2},
		Verified: &Verification{Acknowledged: 9500, Stored: 9499, Missing: 1},
	}
	const want = `open loop, 1000 requests/s wanted, 64 connections, 10.0 s
acknowledged  9000 requests, 900/s; 9500 events, 950/s
latency       p50 1.00 ms, p90 2.00 ms, p99 3.00 ms, p99.9 4.00 ms, max 5.00 ms
refused       3 by a rate limit, 2 otherwise; 1 without an answer
              2 × 400
              1 × reset
verified      BROKEN PROMISE: of 9500 acknowledged events 1 are missing; 0 are stored more than once, 0 were never sent
`
	if diff := cmp.Diff(r.String(), want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

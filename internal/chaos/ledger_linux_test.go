package chaos

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trackway/internal/sleep"
)

// ledger notes each acknowledgement of what its writers send. Most writers are
// like an SDK: they send a request again, to the next server, until it is
// acknowledged. So each of their events must be there once. The others never
// send a request again, and an event without an answer may be there or not.
type ledger struct {
	t       testing.TB
	servers []*server
	writers []*writer
	gate    sync.RWMutex // held for reading while a request is under way
	stop    context.CancelFunc
	ended   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	acks  int
	last  time.Time      // when a request was acknowledged
	worst time.Duration  // without an acknowledgement
	slow  time.Duration  // the longest that a writer has waited for one
	reads map[string]int // that were answered
	still bool           // nothing is sent, see pause
}

// writer is one client. The gate guards its fields.
type writer struct {
	n       int
	age     int          // of its customer: a new one after each check
	newest  atomic.Int64 // the last acknowledged event of this customer, or -1
	asks    int          // requests
	known   []fate       // of its events
	checked int          // so many events belong to earlier customers
}

// fate is what is known of an event.
type fate byte

const (
	unknown fate = iota
	acked
)

const (
	writers = 12
	pace    = 60 * time.Millisecond // of a writer: the machine has work to do beside
)

// write begins to write to a cluster.
func (c *cluster) write() {
	ctx, cancel := context.WithCancel(c.t.Context())
	l := &ledger{t: c.t, servers: c.servers, stop: cancel, last: time.Now(), reads: make(map[string]int)}
	for n := range writers {
		w := &writer{n: n}
		w.newest.Store(-1)
		l.writers = append(l.writers, w)
		l.ended.Go(func() {
			for sleep.For(ctx, pace) == nil {
				l.gate.RLock()
				l.send(ctx, w)
				l.gate.RUnlock()
			}
		})
	}
	for n, s := range l.servers {
		l.ended.Go(func() { l.read(ctx, s, n) })
	}
	l.ended.Go(func() { l.watch(ctx) })
	c.load = l
}

// end stops the writers.
func (l *ledger) end() {
	l.stop()
	l.ended.Wait()
}

// retries reports whether a writer sends requests again.
func (w *writer) retries() bool { return w.n%4 != 3 }

func (w *writer) customer() string { return fmt.Sprintf("person-%d-%d", w.n, w.age) }

// next returns the next request, and how many events it has: one, several, or a
// visit that the next event assigns to the customer.
func (w *writer) next() (path string, body []byte, events int) {
	const start = 1_700_000_000
	w.asks++
	event := func(ids string) string {
		n := len(w.known) + events
		events++
		return fmt.Sprintf(`{"customer_ids":{%s},"event_type":"chaos","timestamp":%d.5,"properties":{"name":"%d-%d","text":"%s"}}`,
			ids, start+n, w.n, n, strings.Repeat("x", n%500))
	}
	registered := fmt.Sprintf(`"registered":%q`, w.customer())
	cookie := fmt.Sprintf(`"cookie":"visit-%d-%d"`, w.n, w.asks)
	commands := func(list ...string) []byte {
		return []byte(`{"commands":[{"name":"customers/events","data":` + strings.Join(list, `},{"name":"customers/events","data":`) + `}]}`)
	}
	const prefix = "/track/v2/projects/" + project
	switch w.asks % 4 {
	case 0:
		return prefix + "/batch", commands(event(cookie), event(registered+","+cookie)), events
	case 1:
		return prefix + "/batch", commands(event(registered), event(registered), event(registered), event(registered)), events
	default:
		return prefix + "/customers/events", []byte(event(registered)), events
	}
}

// send sends a writer's next request, until it knows what became of it. Each
// writer has a server that it asks first, so some writers wait at each of them.
func (l *ledger) send(ctx context.Context, w *writer) {
	path, body, events := w.next()
	began := time.Now()
	for at := w.n; ; at++ {
		s := l.servers[at%len(l.servers)]
		status, answer, position, err := s.callAt(ctx, http.MethodPost, path, key, "", body)
		if err == nil && status == http.StatusOK && bytes.Contains(answer, []byte(`"success":true`)) && !bytes.Contains(answer, []byte(`"success":false`)) {
			w.note(events, acked)
			w.newest.Store(int64(len(w.known) - 1))
			l.acknowledged(time.Since(began))
			switch w.asks % 8 {
			case 0:
				l.look(ctx, w, s, "at the server that has acknowledged", "", "")
			case 1:
				l.look(ctx, w, l.servers[(at+1)%len(l.servers)], "with a position", "", position)
			}
			return
		}
		switch {
		case ctx.Err() != nil:
			w.note(events, unknown)
			return
		case err == nil && status != http.StatusServiceUnavailable:
			l.t.Errorf("server %d: got %d %s for %s", s.n, status, answer, body)
			w.note(events, unknown)
			return
		case !w.retries():
			w.note(events, unknown)
			return
		case time.Since(began) > patience:
			l.t.Errorf("server %d: after %v a request is not acknowledged: %d %s %v", s.n, patience, status, answer, err)
			w.note(events, unknown)
			return
		}
		if sleep.For(ctx, pace) != nil {
			w.note(events, unknown)
			return
		}
	}
}

func (w *writer) note(events int, f fate) {
	for range events {
		w.known = append(w.known, f)
	}
}

func (l *ledger) acknowledged(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.acks++
	l.worst, l.slow, l.last = max(l.worst, now.Sub(l.last)), max(l.slow, after), now
}

// begin begins to measure again.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worst, l.slow = 0, 0
}

// measured returns the longest time without an acknowledgement, and the longest
// time that a request took.
func (l *ledger) measured() (worst, slow time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.worst, l.slow
}

// await waits for more acknowledgements.
func (l *ledger) await(more int) {
	l.t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.acks
	}
	from := count()
	l.servers[0].eventually(fmt.Sprintf("%d more requests are acknowledged", more),
		func(context.Context) bool { return count() >= from+more }, func() string { return fmt.Sprint(count()-from, " are") })
}

// pause waits until no request is under way, and keeps writers from sending
// more. It returns the function that lets them go on. Time without service is
// counted from the given moment.
func (l *ledger) pause() (goOn func(since time.Time)) {
	l.gate.Lock()
	l.mu.Lock()
	l.still = true
	l.mu.Unlock()
	return func(since time.Time) {
		l.mu.Lock()
		l.last, l.still = since, false
		l.mu.Unlock()
		l.gate.Unlock()
	}
}

// result is what a check has found.
type result struct {
	events        int
	lost, doubled int
	details       []string
}

func (r *result) add(server int, w *writer, n, count int) {
	switch f := w.known[n]; {
	case count == 0 && f == acked:
		r.lost++
	case count > 1:
		r.doubled++
	default:
		return
	}
	if len(r.details) < 20 {
		r.details = append(r.details, fmt.Sprintf("server %d has %d-%d %d times", server, w.n, n, count))
	}
}

// check compares every server with what was written since the last check, while
// the writers pause. Then they go on with new customers.
func (l *ledger) check(ctx context.Context) (r result) {
	l.t.Helper()
	for _, w := range l.writers {
		var first []string
		for i, s := range l.servers {
			names := s.names(ctx, w.customer())
			if i == 0 {
				first = names
			} else if !slices.Equal(first, names) {
				l.t.Errorf("servers 1 and %d show different events of %s: %d and %d", s.n, w.customer(), len(first), len(names))
			}
			count := make(map[string]int)
			for _, name := range names {
				count[name]++
			}
			for n := w.checked; n < len(w.known); n++ {
				name := fmt.Sprintf("%d-%d", w.n, n)
				r.add(s.n, w, n, count[name])
				delete(count, name)
			}
			if len(count) > 0 {
				l.t.Errorf("server %d shows events of %s that nobody has sent: %v", s.n, w.customer(), count)
			}
		}
		r.events += len(w.known) - w.checked
		w.checked = len(w.known)
		w.age++
		w.newest.Store(-1)
	}
	return r
}

// names returns the names of a customer's events, in order.
func (s *server) names(ctx context.Context, registered string) (names []string) {
	s.t.Helper()
	const page = 1000
	for {
		status, body, err := s.call(ctx, http.MethodPost, "/data/v2/projects/"+project+"/customers/events", readKey,
			fmt.Appendf(nil, `{"customer_ids":{"registered":%q},"event_types":["chaos"],"order":"asc","limit":%d,"skip":%d}`, registered, page, len(names)))
		var answer struct {
			Data []struct{ Properties struct{ Name string } }
		}
		switch {
		case err != nil:
			s.t.Fatalf("server %d: %v", s.n, err)
		case status == http.StatusNotFound:
			return nil
		case status != http.StatusOK || json.Unmarshal(body, &answer) != nil:
			s.t.Fatalf("server %d: got %d %s", s.n, status, body)
		}
		for _, e := range answer.Data {
			names = append(names, e.Properties.Name)
		}
		if len(answer.Data) < page {
			return names
		}
	}
}

// checkAll compares the whole content of all servers, with each other and with
// what was written since the beginning, while the writers pause.
func (l *ledger) checkAll(ctx context.Context) (r result) {
	l.t.Helper()
	var first []byte
	for i, s := range l.servers {
		count, sum := s.export(ctx)
		if i == 0 {
			first = sum
		} else if !bytes.Equal(sum, first) {
			l.t.Errorf("servers 1 and %d export different data", s.n)
		}
		r.events = 0
		for _, w := range l.writers {
			r.events += len(w.known)
			for n := range w.known {
				r.add(s.n, w, n, count[fmt.Sprintf("%d-%d", w.n, n)])
			}
		}
	}
	return r
}

// export exports everything that the server has. It counts the events by their
// names, and returns the checksum of all.
func (s *server) export(ctx context.Context) (count map[string]int, sum []byte) {
	s.t.Helper()
	count = make(map[string]int)
	all := sha256.New()
	in, out := io.Pipe()
	var exporting sync.WaitGroup
	exporting.Go(func() { _ = out.CloseWithError(s.run(ctx, out, "export", "--project", "demo", "--quiet")) })
	lines := bufio.NewScanner(io.TeeReader(in, all))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row struct {
			Data struct {
				Type       string `json:"event_type"`
				Properties struct{ Name string }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			s.t.Errorf("server %d exports %q: %v", s.n, lines.Bytes(), err)
		}
		if row.Data.Type == "chaos" {
			count[row.Data.Properties.Name]++
		}
	}
	if err := lines.Err(); err != nil {
		s.t.Errorf("server %d: %v", s.n, err)
	}
	_ = in.Close()
	exporting.Wait()
	return count, all.Sum(nil)
}

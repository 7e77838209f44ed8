package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
)

const (
	store  = "00112233445566778899aabbccddeeff"
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// receiver is a receiver that keeps what it has accepted.
type receiver struct {
	*httptest.Server

	answer func(m received, w http.ResponseWriter, r *http.Request) bool // answers; false: accept. May be nil

	mu       sync.Mutex
	accepted []received
	calls    int
}

type received struct {
	id, body string
	customer uint64
	number   uint64
}

func receive(t *testing.T, answer func(m received, w http.ResponseWriter, r *http.Request) bool) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var parsed struct {
		Data struct{ Customer, Seq, Changed uint64 }
	}
	if err := json.Unmarshal(body, &parsed); err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	keys, _ := ReadSecrets(secret)
	m := received{r.Header.Get("Webhook-Id"), string(body), parsed.Data.Customer, parsed.Data.Seq + parsed.Data.Changed}
	if Sign(keys, m.id, r.Header.Get("Webhook-Timestamp"), body) != r.Header.Get("Webhook-Signature") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	rc.mu.Lock()
	rc.calls++
	rc.mu.Unlock()
	if rc.answer != nil && rc.answer(m, w, r) {
		return
	}
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.accepted = append(rc.accepted, m)
	w.WriteHeader(http.StatusNoContent)
}

func (rc *receiver) got() []received {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return slices.Clone(rc.accepted)
}

func open(t *testing.T, url, secret string) *Sink {
	t.Helper()
	s, err := New(config.Destination{Name: "hook", URL: url, Secret: secret, Allow: []string{"127.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// batch returns a batch of n events, which belong to the given number of
// customers in turn.
func batch(n, customers int) *destination.Batch {
	b := &destination.Batch{Store: store, After: 100, Through: 100 + uint64(n)}
	for i := range n {
		c := trackway.Customer(i%customers + 1)
		b.Events = append(b.Events, destination.Event{
			Seq: 101 + uint64(i), Project: "demo", Customer: c, Type: "visit", At: 1_000_000, Received: 2_000_000, Properties: []byte(`{}`),
			Holder: &destination.Customer{Customer: c, IDs: []trackway.Identifier{{Name: "registered", Value: "r" + strconv.Itoa(int(c)), Hard: true}}},
		})
	}
	return b
}

func TestBodies(t *testing.T) {
	t.Parallel()
	rc := receive(t, nil)
	s := open(t, rc.URL, secret)
	jane := &destination.Customer{
		Customer: 3, Project: "demo", Created: 1_500_000, Changed: 12, Properties: []byte(`{"plan":"pro"}`),
		IDs: []trackway.Identifier{{Name: "registered", Value: `ja"ne`, Hard: true}, {Name: "cookie", Value: "c1"}, {Name: "cookie", Value: "c2"}},
	}
	rejects, err := s.Write(t.Context(), &destination.Batch{
		Store: store, After: 9, Through: 14,
		Events: []destination.Event{
			{Seq: 10, Project: "demo", Customer: 3, Type: "visit", At: 1_000_001, Received: 2_000_000, Properties: []byte(`{"a":1}`), Holder: jane},
			{Seq: 11, Project: "demo", Customer: 4, Type: "visit", At: 1_000_001, Received: 2_000_000, Properties: []byte(`{}`), Holder: jane},
		},
		Customers: []destination.Customer{
			*jane,
			{Customer: 4, Project: "demo", Survivor: 3, Changed: 13, Properties: []byte(`{}`)},
			{Customer: 5, Project: "demo", Changed: 14, Erased: true, Created: 0, Properties: []byte(`{}`)},
		},
		Rewritten: []destination.Event{{
			Seq: 2, Project: "demo", Customer: 5, Type: "visit", Properties: []byte(`{}`), Holder: &destination.Customer{Customer: 5, Erased: true},
		}},
		Erasures: []destination.Erasure{{ID: 1, Project: "demo", Customer: 5}},
	})
	if err != nil || len(rejects) > 0 {
		t.Fatal(rejects, err)
	}
	got := map[string]string{}
	for _, m := range rc.got() {
		got[m.id] = m.body
	}
	const ids = `"customer_ids":{"registered":"ja\"ne","cookie":["c1","c2"]}`
	times := `"at":"1970-01-01T00:00:01.000001Z","received_at":"1970-01-01T00:00:02.000000Z"`
	want := map[string]string{
		store + "-10": `{"type":"event.stored","timestamp":"1970-01-01T00:00:01.000001Z","data":{"seq":10,"project":"demo","customer":3,` +
			ids + `,"type":"visit",` + times + `,"properties":{"a":1}}}`,
		store + "-11": `{"type":"event.stored","timestamp":"1970-01-01T00:00:01.000001Z","data":{"seq":11,"project":"demo","customer":4,"survivor":3,` +
			ids + `,"type":"visit",` + times + `,"properties":{}}}`,
		store + "-12": `{"type":"customer.changed","data":{"changed":12,"project":"demo","customer":3,` +
			ids + `,"created_at":"1970-01-01T00:00:01.500000Z","properties":{"plan":"pro"}}}`,
		store + "-13": `{"type":"customer.merged","data":{"changed":13,"project":"demo","customer":4,"survivor":3}}`,
		store + "-14": `{"type":"customer.erased","data":{"changed":14,"project":"demo","customer":5,"customer_ids":{},` +
			`"created_at":"1970-01-01T00:00:00.000000Z","properties":{}}}`,
		store + "-2-299fe3d284bafef3": `{"type":"event.rewritten","timestamp":"1970-01-01T00:00:00.000000Z","data":{"seq":2,"project":"demo","customer":5,` +
			`"customer_ids":{},"type":"visit","at":"1970-01-01T00:00:00.000000Z","received_at":"1970-01-01T00:00:00.000000Z","properties":{}}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	for _, body := range got {
		if !json.Valid([]byte(body)) {
			t.Errorf("no JSON: %s", body)
		}
	}
}

// Customers are served in parallel. Whatever fails in between, the messages of
// one customer stay in order, and no accepted message is sent again.
func TestOrderAndFailures(t *testing.T) {
	t.Parallel()
	const events, customers = 600, 40
	var mu sync.Mutex
	tries := map[string]int{}
	rc := receive(t, func(m received, w http.ResponseWriter, _ *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		tries[m.id]++
		if m.number%7 == 0 && tries[m.id] == 1 { // refused at first
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	})
	s := open(t, rc.URL, secret)
	b := batch(events, customers)
	failures := 0
	for {
		rejects, err := s.Write(t.Context(), b)
		if err == nil {
			if len(rejects) > 0 {
				t.Errorf("rejects: %v", rejects)
			}
			break
		}
		failures++
	}
	last := map[uint64]uint64{}
	for _, m := range rc.got() {
		if last[m.customer] >= m.number {
			t.Errorf("customer %d: %d came after %d", m.customer, m.number, last[m.customer])
		}
		last[m.customer] = m.number
		if want := fmt.Sprintf("%s-%d", store, m.number); m.id != want {
			t.Errorf("got id %s, want %s", m.id, want)
		}
	}
	if len(rc.got()) != events || failures == 0 || rc.calls != events+events/7 && rc.calls != events+events/7+1 {
		t.Errorf("%d accepted of %d, in %d calls, with %d failures", len(rc.got()), events, rc.calls, failures)
	}
}

// Several requests are under way at a time, but only one for each customer.
func TestParallel(t *testing.T) {
	t.Parallel()
	all := make(chan struct{})
	var mu sync.Mutex
	busy := map[uint64]bool{}
	rc := receive(t, func(m received, _ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		if busy[m.customer] {
			t.Errorf("customer %d is served twice at a time", m.customer)
		}
		busy[m.customer] = true
		if len(busy) == parallel && m.number <= 100+parallel {
			close(all) // all workers are here
		}
		mu.Unlock()
		select {
		case <-all:
		case <-r.Context().Done():
		}
		mu.Lock()
		defer mu.Unlock()
		busy[m.customer] = false
		return false
	})
	if rejects, err := open(t, rc.URL, secret).Write(t.Context(), batch(4*parallel, parallel)); err != nil || len(rejects) > 0 {
		t.Error(rejects, err)
	}
	if got := len(rc.got()); got != 4*parallel {
		t.Errorf("got %d messages", got)
	}
}

// The messages of a customer who is absorbed in a batch are in one order with
// those of the survivor.
func TestMergedCustomersShareOrder(t *testing.T) {
	t.Parallel()
	b := batch(20, 2)
	b.Customers = []destination.Customer{
		{Customer: 1, Project: "demo", Changed: 121, Properties: []byte(`{}`)},
		{Customer: 2, Project: "demo", Survivor: 1, Changed: 122, Properties: []byte(`{}`)},
	}
	if got := groups(b); len(got) != 1 || len(got[0]) != 22 || !slices.IsSortedFunc(got[0], func(a, b message) int { return int(a.number) - int(b.number) }) {
		t.Errorf("got %d groups", len(got))
	}
	b.Events[0].Holder = &destination.Customer{Customer: 7} // absorbed since the event
	if got := groups(b); len(got) != 2 {
		t.Errorf("got %d groups", len(got))
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	var answer func(w http.ResponseWriter)
	rc := receive(t, func(m received, w http.ResponseWriter, _ *http.Request) bool {
		if m.number == 102 {
			answer(w)
		}
		return m.number == 102
	})
	for name, c := range map[string]struct {
		status int
		after  string
		reject string
		err    string
		busy   time.Duration
		final  bool
	}{
		"OK":                  {status: 200},
		"accepted":            {status: 202},
		"bad request":         {status: 400, reject: "400 Bad Request"},
		"too large":           {status: 413, reject: "413"},
		"unprocessable":       {status: 422, reject: "422"},
		"unauthorized":        {status: 401, err: "same secret"},
		"forbidden":           {status: 403, err: "same secret"},
		"not found":           {status: 404, err: "is the path right"},
		"timeout":             {status: 408, err: "408"},
		"conflict":            {status: 409, err: "409"},
		"gone":                {status: 410, err: "410", final: true},
		"limited":             {status: 429, after: "7", err: "429", busy: 7 * time.Second},
		"limited, no time":    {status: 429, err: "429"},
		"unavailable":         {status: 503, after: "9", err: "503", busy: 9 * time.Second},
		"unavailable, bad":    {status: 503, after: "soon", err: "503"},
		"internal error":      {status: 500, after: "7", err: "500"},
		"moved":               {status: 301, err: "redirects are not followed"},
		"temporary redirect":  {status: 307, err: "redirects are not followed"},
		"not modified, empty": {status: 304, err: "304"},
	} {
		answer = func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", c.after)
			w.Header().Set("Location", rc.URL+"/elsewhere")
			w.WriteHeader(c.status)
		}
		s := open(t, rc.URL+"/?token=hidden", secret)
		rejects, err := s.Write(t.Context(), batch(3, 1))
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("%s: got %v", name, err)
		}
		var busy *destination.BusyError
		if errors.As(err, &busy) != (c.busy != 0) || busy != nil && busy.After != c.busy {
			t.Errorf("%s: got %v, want to wait %v", name, err, c.busy)
		}
		var final *destination.FinalError
		if errors.As(err, &final) != c.final {
			t.Errorf("%s: got final %v", name, final)
		}
		switch {
		case c.reject == "" && len(rejects) != 0,
			c.reject != "" && (len(rejects) != 1 || rejects[0].Number != 102 || rejects[0].Table != "events" || !strings.Contains(rejects[0].Reason, c.reject)):
			t.Errorf("%s: got %v", name, rejects)
		}
	}
}

// A receiver that refuses every message, for example because its secret has
// changed, loses nothing. Many receivers answer 400 in this case.
func TestReceiverThatRefusesAll(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity} {
		var broken atomic.Bool
		broken.Store(true)
		rc := receive(t, func(_ received, w http.ResponseWriter, _ *http.Request) bool {
			if broken.Load() {
				w.WriteHeader(status)
			}
			return broken.Load()
		})
		s := open(t, rc.URL, secret)
		b := batch(40, 20)
		if rejects, err := s.Write(t.Context(), b); err == nil || len(rejects) > 0 || !strings.Contains(err.Error(), strconv.Itoa(status)) {
			t.Errorf("%d: got %d rejects, %v", status, len(rejects), err)
		}
		broken.Store(false)
		if rejects, err := s.Write(t.Context(), b); err != nil || len(rejects) > 0 || len(rc.got()) != 40 {
			t.Errorf("%d: then got %d rejects and %d messages, %v", status, len(rejects), len(rc.got()), err)
		}
	}
}

// The message of an erasure is never left out, because the erasure would then
// count as done.
func TestErasureIsNotLeftOut(t *testing.T) {
	t.Parallel()
	var refuses atomic.Bool
	refuses.Store(true)
	rc := receive(t, func(m received, w http.ResponseWriter, _ *http.Request) bool {
		if refuses.Load() && strings.Contains(m.body, customerErased) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return true
		}
		return false
	})
	s := open(t, rc.URL, secret)
	b := batch(2, 2)
	b.Customers = []destination.Customer{{Customer: 1, Project: "demo", Changed: 103, Properties: []byte(`{}`), Erased: true}}
	b.Through = 103
	if rejects, err := s.Write(t.Context(), b); err == nil || len(rejects) > 0 || !strings.Contains(err.Error(), "erased") {
		t.Errorf("got %v, %v", rejects, err)
	}
	refuses.Store(false)
	if rejects, err := s.Write(t.Context(), b); err != nil || len(rejects) > 0 {
		t.Errorf("then got %v, %v", rejects, err)
	}
}

// A message whose answer is lost comes again with the same id and body.
func TestAcceptedButUnanswered(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string][]string{}
	rc := receive(t, func(m received, _ http.ResponseWriter, _ *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		seen[m.id] = append(seen[m.id], m.body)
		if len(seen[m.id]) == 1 && m.number == 103 {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	s := open(t, rc.URL, secret)
	b := batch(5, 1)
	_, err := s.Write(t.Context(), b)
	if err == nil || !strings.Contains(err.Error(), "before the answer") {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	twice := seen[store+"-103"]
	if len(seen) != 5 || len(twice) != 2 || twice[0] != twice[1] || len(seen[store+"-102"]) != 1 {
		t.Errorf("got %v", seen)
	}

	// After a restart, a new process sends the batch from its beginning.
	if _, err := open(t, rc.URL, secret).Write(t.Context(), batch(5, 1)); err != nil {
		t.Fatal(err)
	}
	for id, bodies := range seen {
		if len(slices.Compact(slices.Clone(bodies))) != 1 || len(bodies) < 2 {
			t.Errorf("%s came with different bodies, or not again: %q", id, bodies)
		}
	}
}

// Rejects of an attempt that fails are reported by the one that succeeds.
func TestRejectsSurviveFailures(t *testing.T) {
	t.Parallel()
	failed := false
	rc := receive(t, func(m received, w http.ResponseWriter, _ *http.Request) bool {
		switch {
		case m.number == 101:
			w.WriteHeader(http.StatusUnprocessableEntity)
		case m.number == 102 && !failed:
			failed = true
			w.WriteHeader(http.StatusBadGateway)
		default:
			return false
		}
		return true
	})
	s := open(t, rc.URL, secret)
	b := batch(3, 1)
	if _, err := s.Write(t.Context(), b); err == nil {
		t.Fatal("the first attempt succeeded")
	}
	if rejects, err := s.Write(t.Context(), b); err != nil || len(rejects) != 1 || rejects[0].Number != 101 {
		t.Errorf("got %v, %v", rejects, err)
	}
	if rejects, err := s.Write(t.Context(), batch(1, 1)); err != nil || len(rejects) != 1 {
		t.Errorf("another batch: got %v, %v", rejects, err)
	}
}

// Failures of the connection are errors that contain neither the URL nor a
// secret.
func TestDeadReceiver(t *testing.T) {
	t.Parallel()
	rc := receive(t, nil)
	url := rc.URL
	rc.Close()
	s := open(t, url+"/hidden", secret)
	for name, err := range map[string]error{
		"prepare": func() error { _, err := s.Prepare(t.Context()); return err }(),
		"write":   func() error { _, err := s.Write(t.Context(), batch(1, 1)); return err }(),
		"check":   s.Check(t.Context()),
	} {
		if err == nil || strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCheckAndPrepare(t *testing.T) {
	t.Parallel()
	rc := receive(t, nil)
	s := open(t, rc.URL, secret)
	p, err := s.Prepare(t.Context())
	if err != nil || p.Number != destination.Unkept || len(rc.got()) > 0 {
		t.Errorf("got %v, %v, %v", p, err, rc.got())
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	got := rc.got()
	if len(got) != 1 || !strings.Contains(got[0].body, `"type":"trackway.check"`) || !strings.HasPrefix(got[0].id, "check-") {
		t.Errorf("got %v", got)
	}
	if err := open(t, rc.URL, "another").Check(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong secret: got %v", err)
	}
	private, err := New(config.Destination{URL: rc.URL, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	if err := private.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "allow") {
		t.Errorf("a private address: got %v", err)
	}
}

// The specification's example, and several secrets.
func TestSign(t *testing.T) {
	t.Parallel()
	const body = `{"test": 2432232314}`
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	for text, want := range map[string]string{
		secret: want,
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw== ":         want,
		secret + "\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": want + " " + want,
	} {
		keys, err := ReadSecrets(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(body)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if keys, err := ReadSecrets("any text"); err != nil || len(keys) != 2 || string(keys[0]) != "any" {
		t.Errorf("got %q, %v", keys, err)
	}
	for _, text := range []string{"", " ", "whsec_", "whsec_!!!", secret + " whsec_?"} {
		if keys, err := ReadSecrets(text); err == nil || strings.Contains(err.Error(), "!") {
			t.Errorf("%q: got %q, %v", text, keys, err)
		}
	}
}

// When the context ends, the attempt ends, and accepted messages stay accepted.
func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := contextOf(t)
	rc := receive(t, func(m received, _ http.ResponseWriter, r *http.Request) bool {
		if m.number == 102 && ctx.Err() == nil {
			cancel()
			<-r.Context().Done()
		}
		return false
	})
	s := open(t, rc.URL, secret)
	b := batch(4, 1)
	if _, err := s.Write(ctx, b); !errors.Is(err, errStop) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Error(err)
	}
	if rc.calls != 5 {
		t.Errorf("%d calls, want one for each message and another for the second", rc.calls)
	}
}

var errStop = errors.New("stop")

func contextOf(t *testing.T) (ctx context.Context, cancel func()) {
	t.Helper()
	ctx, stop := context.WithCancelCause(t.Context())
	return ctx, func() { stop(errStop) }
}

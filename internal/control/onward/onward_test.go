package onward

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trackway/internal/api/passing"
	"trackway/internal/sleep"
)

// holder is a server to which calls are passed on.
type holder struct {
	*httptest.Server

	asked     atomic.Int32
	err       error // instead of an answer, once the body was read
	transport http.Transport
}

func newHolder(t *testing.T, h http.HandlerFunc) *holder {
	t.Helper()
	s := &holder{Server: httptest.NewServer(Taken(h))}
	t.Cleanup(s.Close)
	return s
}

// RoundTrip implements [http.RoundTripper].
func (h *holder) RoundTrip(r *http.Request) (*http.Response, error) {
	h.asked.Add(1)
	if h.err != nil {
		if r.Body != nil {
			_, _ = io.ReadAll(r.Body)
		}
		return nil, h.err
	}
	r.URL.Host = strings.TrimPrefix(h.URL, "http://")
	return h.transport.RoundTrip(r)
}

// receiver is the server that passes calls on.
func receiver(t *testing.T, s *Sender, holders ...*holder) *httptest.Server {
	t.Helper()
	var to []http.RoundTripper
	for _, h := range holders {
		to = append(to, h)
	}
	h := s.To(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "ada"
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front
}

func call(t *testing.T, s *httptest.Server, method, target, body string) (status int, answer string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

func quiet() *Sender { return New(slog.New(slog.DiscardHandler)) }

// echo says what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	_, _ = fmt.Fprint(w, r.Method, r.URL.Path, "?", r.URL.RawQuery, " ", r.RemoteAddr, " ", Passed(r.Context()), " ", len(b), err)
}

// TestTo: a call goes to the first server that holds the data, whole. It is
// tried again only if it was surely not carried out, or changes nothing.
func TestTo(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	never := fmt.Errorf("%w: connection refused", passing.ErrNotCarriedOut)
	const large = 3 << 20
	for name, test := range map[string]struct {
		method string
		err    error // of the first one; nil: it does not hold the data
		status int
		want   string // in the answer
		second int32  // how often the second one is asked
	}{
		"not here, a batch":       {http.MethodPost, nil, 200, fmt.Sprint("POST/import?a=b ada true ", large, " <nil>"), 1},
		"not here, a question":    {http.MethodGet, nil, 200, "GET/import?a=b ada true", 1},
		"unreachable, a batch":    {http.MethodPost, never, 200, fmt.Sprint("ada true ", large), 1},
		"lost, a question":        {http.MethodGet, lost, 200, "GET/import", 1},
		"lost, a batch: not sent": {http.MethodPost, lost, 503, "not known whether", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := newHolder(t, NotHere), newHolder(t, echo)
			first.err = test.err
			body := ""
			if test.method == http.MethodPost {
				body = strings.Repeat("x", large)
			}
			status, answer, err := call(t, receiver(t, quiet(), first, second), test.method, "/import?a=b", body)
			if status != test.status || !strings.Contains(answer, test.want) || err != nil || second.asked.Load() != test.second {
				t.Errorf("got %d %s, %v; the second was asked %d times", status, answer, err, second.asked.Load())
			}
		})
	}
}

// TestBounds: nothing is passed on that is too large or too much, and a server
// says that no other one answers.
func TestBounds(t *testing.T) {
	t.Parallel()
	h := newHolder(t, echo)
	if status, answer, err := call(t, receiver(t, quiet(), h), http.MethodPost, "/import", strings.Repeat("x", maxBody+1)); status != 503 || !strings.Contains(answer, "larger") || err != nil {
		t.Errorf("a large body: got %d %s, %v", status, answer, err)
	}
	if status, answer, err := call(t, receiver(t, quiet(), newHolder(t, NotHere)), http.MethodGet, "/export", ""); status != 503 || !strings.Contains(answer, "none that does has answered") || err != nil {
		t.Errorf("nobody: got %d %s, %v", status, answer, err)
	}
	s := quiet()
	for range mostCalls {
		s.places <- struct{}{}
	}
	if status, answer, err := call(t, receiver(t, s, h), http.MethodGet, "/export", ""); status != 503 || !strings.Contains(answer, "too many") || err != nil {
		t.Errorf("too many: got %d %s, %v", status, answer, err)
	}
	if n := h.asked.Load(); n != 0 {
		t.Errorf("the other server was asked %d times", n)
	}
}

// TestCutOff: an answer that comes in parts is passed on at once. If it has no
// end, that of the receiving server has none, either.
func TestCutOff(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	h := newHolder(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a row\n")
		_ = http.NewResponseController(w).Flush()
		<-read
		_, _ = io.WriteString(w, "half a")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	s := receiver(t, quiet(), h)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/export", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	row := make([]byte, 6)
	if _, err := io.ReadFull(res.Body, row); err != nil || string(row) != "a row\n" {
		t.Errorf("got %q, %v", row, err)
	}
	close(read)
	if rest, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v", rest, err)
	}
}

// hanging is a server that takes calls and answers none, until it is closed.
// Its answer to an export has begun, if that is wanted.
func hanging(t *testing.T, begun bool) *holder {
	t.Helper()
	closed := make(chan struct{})
	h := newHolder(t, func(w http.ResponseWriter, r *http.Request) {
		if begun && r.URL.Path == "/export" {
			_, _ = io.WriteString(w, "a row\n")
			_ = http.NewResponseController(w).Flush()
		}
		<-closed
	})
	t.Cleanup(func() { close(closed) }) // before the server is closed
	return h
}

// TestHangs: a server that hangs is given up, and named. A question goes to the
// next one. A server that is only slow is waited for.
func TestHangs(t *testing.T) {
	t.Parallel()
	hasty := func() *Sender {
		s := quiet()
		s.quiet, s.answer = 50*time.Millisecond, 200*time.Millisecond
		return s
	}
	if status, answer, err := call(t, receiver(t, hasty(), hanging(t, false)), http.MethodGet, "/export", ""); status != 503 || !strings.Contains(answer, "has stopped answering") || err != nil {
		t.Errorf("an export: got %d %s, %v", status, answer, err)
	}
	if status, answer, err := call(t, receiver(t, hasty(), hanging(t, false)), http.MethodPost, "/import", "x"); status != 503 || !strings.Contains(answer, "not known whether this was carried out: the server that holds the data has stopped") || err != nil {
		t.Errorf("an import: got %d %s, %v", status, answer, err)
	}
	if status, answer, err := call(t, receiver(t, hasty(), hanging(t, false), newHolder(t, echo)), http.MethodGet, "/export", ""); status != 200 || !strings.Contains(answer, "GET/export") || err != nil {
		t.Errorf("an export with another holder: got %d %s, %v", status, answer, err)
	}
	var logged strings.Builder
	s := hasty()
	s.log = slog.New(slog.NewTextHandler(&logged, nil))
	front := receiver(t, s, hanging(t, true))
	if status, answer, err := call(t, front, http.MethodGet, "/export", ""); status != 200 || answer != "a row\n" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an export that has begun: got %d %s, %v", status, answer, err)
	}
	front.Close() // so that all is logged
	if !strings.Contains(logged.String(), "has stopped answering") {
		t.Errorf("logged: %s", logged.String())
	}
	slow := newHolder(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/export" {
			_ = sleep.For(r.Context(), 300*time.Millisecond)
		}
		_, _ = io.WriteString(w, "done")
	})
	patient := hasty()
	patient.answer = time.Minute
	if status, answer, err := call(t, receiver(t, patient, slow), http.MethodGet, "/export", ""); status != 200 || answer != "done" || err != nil {
		t.Errorf("a slow export: got %d %s, %v", status, answer, err)
	}
}

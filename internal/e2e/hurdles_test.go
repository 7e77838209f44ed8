package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// hurdle is what happens to one call of a client that brings messages.
type hurdle string

// The hurdles. Behind them, the server's own limit refuses calls.
const (
	none        hurdle = "none"
	unavailable hurdle = "503 instead of the call"
	answerLost  hurdle = "503 instead of the answer"
	answerCut   hurdle = "the connection ends instead of the answer"
	limitUsed   hurdle = "429, because other calls have used up the limit"
	restarted   hurdle = "the server is killed and started again"
)

// hurdles is a proxy between a client of another product and the server. Each
// of its first calls with messages meets the next hurdle of the course, and all
// later ones meet none.
type hurdles struct {
	url  string
	dir  string // of the server
	stop chan chan<- *server

	mu      sync.Mutex // guards what follows
	server  *server
	course  []hurdle
	closed  bool           // every call with messages gets 503 instead
	again   chan struct{}  // closed once the server is started again; nil: it runs
	limited int            // calls that the server refused with 429
	bodies  map[int][]byte // of all calls, by the status of the answer that the client got
}

// hurdleConfig has a limit that an SDK exceeds which sends without a pause.
const hurdleConfig = baseConfig + `
limits:
  - {name: track, paths: [/track/], limit: 5, window: 1s, per: ip, allow_below_floor: true}
`

func newHurdles(t *testing.T, config string, course ...hurdle) *hurdles {
	t.Helper()
	dir := t.TempDir()
	h := &hurdles{dir: dir, stop: make(chan chan<- *server), course: course, bodies: make(map[int][]byte), server: startIn(t, dir, config)}
	front := httptest.NewServer(h)
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	h.url = front.URL
	return h
}

// next returns the server and the hurdle for a call. While the server is
// started again, which takes long on a slow machine, calls wait: a client that
// found nobody then would count that as another failure.
func (h *hurdles) next(r *http.Request) (*server, hurdle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.again != nil {
		again := h.again
		h.mu.Unlock()
		<-again
		h.mu.Lock()
	}
	path := strings.TrimSuffix(r.URL.Path, "/")
	messages := r.Method == http.MethodPost && path != "/flags" && path != "/decide"
	if messages && h.closed {
		return h.server, unavailable
	}
	if !messages || len(h.course) == 0 {
		return h.server, none
	}
	met := h.course[0]
	h.course = h.course[1:]
	if met == restarted {
		h.again = make(chan struct{})
	}
	return h.server, met
}

func (h *hurdles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s, met := h.next(r)
	if met == restarted {
		anew := make(chan *server)
		h.stop <- anew
		started := <-anew
		h.mu.Lock()
		h.server = started
		close(h.again)
		h.again = nil
		h.mu.Unlock()
	}
	if met == limitUsed {
		s.useUpLimit(r.Context())
	}
	if met != unavailable && met != restarted {
		header := map[string]string{"Host": r.Host}
		for name := range r.Header {
			header[name] = r.Header.Get(name)
		}
		res, err := s.try(r.Context(), request{method: r.Method, path: r.URL.RequestURI(), auth: "none", header: header, body: body})
		if err != nil || met == answerCut {
			h.answered(met, nil, 0)
			panic(http.ErrAbortHandler)
		}
		if met != answerLost {
			h.answered(met, body, res.status)
			maps.Copy(w.Header(), res.header)
			w.WriteHeader(res.status)
			_, _ = w.Write(res.body)
			return
		}
	}
	h.answered(met, body, http.StatusServiceUnavailable)
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
}

// useUpLimit makes calls until the limit refuses one. It makes several at a
// time: one after the other, they would not reach the limit on a slow machine.
func (s *server) useUpLimit(ctx context.Context) {
	var callers sync.WaitGroup
	var done atomic.Bool
	for range 8 {
		callers.Go(func() {
			for !done.Load() {
				res, err := s.try(ctx, request{path: "/track/v2/projects/{token}/system/time", auth: "public"})
				if err != nil || res.status == http.StatusTooManyRequests {
					done.Store(true)
				}
			}
		})
	}
	callers.Wait()
}

// answered notes the answer that a client gets, or 0 for none.
func (h *hurdles) answered(met hurdle, body []byte, status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies[status] = append(h.bodies[status], body...)
	if status == http.StatusTooManyRequests {
		h.limited++
	}
	if met == limitUsed && status != http.StatusTooManyRequests { // there was room again, or no server
		h.course = append([]hurdle{limitUsed}, h.course...)
	}
}

var messageIDs = regexp.MustCompile(`"messageId":"[^"]+"`)

// messages returns how many messages of Segment's kind have been in calls with
// such an answer.
func (h *hurdles) messages(status int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make(map[string]bool)
	for _, id := range messageIDs.FindAll(h.bodies[status], -1) {
		ids[string(id)] = true
	}
	return len(ids)
}

// heard reports whether a call with such an answer contained a text.
func (h *hurdles) heard(status int, text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Contains(h.bodies[status], []byte(text))
}

// close has every call with messages answered 503 from now on, or not.
func (h *hurdles) close(closed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = closed
}

// until waits until a condition holds, and restarts the server when a hurdle
// asks for it. The condition must not need the server.
func (h *hurdles) until(ctx context.Context, t *testing.T, holds func() bool) {
	t.Helper()
	await(ctx, t, func() bool {
		select {
		case anew := <-h.stop:
			h.current().kill(t)
			anew <- startAgain(t, h.dir)
		default:
		}
		return holds()
	})
}

// run runs a client to its end, restarts the server when a hurdle asks for it,
// and returns the client's output.
func (h *hurdles) run(t *testing.T, dir string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	var out, errors strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errors
	ended := make(chan error, 1)
	go func() { ended <- cmd.Run() }()
	for {
		select {
		case anew := <-h.stop:
			h.current().kill(t)
			anew <- startAgain(t, h.dir)
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v: %v\n%s%s", command, err, out.String(), errors.String())
			}
			return out.String()
		}
	}
}

// current returns the server that runs now.
func (h *hurdles) current() *server {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.server
}

// startAgain starts a server whose directory has a configuration and data.
func startAgain(t *testing.T, dir string) *server {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(dir, "trackway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return startIn(t, dir, string(config))
}

// over checks that the client has met all hurdles, and has been refused by the
// limit.
func (h *hurdles) over(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.course) > 0 || h.limited == 0 {
		t.Errorf("the client has not met %v, and %d calls were over the limit", h.course, h.limited)
	}
}

// counts returns how many events of each type are stored.
func (s *server) counts(t *testing.T) map[string]int {
	t.Helper()
	got := map[string]int{}
	for page := 1; ; page++ {
		res := s.do(t, request{path: "/api/projects/{token}/events?rows=1000&page=" + strconv.Itoa(page)})
		var answer struct {
			Total int
			Rows  []struct{ Type string }
		}
		if err := json.Unmarshal(res.body, &answer); err != nil || res.status != http.StatusOK {
			t.Fatalf("got %v, %v", res, err)
		}
		for _, row := range answer.Rows {
			got[row.Type]++
		}
		if page >= answer.Total {
			return got
		}
	}
}

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/prereq"
)

// clientsDir contains the scripts of the real clients. tools/install-clients
// puts their libraries beside them.
const clientsDir = "testdata/realclients"

// tightLimits makes the wait so long that a client that obeys Retry-After
// differs from one that comes back when it likes: on their own, the clients
// below would come back after 0, 0.5 or 1 s.
const tightLimits = `
limits:
  - {name: track, paths: [/track/], limit: 2, window: 3s, per: ip, allow_below_floor: true}
`

// TestRealClientsObey: popular HTTP clients with default settings wait as long
// as a 429 of this server asks, and then succeed.
func TestRealClientsObey(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+tightLimits)
	for i, c := range []struct {
		name    string
		command []string // the address is appended
	}{
		{"curl", []string{"curl", "--retry", "3", "--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}"}},
		{"urllib3", []string{"python3", "urllib3_retry.py"}},
		{"got", []string{"node", "got.mjs"}},
		{"undici", []string{"node", "undici.mjs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, w := s.refuse(t, 10+i, c.command)
			if out = strings.TrimSpace(out); !strings.HasSuffix(out, "\n200") && out != "200" {
				t.Errorf("the client ended with %q, want status 200", out)
			}
			if complaint := obeyed(w.all()); complaint != "" {
				t.Error(complaint)
			}
		})
	}
}

// TestRealClientsReadFields: libraries find the intended values in the header
// fields of a refusal.
func TestRealClientsReadFields(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+tightLimits)
	out, w := s.refuse(t, 10, []string{"node", "fields.mjs"})
	var got struct {
		Status int
		X      struct{ Limit, Used, Remaining, Reset int64 }
		State  []map[string]any
		Policy []map[string]any
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	refusal := w.all()[0]
	if got.Status != http.StatusTooManyRequests || got.X.Limit != 2 || got.X.Used != 2 || got.X.Remaining != 0 {
		t.Errorf("got status %d, %+v, want a 429 with 2 of 2 used", got.Status, got.X)
	}
	if early := refusal.date.Unix(); got.X.Reset <= early || got.X.Reset > early+4 {
		t.Errorf("got a reset at %d, want up to 3 s after the answer's Date, %d, rounded up", got.X.Reset, early)
	}
	if diff := cmp.Diff(got.State, []map[string]any{{"value": "track", "r": 0.0, "t": refusal.wait.Seconds()}}); diff != "" {
		t.Errorf("RateLimit (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(got.Policy, []map[string]any{{"value": "track", "q": 2.0, "w": 3.0}}); diff != "" {
		t.Errorf("RateLimit-Policy (-got +want):\n%s", diff)
	}
}

var prerequisites = map[string]string{"curl": prereq.Curl, "node": prereq.Node, "python3": prereq.Python}

// runClient runs a client in the directory of the scripts and returns its
// output. If the client or its language is missing, the test ends as package
// prereq decides.
func runClient(t *testing.T, command []string, target string) string {
	t.Helper()
	path, err := exec.LookPath(command[0])
	if err != nil {
		prereq.Missing(t, prerequisites[command[0]], err.Error())
	}
	installed := map[string]string{"node": "node_modules/.installed", "python3": ".venv/.installed"}[command[0]]
	if _, err := os.Stat(filepath.Join(clientsDir, installed)); err != nil {
		prereq.Missing(t, prerequisites[command[0]], "the clients are not installed, run `make test-deps`: "+err.Error())
	}
	if command[0] == "python3" {
		path = filepath.Join(".venv", "bin", "python")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append(command[1:len(command):len(command)], target)...)
	cmd.Dir = clientsDir
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v, %s%s", command, err, out, errors.String())
	}
	return string(out)
}

// witness stands between a client and the server, and records the calls. Before
// it forwards the first call, it uses up the limit of the client's address,
// however slowly the client has started.
type witness struct {
	url    string
	server *server
	addr   string

	mu   sync.Mutex // guards seen
	seen []sighting
}

// sighting is one call of the client with its answer.
type sighting struct {
	came, answered time.Time // by the monotonic clock; answered is set before the client gets the answer
	status         int
	wait           time.Duration // Retry-After
	date           time.Time
}

// refuse runs a client whose first call the limit refuses, and returns its
// output. If this machine stands still between the calls of the witness and
// that of the client, there is room again: then the client runs again, from
// another address.
func (s *server) refuse(t *testing.T, addr int, command []string) (out string, w *witness) {
	t.Helper()
	for range 5 {
		w = s.witness(t, fmt.Sprintf("203.0.113.%d", addr))
		out = runClient(t, command, w.url)
		if seen := w.all(); len(seen) != 1 || seen[0].status != http.StatusOK {
			break
		}
		addr += 40
	}
	return out, w
}

func (s *server) witness(t *testing.T, addr string) *witness {
	t.Helper()
	w := &witness{server: s, addr: addr}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: s.public})
			p.Out.Header.Set("X-Forwarded-For", addr)
		},
		ModifyResponse: w.note,
		ErrorHandler: func(answer http.ResponseWriter, _ *http.Request, err error) {
			t.Errorf("the server does not answer: %v", err)
			answer.WriteHeader(http.StatusBadGateway)
		},
	}
	front := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		if err := w.meet(r.Context()); err != nil {
			t.Errorf("use up the limit: %v", err)
		}
		proxy.ServeHTTP(answer, r)
	}))
	t.Cleanup(front.Close)
	w.url = front.URL + "/track/v2/projects/" + projectToken + "/system/time?access_token=" + publicKey
	return w
}

// meet records a call of the client. At the first call, it makes calls of its
// own until the server asks for a wait of at least 2 s.
func (w *witness) meet(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		for wait := 0; wait < 2; {
			res, err := w.server.try(ctx, request{path: "/track/v2/projects/{token}/system/time", header: from(w.addr)})
			if err != nil {
				return err
			}
			wait, _ = strconv.Atoi(res.header.Get("Retry-After")) // 0 if the answer has none
		}
	}
	w.seen = append(w.seen, sighting{came: time.Now()})
	return nil
}

func (w *witness) note(res *http.Response) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := &w.seen[len(w.seen)-1] // the client makes one call at a time
	last.status = res.StatusCode
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		last.wait = time.Duration(seconds) * time.Second
	}
	var err error
	last.date, err = http.ParseTime(res.Header.Get("Date"))
	last.answered = time.Now()
	return err
}

func (w *witness) all() []sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// obeyed says what a client did wrong: it should have been refused once, have
// waited, and have succeeded. It returns an empty text if the client did.
func obeyed(seen []sighting) string {
	const slack = 50 * time.Millisecond // timers of clients may fire a little early
	if len(seen) != 2 || seen[0].status != http.StatusTooManyRequests || seen[1].status != http.StatusOK {
		return fmt.Sprintf("got the calls %+v, want one that is refused and one that succeeds", seen)
	}
	if waited := seen[1].came.Sub(seen[0].answered); waited < seen[0].wait-slack {
		return fmt.Sprintf("the client came back after %v, before the %v that it was told", waited, seen[0].wait)
	}
	return ""
}

// TestObeyed tests obeyed itself: it must find a client that comes too early,
// or again and again.
func TestObeyed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	refused := sighting{came: now, answered: now, status: 429, wait: 3 * time.Second}
	after := func(d time.Duration, status int) sighting { return sighting{came: now.Add(d), status: status} }
	for _, c := range []struct {
		ok   bool
		seen []sighting
	}{
		{true, []sighting{refused, after(3*time.Second, 200)}},
		{false, []sighting{refused, after(time.Second, 200)}},
		{false, []sighting{refused, after(time.Second, 429), after(3*time.Second, 200)}},
		{false, []sighting{refused}},
		{false, []sighting{after(0, 200)}},
		{false, []sighting{refused, after(3*time.Second, 500)}},
	} {
		if got := obeyed(c.seen); (got == "") != c.ok {
			t.Errorf("%+v: got %q, want fine: %t", c.seen, got, c.ok)
		}
	}
}

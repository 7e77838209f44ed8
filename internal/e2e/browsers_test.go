package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/prereq"
)

// browsersDir contains the programs of pages. tools/install-clients puts SDKs
// of other products beside them.
const browsersDir = "testdata/browsers"

// program returns the program of a page.
func program(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(browsersDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// site serves a page with a program, and hears what the page says.
type site struct {
	url   string
	leave chan struct{} // closed to have the page go on to another

	mu     sync.Mutex // guards what follows
	said   []string
	opened int // how many times a page was opened
}

// newSite packs a program with the SDKs that it imports, as a site does that
// installs them from npm, and serves it.
func newSite(t *testing.T, program string) *site {
	t.Helper()
	dir, err := filepath.Abs(browsersDir)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := filepath.Abs(filepath.Join(root, "js", "dist", "browser.js"))
	if err != nil {
		t.Fatal(err)
	}
	for _, need := range []string{filepath.Join(dir, "node_modules", ".installed"), ours} {
		if _, err := os.Stat(need); err != nil {
			prereq.Missing(t, prereq.Browsers, "run `make test-clients`: "+err.Error())
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	esbuild := exec.CommandContext(ctx, filepath.Join(dir, "node_modules", ".bin", "esbuild"),
		"--bundle", "--format=esm", "--log-level=warning", "--alias:@trackway/sdk="+ours)
	esbuild.Dir = dir
	esbuild.Stdin = strings.NewReader(program)
	var errors strings.Builder
	esbuild.Stderr = &errors
	bundle, err := esbuild.Output()
	if err != nil {
		t.Fatalf("esbuild: %v\n%s", err, errors.String())
	}
	s := &site{leave: make(chan struct{})}
	files := http.NewServeMux()
	files.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.opened++
		_, _ = io.WriteString(w, `<!doctype html><meta charset="utf-8"><title>A page</title><script type="module" src="/page.js"></script>`)
	})
	files.HandleFunc("GET /page.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(bundle)
	})
	files.HandleFunc("GET /leave", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-s.leave:
		case <-r.Context().Done():
		}
	})
	files.HandleFunc("POST /said", func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return // the page is gone
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.said = append(s.said, string(text))
	})
	front := httptest.NewServer(files)
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	s.url = front.URL
	return s
}

// heard returns what the page has said.
func (s *site) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// open opens the page.
func (s *site) open(t *testing.T, server string, count int, mode string) {
	t.Helper()
	query := url.Values{"server": {server}, "key": {publicKey}, "project": {projectToken}, "count": {fmt.Sprint(count)}, "mode": {mode}}
	browse(t, prereq.Browsers, s.url+"/?"+query.Encode())
}

// pages returns how many times a page was opened.
func (s *site) pages() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// browse opens a page in Chromium until the end of the test.
func browse(t *testing.T, need, page string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		prereq.Missing(t, need, err.Error())
	}
	ctx, cancel := context.WithCancel(t.Context())
	browser := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
		"--user-data-dir="+t.TempDir(), page)
	browser.WaitDelay = patience
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = browser.Wait() // it was killed
	})
}

// pageConfig has a limit that a page alone does not reach.
const pageConfig = baseConfig + `
limits:
  - {name: track, paths: [/track/], limit: 100, window: 2s, per: ip, allow_below_floor: true}
  - {name: api, paths: [/api/, /data/], limit: 4000000, window: 30s, per: ip+path}
`

// pageSDK is an SDK of another product in a page, in a program that sends an
// identify, some events of type step, and an event that the server refuses.
type pageSDK struct {
	name    string
	program string
	mode    string
	gives   bool     // the SDK gives a message up at the first failure
	says    []string // what the page says; the SDK tells it
	alone   bool     // each message is a call of its own
}

var pageSDKs = []pageSDK{
	{name: "@segment/analytics-next", program: "segment.mjs", says: []string{"delivery_failure: xxxxxxxxxx"}, alone: true},
	{name: "@segment/analytics-next in batches", program: "segment.mjs", mode: "batches"},
	{name: "@rudderstack/analytics-js", program: "rudder.mjs", alone: true},
	{name: "@rudderstack/analytics-js in batches", program: "rudder.mjs", mode: "batches"},
	{name: "@jitsu/js", program: "jitsu.mjs", gives: true, alone: true},
}

// TestSDKsInPages runs SDKs for browsers, unmodified, in Chromium against the
// server. Each has to cope with a server without room, lost answers, a limit,
// and a server that is killed and started again. Each message is stored exactly
// once, and a bad one does not hold up the others.
func TestSDKsInPages(t *testing.T) {
	t.Parallel()
	for _, c := range pageSDKs {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			page := newSite(t, program(t, c.program))
			course := []hurdle{none, unavailable, answerLost, limitUsed, answerCut, restarted}
			if c.gives {
				course = nil
			}
			h := newHurdles(t, pageConfig, course...)
			h.current().log.private("jane@example.com")
			page.open(t, h.url, steps, c.mode)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			want := 1 + steps + 1
			if c.alone {
				want-- // the bad one is refused
			}
			h.until(ctx, t, func() bool { return h.answers(http.StatusOK) >= want && len(page.heard()) >= len(c.says) })
			if !c.gives {
				h.over(t)
			}
			if said := page.heard(); !slices.Equal(said, c.says) {
				t.Errorf("the page says %q, want %q", said, c.says)
			}
			h.current().mustHoldSteps(t)
		})
	}
}

// TestSDKsInPagesThatAreLeft: a page is left while the server has no room. What
// it has not sent waits in the browser, and the next page sends it, once.
func TestSDKsInPagesThatAreLeft(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"segment.mjs", "rudder.mjs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := newSite(t, program(t, name))
			h := newHurdles(t, baseConfig+wideLimits)
			h.close(true)
			h.current().log.private("jane@example.com")
			const count = 5
			page.open(t, h.url, count, "leave")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			await(ctx, t, func() bool { return h.answers(http.StatusServiceUnavailable) >= 1 })
			close(page.leave)
			await(ctx, t, func() bool { return page.pages() == 2 })
			h.close(false)
			await(ctx, t, func() bool { return h.answers(http.StatusOK) == 1+count+1 })
			want := map[string]int{"step": count, "next page": 1}
			if diff := cmp.Diff(want, h.current().counts(t)); diff != "" {
				t.Errorf("stored events (-want +got):\n%s", diff)
			}
		})
	}
}

// merged is the server's own event about customers who turn out to be one. How
// many there are depends on which message comes first.
const merged = "merge"

// TestSDKsInPagesTogether opens a page with five SDKs. Whoever watches the live
// page sees each event of each SDK once.
func TestSDKsInPagesTogether(t *testing.T) {
	t.Parallel()
	page := newSite(t, program(t, "together.mjs"))
	s := start(t, gridConfig(pagesPassword, wideLimits))
	s.log.private("jane@example.com")
	live := s.watch(t, s.signIn(t, pagesPassword), "rejected=1&project="+projectToken, "")
	const count = 5
	page.open(t, "http://"+s.public, count, "")
	want := map[string]int{"page_visit": 4, "$pageview": 1}
	left := 5
	for _, name := range []string{"segment", "rudder", "jitsu", "posthog", "trackway"} {
		for n := range count {
			want[fmt.Sprint(name, " ", n)] = 1
			left++
		}
	}
	seen := map[string]int{}
	see := func() string {
		for {
			m := next(t, live)
			if m.event != "event" {
				t.Errorf("got %+v", m)
			}
			name, _ := m.data["type"].(string)
			if name != merged {
				seen[name]++
				return name
			}
		}
	}
	for ; left > 0; left-- {
		see()
	}
	s.track(t, "customers/events", map[string]any{"customer_ids": map[string]any{"cookie": "other"}, "event_type": "the end"})
	for see() != "the end" {
	}
	want["the end"] = 1
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("the live page shows (-want +got):\n%s", diff)
	}
	stored := s.counts(t)
	delete(stored, merged)
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("stored events (-want +got):\n%s", diff)
	}
}

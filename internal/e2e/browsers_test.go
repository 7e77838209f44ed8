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
	"strconv"
	"strings"
	"sync"
	"syscall"
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
	url     string
	leave   chan struct{} // closed to have the page go on to another
	scripts bool          // the page may also load scripts from the server

	mu     sync.Mutex // guards what follows
	said   []string
	opened int // how many times a page was opened
}

// newSite packs a program with the SDKs that it imports, as a site does that
// installs them from npm, and serves it. The policy of the page lets it ask the
// site and the server only. If it asks another host, the test fails.
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
	files.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.opened++
		scripts, server := "'self'", r.URL.Query().Get("server")
		if s.scripts {
			scripts += " " + server
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src "+scripts+"; connect-src 'self' "+server)
		_, _ = io.WriteString(w, `<!doctype html><meta charset="utf-8"><title>A page</title><script src="/watch.js"></script><script type="module" src="/page.js"></script>`)
	})
	files.HandleFunc("GET /watch.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, "document.addEventListener('securitypolicyviolation', (e) => fetch('/said', { method: 'POST', body: '"+blocked+"' + e.blockedURI }))")
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
	t.Cleanup(func() {
		for _, text := range s.heard() {
			if strings.HasPrefix(text, blocked) {
				t.Errorf("the page was kept from asking another host than the server: %s", text)
			}
		}
	})
	return s
}

// blocked begins what a page says if its policy has blocked a request.
const blocked = "blocked: "

// heard returns what the page has said.
func (s *site) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// open opens the page.
func (s *site) open(t *testing.T, server string, count int, mode string) {
	t.Helper()
	query := url.Values{"server": {server}, "key": {publicKey}, "project": {projectToken}, "count": {strconv.Itoa(count)}, "mode": {mode}}
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
	profile, err := os.MkdirTemp("", "chromium") //nolint:usetesting // t would fail if a process that still ends writes there
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	// A container's /dev/shm may be small, and what Chromium does for itself
	// takes the processor from the page.
	browser := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-networking", "--no-first-run", "--remote-debugging-port=0", "--user-data-dir="+profile, page)
	// A file, because one of its processes may keep a pipe open.
	output, err := os.Create(filepath.Join(profile, "output"))
	if err != nil {
		t.Fatal(err)
	}
	browser.Stdout, browser.Stderr = output, output
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its processes end together
	browser.Cancel = func() error { return syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) }
	browser.WaitDelay = patience
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = browser.Wait() // it was killed
		if t.Failed() {
			text, _ := os.ReadFile(output.Name()) // without its output, this shows nothing
			t.Logf("the browser says:\n%s", text)
		}
		_ = output.Close()
		_ = os.RemoveAll(profile) // what still ends may write there
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
			h.until(ctx, t, func() bool { return h.messages(http.StatusOK) >= want && len(page.heard()) >= len(c.says) })
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

// TestSDKsInPagesThatAreLeft: a page is left while the server has no room. The
// messages that are not sent yet wait in the browser, and the next page sends
// each once. In batches, analytics-next keeps no messages: it tries once more,
// and loses them if the server refuses them.
func TestSDKsInPagesThatAreLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		program, mode string
		kept          int
	}{
		{"segment.mjs", "leave", 5},
		{"segment.mjs", "leave batches", 0},
		{"rudder.mjs", "leave", 5},
	} {
		t.Run(c.program+" "+c.mode, func(t *testing.T) {
			t.Parallel()
			page := newSite(t, program(t, c.program))
			h := newHurdles(t, baseConfig+wideLimits)
			h.close(true)
			h.current().log.private("jane@example.com")
			const count = 5
			page.open(t, h.url, count, c.mode)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			// Each message was refused: none is on its way through the SDK.
			await(ctx, t, func() bool { return h.messages(http.StatusServiceUnavailable) == 1+count })
			close(page.leave)
			await(ctx, t, func() bool { return page.pages() == 2 })
			// By now all calls of the first page are over.
			await(ctx, t, func() bool { return h.heard(http.StatusServiceUnavailable, `"next page"`) })
			h.close(false)
			want := map[string]int{"next page": 1}
			all := 1
			if c.kept > 0 {
				want["step"] = count
				all += 1 + count
			}
			await(ctx, t, func() bool { return h.messages(http.StatusOK) == all })
			if diff := cmp.Diff(want, h.current().counts(t)); diff != "" {
				t.Errorf("stored events (-want +got):\n%s", diff)
			}
		})
	}
}

// merged is the server's own event about customers who turn out to be one. How
// many there are depends on which message comes first.
const merged = "merge"

// TestSDKsInPagesTogether opens a page with five SDKs. The live page shows each
// event of each SDK once.
func TestSDKsInPagesTogether(t *testing.T) {
	t.Parallel()
	page := newSite(t, program(t, "together.mjs"))
	s := start(t, gridConfig(pagesPassword, wideLimits))
	s.log.private("jane@example.com")
	page.scripts = true // of PostHog, which the server has
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

// TestSDKsInPagesOfTheGuide runs the programs of the guide for pages.
func TestSDKsInPagesOfTheGuide(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"segment.js", "settings.js", "rudder.js", "jitsu.js"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, baseConfig+wideLimits)
			s.log.private("jane@example.com")
			text := file(t, blocks(t, "from-segment.md"), name)
			page := newSite(t, strings.NewReplacer("https://track.example.com", "http://"+s.public, "track.example.com", s.public,
				"protocol: 'https'", "protocol: 'http'", "your-public-key", publicKey).Replace(text))
			page.open(t, "http://"+s.public, 0, "")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var got *customer
			await(ctx, t, func() bool {
				got = s.exportOne(t, map[string]any{"registered": "jane@example.com"})
				return got != nil && got.Properties["plan"] != nil && len(got.Events) > 0
			})
			if got.Properties["plan"] != "pro" || len(got.Events) != 1 || got.Events[0].Type != "Order Completed" || got.Events[0].Properties["total"] != 7.99 {
				t.Errorf("got %+v, want a customer with an order", got)
			}
		})
	}
}

// TestSDKsInPagesWithoutSettings: if analytics-next cannot load its settings,
// it loses all events of the page. With settings from the page, it asks for
// none.
func TestSDKsInPagesWithoutSettings(t *testing.T) {
	t.Parallel()
	page := newSite(t, program(t, "settings.mjs"))
	h := newHurdles(t, baseConfig+wideLimits)
	page.open(t, h.url, 0, "")
	awaitPatiently(t, func() bool { return h.messages(http.StatusOK) == 1 && len(page.heard()) == 1 })
	if said := page.heard(); said[0] != "no settings" {
		t.Errorf("the page says %q", said)
	}
	if diff := cmp.Diff(map[string]int{"kept": 1}, h.current().counts(t)); diff != "" {
		t.Errorf("stored events (-want +got):\n%s", diff)
	}
}

// TestSDKsInPagesKeepToTheServer: the settings of the server keep
// analytics-next from sending its statistics to Segment.
func TestSDKsInPagesKeepToTheServer(t *testing.T) {
	t.Parallel()
	page := newSite(t, program(t, "statistics.mjs"))
	s := start(t, baseConfig+wideLimits)
	page.open(t, "http://"+s.public, 0, "")
	awaitPatiently(t, func() bool { return slices.Contains(page.heard(), "done") })
}

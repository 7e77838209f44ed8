package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/prereq"
)

// postHogDir contains the scripts of PostHog's SDKs. tools/install-clients puts
// the SDKs beside them.
const postHogDir = "testdata/posthog"

// postHogClient ends the test unless a file of PostHog's SDKs is installed.
func postHogClient(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(postHogDir, file)); err != nil {
		prereq.Missing(t, prereq.PostHog, "the clients are not installed, run `make test-clients`: "+err.Error())
	}
}

// TestSDKsOfPostHog runs PostHog's SDKs, unmodified, against a server that is
// overloaded, loses an answer, and is killed. Each message has to be stored
// exactly once. One message of a batch is refused; the others are stored.
func TestSDKsOfPostHog(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prefix  string
		command func(t *testing.T) []string
		plan    string // which $set_once leaves alone
	}{
		"Python": {"py", func(t *testing.T) []string {
			t.Helper()
			postHogClient(t, ".venv/.installed")
			return []string{filepath.Join(".venv", "bin", "python"), "sdk.py"}
		}, "first"},
		"Node": {"node", func(t *testing.T) []string {
			t.Helper()
			postHogClient(t, "node_modules/.installed")
			node, err := exec.LookPath("node")
			if err != nil {
				prereq.Missing(t, prereq.PostHog, err.Error())
			}
			return []string{node, "sdk.mjs"}
		}, "first"},
		"Go": {"go", func(t *testing.T) []string {
			t.Helper()
			postHogClient(t, "go/client")
			return []string{filepath.Join("go", "client"), "posthog"}
		}, "first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := c.command(t)
			h := newHurdles(t, hurdleConfig, none, unavailable, answerLost, restarted, none, limitUsed, answerLost)
			out := h.run(t, postHogDir, append(command, h.url, publicKey)...)
			h.over(t)
			s := h.current()
			var said struct {
				Lost []string
				Flag any
			}
			if err := json.Unmarshal([]byte(out), &said); err != nil || len(said.Lost) > 0 || said.Flag == true {
				t.Errorf("the SDK says %s, %v", out, err)
			}
			user := c.prefix + "-user"
			s.log.private(user, c.prefix+"-device", c.prefix+"@example.com")
			want := map[string]int{"same": 2, "$groupidentify": 1}
			for n := range 8 {
				want[fmt.Sprint("load ", n)] = 1
			}
			if diff := cmp.Diff(want, s.counts(t)); diff != "" {
				t.Errorf("stored events (-want +got):\n%s", diff)
			}
			got := s.exportOne(t, map[string]any{"registered": user})
			wantIDs := map[string]any{"registered": user, "cookie": []any{c.prefix + "-device"}}
			if diff := cmp.Diff(wantIDs, got.IDs); diff != "" {
				t.Errorf("identifiers (-want +got):\n%s", diff)
			}
			if got.Properties["email"] != c.prefix+"@example.com" || got.Properties["plan"] != c.plan {
				t.Errorf("got the properties %v", got.Properties)
			}
		})
	}
}

// TestSDKsOfPostHogInAPage runs posthog-js, unmodified, in Chromium. Each
// message has to be stored exactly once, although an answer is lost and the
// server is restarted. posthog-js drops messages after a 429, so there is no
// tight limit here.
func TestSDKsOfPostHogInAPage(t *testing.T) {
	t.Parallel()
	postHogClient(t, "node_modules/.installed")
	h := newHurdles(t, baseConfig+wideLimits, none, unavailable, answerLost)
	files := http.NewServeMux()
	files.Handle("/array.full.js", http.FileServer(http.Dir(filepath.Join(postHogDir, "node_modules/posthog-js/dist"))))
	files.Handle("/page.html", http.FileServer(http.Dir(postHogDir)))
	site := httptest.NewServer(files)
	t.Cleanup(site.Close)
	browse(t, prereq.PostHog, site.URL+"/page.html?"+url.Values{"host": {h.url}, "key": {publicKey}}.Encode())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := h.current()
	s.log.private("page-user", "page@example.com")
	want := map[string]int{"$pageview": 1, "flags": 1, "instant": 1, "$groupidentify": 1, "load 0": 1, "load 1": 1, "load 2": 1}
	var got *customer
	var stored map[string]int
	await(ctx, t, func() bool { // the messages are in several requests, which may come in any order
		stored = s.counts(t)
		delete(stored, merged)
		got = s.exportOne(t, map[string]any{"registered": "page-user"})
		return len(stored) >= len(want) && got != nil && got.Properties["email"] != nil && got.Properties["color"] != nil
	})
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("stored events (-want +got):\n%s", diff)
	}
	if got.Properties["email"] != "page@example.com" || got.Properties["plan"] != "first" || got.Properties["color"] != "red" || got.IDs["cookie"] == nil {
		t.Errorf("got the customer %+v", got)
	}
	for _, e := range got.Events {
		if e.Type == "load 0" && e.Properties["name"] != "žluť 😀" {
			t.Errorf("got the properties %v", e.Properties)
		}
	}
}

// awaitPatiently is await for as long as a test waits for anything.
func awaitPatiently(t *testing.T, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	await(ctx, t, holds)
}

// await waits until a condition holds.
func await(ctx context.Context, t *testing.T, holds func() bool) {
	t.Helper()
	for !holds() {
		timer := time.NewTimer(100 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			t.Fatal("it was in vain")
		}
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway/internal/prereq"
)

// postHogDir contains the scripts of PostHog's SDKs. tools/install-clients puts
// the SDKs beside them.
const postHogDir = "testdata/posthog"

// installed ends the test if the clients in a directory are not installed.
func installed(t *testing.T, dir, file, what string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		prereq.Missing(t, what, "the clients are not installed, run `make test-deps`: "+err.Error())
	}
}

// TestPostHogSDKs runs PostHog's SDKs, unmodified, against a server that is
// overloaded, loses an answer, and is killed. Each message has to be stored
// exactly once. One message of a batch is refused; the others are stored.
func TestPostHogSDKs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prefix  string
		command func(t *testing.T) []string
		plan    string // which $set_once leaves alone
	}{
		"Python": {"py", func(t *testing.T) []string {
			installed(t, postHogDir, ".venv/.installed", prereq.Python)
			return []string{filepath.Join(".venv", "bin", "python"), "sdk.py"}
		}, "first"},
		"Node": {"node", func(t *testing.T) []string {
			installed(t, postHogDir, "node_modules/.installed", prereq.Node)
			node, err := exec.LookPath("node")
			if err != nil {
				prereq.Missing(t, prereq.Node, err.Error())
			}
			return []string{node, "sdk.mjs"}
		}, "first"},
		"Go": {"go", func(t *testing.T) []string { return []string{goClient(t), "posthog"} }, "first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := c.command(t)
			h := newHurdles(t, hurdleConfig, none, unavailable, answerLost, restarted, none, answerLost)
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

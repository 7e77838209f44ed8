package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trackway/internal/prereq"
)

// fuzzerDir contains the settings of schemathesis, a fuzzer for OpenAPI
// contracts, and the fuzzer itself once tools/install-clients has installed it.
const fuzzerDir = "testdata/schemathesis"

// fuzzTime limits one run. It does not measure speed: on an idle machine, a run
// takes a minute or two.
const fuzzTime = 10 * time.Minute

// The routes that erase have a run of their own: the others need a customer to
// ask about. So do those that change the configuration. Streams are left out,
// because they never end.
const (
	erasing  = "anonymizeCustomers?|gridAnonymize"
	changing = "admin.*"
	streamed = "gridLive"
)

// TestContractFuzzer runs a third-party fuzzer. It reads the contract that the
// server serves, makes valid and invalid calls, and checks each answer: no 5xx;
// status, media type, fields and body as described. Calls that the contract
// forbids are refused, calls that it allows are accepted. Other methods get 405
// with the right Allow. Without a key, or with a wrong one, no call gets in.
// The number of calls is limited, and one seed determines them.
func TestContractFuzzer(t *testing.T) { //nolint:tparallel // its runs follow each other: the second erases what the first reads
	t.Parallel()
	config := gridConfig(pagesPassword, wideLimits+"  - {name: signin, paths: [POST /grid/session], limit: 4000000, window: 60s}\n"+admins)
	s := start(t, keyless.Replace(config))
	cookie := s.signIn(t, pagesPassword)
	s.do(t, request{path: "/track/v2/projects/{token}/batch", body: encode(t, map[string]any{"commands": []map[string]any{
		{"name": "customers", "data": map[string]any{
			"customer_ids": map[string]any{"registered": "jane@example.com", "cookie": "c-1"}, "properties": map[string]any{"plan": "gold"},
		}},
		{"name": "customers/events", "data": map[string]any{
			"customer_ids": map[string]any{"registered": "jane@example.com"}, "event_type": "purchase", "timestamp": 1700000000,
		}},
	}})})
	for _, run := range []struct{ name, settings, more string }{
		{"everything", "schemathesis.toml", "--max-examples 20 --exclude-operation-id-regex ^(" + erasing + "|" + streamed + "|" + changing + ")$"},
		{"erasing", "schemathesis.toml", "--max-examples 20 --include-operation-id-regex ^(" + erasing + ")$"},
		{"changing", "schemathesis.toml", "--max-examples 20 --include-operation-id-regex ^(" + changing + ")$"},
		{"strangers", "strangers.toml", "--phases examples,coverage --include-path-regex {(token|stream)}|/track/u/"},
	} {
		t.Run(run.name, func(t *testing.T) {
			s.fuzz(t, cookie, run.settings, strings.Fields(run.more)...)
		})
	}
}

// fuzz runs schemathesis on the contract that the server serves.
func (s *server) fuzz(t *testing.T, cookie, settings string, more ...string) {
	t.Helper()
	dir, err := filepath.Abs(fuzzerDir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".venv", ".installed")); err != nil {
		prereq.Missing(t, prereq.Fuzzer, "schemathesis is not installed, run `make test-deps`: "+err.Error())
	}
	ctx, cancel := context.WithTimeout(t.Context(), fuzzTime)
	defer cancel()
	address := "http://" + s.public
	args := append([]string{
		"--config-file", filepath.Join(dir, settings), "run", address + "/openapi.yaml", "--url", address, "--seed", "1", "--generation-database", "none",
		"--no-color", "--continue-on-failure", "--workers", "1",
	}, more...)
	cmd := exec.CommandContext(ctx, filepath.Join(dir, ".venv", "bin", "schemathesis"), args...)
	cmd.Dir = t.TempDir() // it leaves files behind, which the next run must not find
	cmd.Env = append(cmd.Environ(), "NO_PROXY=*", "SCHEMATHESIS_HOOKS=", "PROJECT="+projectToken, "STREAM="+streamID,
		"ADMIN_ID="+adminKey, "ADMIN_SECRET="+adminSecret, "KEY_ID="+privateID, "KEY_SECRET="+secretKey, "KEY_TOKEN="+publicKey, "SESSION="+strings.TrimPrefix(cookie, "trackway_session="))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const secondKey = "public-key-b64fd2019e"

// withSecondKey and withOverride are added to the configuration while the
// server runs.
var (
	withSecondKey = strings.Replace(baseConfig, "    keys:\n", "    keys:\n      - {name: app, kind: public, token: \""+secondKey+"\"}\n", 1)
	withOverride  = baseConfig + "overrides:\n  - {policy: track, address: 203.0.113.0/24, limit: 60000}\n"
)

// TestReload: a changed configuration is in force without a restart, and no
// count is lost. A wrong one changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	s.log.private(secondKey)
	s.log.mayHold("reload refused") // an error in the log that the test causes
	s.checkLeft(t, 5999)
	s.checkKey(t, http.StatusUnauthorized)

	s.configure(t, withSecondKey)
	s.checkKey(t, http.StatusUnauthorized) // changing the file alone has no effect
	s.reload(t, http.StatusOK, "reloaded")
	s.checkKey(t, http.StatusOK)
	s.checkLeft(t, 5998)

	s.configure(t, strings.Replace(withOverride, "limit: 60000", "limit: many", 1))
	s.reload(t, http.StatusBadRequest, s.config+":")
	s.checkKey(t, http.StatusOK)
	s.checkLeft(t, 5997)

	s.configure(t, withOverride)
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.awaitLog(t, "a second line that says it has reloaded", func(text string) bool { return strings.Count(text, `"msg":"reloaded"`) == 2 })
	s.checkKey(t, http.StatusUnauthorized)
	s.checkLeft(t, 60000-4)
	s.checkChanges(t)
}

// TestOverrideEnds: an override ends by itself, for the caller and in
// everything that is published about it.
func TestOverrideEnds(t *testing.T) {
	t.Parallel()
	const line = "overrides:\n  - {policy: track, address: 203.0.113.0/24, limit: 60000, until: %s}\n"
	s := start(t, baseConfig+fmt.Sprintf(line, "2100-01-01"))
	published := func() string {
		return string(s.do(t, request{path: "/api/limits", auth: "none", header: from(bystander)}).body)
	}
	s.checkLeft(t, 59999)
	if got := published(); !strings.Contains(got, `"overrides":1`) {
		t.Errorf("got %s, want one override", got)
	}
	for soon, late := 2*time.Second, true; late; soon *= 2 { // on a slow machine, it may end before it is in force
		end := time.Now().Add(soon).Truncate(time.Second)
		s.configure(t, baseConfig+fmt.Sprintf(line, end.UTC().Format(time.RFC3339)))
		s.reload(t, http.StatusOK, "reloaded")
		late = !time.Now().Before(end)
	}
	s.awaitLog(t, "a line that says that it has ended", func(text string) bool { return strings.Contains(text, "an override of a limit has ended") })
	s.checkLeft(t, 6000-2)
	if got := published(); strings.Contains(got, `"overrides":1`) {
		t.Errorf("got %s, want no override", got)
	}
}

// checkChanges checks that the changes were recorded, including the added and
// removed key, and that no key is revealed.
func (s *server) checkChanges(t *testing.T) {
	t.Helper()
	res := s.do(t, request{path: "/api/limits/changes", auth: "private", header: from(bystander)})
	for what, want := range map[string]int{`"what":"key","policy":"","for":"app of demo"`: 2, `"what":"proxies"`: 1, `"what":"override"`: 1} {
		if got := strings.Count(string(res.body), what); got != want {
			t.Errorf("%d changes of %s, want %d: %s", got, what, want, res.body)
		}
	}
	for _, private := range []string{secondKey, publicKey, privateID, secretKey} {
		if strings.Contains(string(res.body), private) {
			t.Errorf("the changes tell %q", private)
		}
	}
}

func (s *server) configure(t *testing.T, config string) {
	t.Helper()
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload asks for a reload, and checks the status and some words of the answer.
func (s *server) reload(t *testing.T, status int, words string) {
	t.Helper()
	if got, body := fetch(t, http.MethodPost, s.ops, "/-/reload"); got != status || !strings.Contains(string(body), words) {
		t.Errorf("reload: got %d %s, want %d with %q", got, body, status, words)
	}
}

// checkKey checks the status of a call with the second key.
func (s *server) checkKey(t *testing.T, status int) {
	t.Helper()
	res := s.do(t, request{path: "/track/v2/projects/{token}/system/time", auth: "none", header: map[string]string{"Authorization": "Token " + secondKey}})
	if res.status != status {
		t.Errorf("the second key: got %v, want %d", res, status)
	}
}

// checkLeft makes one call as the flooder, and checks how many calls it has
// left.
func (s *server) checkLeft(t *testing.T, want int) {
	t.Helper()
	res := s.do(t, request{path: "/track/v2/projects/{token}/system/time", header: from(flooder)})
	if got := res.header.Get("X-RateLimit-Remaining"); got != strconv.Itoa(want) {
		t.Errorf("got %v with %q left, want %d", res, got, want)
	}
}

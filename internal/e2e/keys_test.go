package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// TestManagedKeys: keys that the program adds, rotates and revokes are in force
// after a reload and after a start. The operator's keys remain, and the
// operator's file does not change. A wrong managed file changes nothing in a
// running server.
func TestManagedKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startIn(t, dir, baseConfig)
	managed := filepath.Join(dir, "data", "managed.yaml")
	key := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"key"}, args...)...)
		cmd.Env = append(os.Environ(), "TRACKWAY_CONFIG="+s.config, "TRACKWAY_DATA="+filepath.Dir(managed), "TRACKWAY_OPS_LISTEN="+s.ops)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("key %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	made := func(what, out string) string {
		t.Helper()
		found := regexp.MustCompile("(?m)^" + what + ": (.*)$").FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("got %s, want a line %s: …", out, what)
		}
		s.log.private(found[1])
		return found[1]
	}
	app := made("token", key("add", "app", "--kind", "public", "--reload"))
	web := made("token", key("rotate", "web", "--reload"))
	out := key("revoke", "backend", "--reload")
	if want := s.config + ":11 has no effect any more"; !strings.Contains(out, want) {
		t.Errorf("got %s, want %s in it", out, want)
	}
	check := func(s *server) {
		t.Helper()
		for token, want := range map[string]int{app: http.StatusOK, web: http.StatusOK, publicKey: http.StatusOK, "another": http.StatusUnauthorized} {
			res := s.do(t, request{path: "/track/v2/projects/{token}/system/time", auth: "none", header: map[string]string{"Authorization": "Token " + token}})
			if res.status != want {
				t.Errorf("a token: got %v, want %d", res, want)
			}
		}
		if res := s.do(t, request{path: "/track/v2/projects/{token}/system/time", auth: "private"}); res.status != http.StatusUnauthorized {
			t.Errorf("the revoked key: got %v, want 401", res)
		}
	}
	check(s)
	if !strings.Contains(s.log.all(), `"msg":"reloaded","projects":1,"keys":2,`) {
		t.Errorf("the log does not count the keys:\n%s", s.log)
	}
	text, err := os.ReadFile(managed)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"version: 1\nkeys: [x]\n", "version: 2\n", "", string(text) + "shade: blue\n"} {
		if err := os.WriteFile(managed, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		s.log.mayHold("reload refused")
		s.reload(t, http.StatusBadRequest, managed+":")
		check(s)
	}
	s.stop(t)
	wrong := launch(t, dir, "--config", s.config, "--data", filepath.Dir(managed))
	if status := wrong.await(t, patience); status != 1 || !strings.Contains(wrong.log.all(), managed+":") {
		t.Errorf("a start with a wrong file: got status %d, want 1 and its name:\n%s", status, wrong.log)
	}
	if err := os.WriteFile(managed, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s = startIn(t, dir, baseConfig)
	check(s)

	const n = 8
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { key("add", fmt.Sprint("k", i), "--kind", "public") })
	}
	all.Wait()
	if got := strings.Count(key("list"), managed+":"); got != n+2 {
		t.Errorf("got %d managed keys, want %d", got, n+2)
	}
	if text, err := os.ReadFile(s.config); err != nil || string(text) != baseConfig {
		t.Errorf("the operator's file was changed (%v):\n%s", err, text)
	}
}

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// environment is a whole configuration for a shell: no file is needed.
const environment = `export TRACKWAY_SERVER_NAME=` + serverName + ` TRACKWAY_DASHBOARD_PASSWORD_FILE=password TRACKWAY_LISTNE=127.0.0.1:9 TRACKWAY_PROJECTS='
- name: demo
  token: ` + projectToken + `
  identifiers: {hard: [registered], soft: [cookie]}
  keys:
    - {name: web, kind: public, token: "` + publicKey + `"}
    - {name: backend, kind: private, id: "` + privateID + `", secret_file: backend}
'`

// TestEnvironmentAlone: a server needs no configuration file. A reload reads
// the files of its secrets again. If one is missing, nothing changes. No secret
// is ever shown.
func TestEnvironmentAlone(t *testing.T) {
	t.Parallel()
	const password, second = "password-4c1e77a0d2f6", "secret-key-55d0aa9e13"
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("password", password+"\n")
	write("backend", secretKey+"\n")
	s := launchUnder(t, environment, dir)
	s.log.private(password, second)
	s.log.mayHold("reload refused") // an error in the log that the test causes
	s.awaitReady(t)
	status := func(secret string, want int) {
		t.Helper()
		header := map[string]string{"Authorization": basic("Basic", privateID, secret)}
		if res := s.do(t, request{path: "/api/limits/changes", auth: "none", header: header}); res.status != want || res.header.Get("X-Served-By") != serverName {
			t.Errorf("got %v, want %d", res, want)
		}
	}
	status(secretKey, http.StatusOK)
	if _, err := os.Stat(filepath.Join(dir, "trackway.yaml")); err == nil {
		t.Error("the server has made a configuration file")
	}
	s.awaitLog(t, "a warning", func(text string) bool { return strings.Contains(text, "did you mean TRACKWAY_LISTEN?") })

	write("backend", second)
	status(second, http.StatusForbidden)
	s.reload(t, http.StatusOK, "reloaded")
	status(second, http.StatusOK)
	status(secretKey, http.StatusForbidden)
	s.awaitLog(t, "a word on the environment", func(text string) bool { return strings.Contains(text, "only the files that it names are read again") })

	if err := os.Rename(filepath.Join(dir, "backend"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	s.reload(t, http.StatusBadRequest, "TRACKWAY_PROJECTS:7:80: projects[0].keys[1].secret_file: names a file that does not exist")
	status(second, http.StatusOK)
	s.checkHidden(t, second, password)

	write("trackway.yaml", "listen: nonsense\n")
	check := func(want string) {
		t.Helper()
		cmd := exec.Command("sh", "-c", environment+` && exec "$0" check`, binary(t))
		cmd.Dir = dir
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), want) || strings.Contains(string(out), second) {
			t.Errorf("check: got %s, want %s", out, want)
		}
	}
	check(`trackway.yaml:1:9: listen "nonsense": must be host:port`)
	write("backend", second)
	if err := os.Remove(filepath.Join(dir, "trackway.yaml")); err != nil {
		t.Fatal(err)
	}
	check("The environment is fine. Projects: 1, ")
	if got := s.stop(t); got != 0 {
		t.Errorf("the server ends with %d", got)
	}
}

// TestConfigurationText: the text of a file can be in a variable. A file beside
// it is not read.
func TestConfigurationText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "trackway.yaml"), []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := launchUnder(t, "export TRACKWAY_CONFIG=trackway.yaml TRACKWAY_YAML='"+baseConfig+"'", dir)
	s.awaitReady(t)
	s.checkLeft(t, 5999)
	s.reload(t, http.StatusOK, "reloaded")
	s.checkLeft(t, 5998)
}

// TestFileGone: a server that was started with a file does not go on without
// it, even if the environment would do.
func TestFileGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "backend"), []byte(secretKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("password-4c1e77a0d2f6"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "trackway.yaml")
	if err := os.WriteFile(path, []byte(wideLimits), 0o600); err != nil {
		t.Fatal(err)
	}
	s := launchUnder(t, environment, dir, "--config", path)
	s.log.mayHold("reload refused")
	s.awaitReady(t)
	s.checkLeft(t, 4000000-1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.reload(t, http.StatusBadRequest, path+" is gone")
	s.checkLeft(t, 4000000-2)
}

// checkHidden checks that what the server publishes about itself has no secret.
func (s *server) checkHidden(t *testing.T, secrets ...string) {
	t.Helper()
	for _, path := range []string{"/metrics", "/-/ready", "/debug/pprof/cmdline"} {
		if _, body := fetch(t, http.MethodGet, s.ops, path); containsAny(string(body), secrets) {
			t.Errorf("%s has a secret", path)
		}
	}
	for _, path := range []string{"/", "/about/api", "/api/limits", "/api/status", "/api/servers"} {
		if res := s.do(t, request{path: path, auth: "none"}); containsAny(fmt.Sprint(res.header)+string(res.body), secrets) {
			t.Errorf("%s has a secret", path)
		}
	}
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

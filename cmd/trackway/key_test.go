package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"trackway/internal/control"
)

// opsListener stands in for the operator's listener. It counts the reloads, and
// answers them with status and body.
func opsListener(t *testing.T, status int, body string) (address string, reloads func() int) {
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /-/healthy":
			_, _ = io.WriteString(w, "healthy\n")
		case "POST /-/reload":
			n++
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), func() int { return n }
}

// takes makes a data directory look used by a server.
func takes(t *testing.T, dataDir string) {
	t.Helper()
	ln, err := control.Listen(t.Context(), dataDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
}

// value returns what a command printed after a name and a colon.
func value(t *testing.T, stdout, name string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + `: ([A-Z2-7]{26})$`).FindStringSubmatch(stdout)
	if found == nil {
		t.Fatalf("got\n%s\nwant a line %s: …", stdout, name)
	}
	return found[1]
}

// The life of a key: each secret is printed once, and no file holds it. list
// does not show it, and the operator's file stays unchanged.
func TestKeys(t *testing.T) {
	t.Parallel()
	ops, reloads := opsListener(t, http.StatusOK, "reloaded\n")
	dir := t.TempDir()
	path, managed := filepath.Join(dir, "t.yaml"), filepath.Join(dir, "data", "managed.yaml")
	runs(t, fine, "init", "--config", path)
	operators, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line := func(name string) string { // the line of the operator's file that defines a key
		before, _, _ := strings.Cut(string(operators), "{name: "+name)
		return fmt.Sprintf("%s:%d", path, strings.Count(before, "\n")+1)
	}
	key := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		return runs(t, want, append([]string{"key", args[0], "--config", path, "--data", filepath.Dir(managed)}, args[1:]...)...)
	}
	text := func() string {
		t.Helper()
		b, err := os.ReadFile(managed)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	_, stderr := key(failed, "add", "lost", "--kind", "public", "--reload", "--ops-listen", ops)
	contains(t, "a server with another data directory", stderr, "not in force: the running server has another data directory than "+filepath.Dir(managed)+" (name its own by --data")
	stdout, _ := key(fine, "revoke", "lost", "--ops-listen", ops)
	contains(t, "a server with another data directory", stdout, "No server was found at http://"+ops+" that uses "+filepath.Dir(managed)+".")
	takes(t, filepath.Dir(managed))
	stdout, _ = key(fine, "add", "jobs", "--kind", "private", "--permission", "events:get", "--permission", "customers:get:a, b", "--ops-listen", ops)
	contains(t, "add", stdout, "Key jobs is in "+managed)
	contains(t, "add", stdout, "curl -X POST http://"+ops+"/-/reload")
	id, first := value(t, stdout, "id"), value(t, stdout, "secret")
	if written := regexp.MustCompile(`name: "jobs", kind: "private", id: "` + id); !written.MatchString(text()) {
		t.Errorf("got\n%s\nwant %v in it", text(), written)
	}

	began := time.Now().Truncate(time.Second)
	stdout, _ = key(fine, "rotate", "jobs", "--reload", "--ops-listen", ops)
	contains(t, "rotate", stdout, "The running server has read it.")
	_, rest, _ := strings.Cut(stdout, "The previous secret keeps working until ")
	written, _, _ := strings.Cut(rest, ".\n")
	until, err := time.Parse(time.RFC3339, written)
	if early, late := began.Add(24*time.Hour), time.Now().Add(24*time.Hour); err != nil || until.Before(early) || until.After(late) {
		t.Errorf("rotate: got %q, want a time from %v to %v", stdout, early, late)
	}
	second := value(t, stdout, "secret")
	stdout, _ = key(fine, "rotate", "web", "--reload", "--ops-listen", ops, "--overlap", "0")
	token := value(t, stdout, "token")
	contains(t, "rotate of a key of the operator's", stdout, line("web")+" has no effect any more: you may remove that line.")
	if strings.Contains(stdout, "works until") || strings.Contains(stdout, "secret") {
		t.Errorf("rotate of a public key, at once: got %s", stdout)
	}
	if reloads() != 3 || first == second {
		t.Errorf("got %d reloads and the secrets %s and %s, want 3 and two", reloads(), first, second)
	}
	for _, secret := range []string{first, second} {
		if strings.Contains(text(), secret) {
			t.Error("a secret is in the file")
		}
	}

	stdout, _ = key(fine, "list")
	row := regexp.MustCompile(`(?m)^demo +jobs +private +` + id + ` +customers:get:a, b events:get +until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ +` + managed + `:5$`)
	if !row.MatchString(stdout) {
		t.Errorf("list: got\n%s\nwant a row %v", stdout, row)
	}
	row = regexp.MustCompile(`(?m)^demo +web +public +` + token + ` +customers:set events:set +ended +` + managed + `:\d+$`)
	if !row.MatchString(stdout) || !regexp.MustCompile(`(?m)^demo +backend +private +[A-Z2-7]{26} +all +- +`+line("backend")+`$`).MatchString(stdout) {
		t.Errorf("list: got\n%s\nwant a row %v, and one of backend", stdout, row)
	}
	plain := regexp.MustCompile(`secret: ([A-Z2-7]+)}`).FindStringSubmatch(string(operators))[1] // of the first start
	if strings.Contains(stdout, first) || strings.Contains(stdout, second) || strings.Contains(stdout, plain) {
		t.Errorf("list prints a secret:\n%s", stdout)
	}

	stdout, _ = key(fine, "revoke", "jobs", "--ops-listen", ops)
	contains(t, "revoke", stdout, "Key jobs was removed from "+managed+".")
	if strings.Contains(text(), "jobs") {
		t.Error("revoke left the key where it was")
	}
	stdout, _ = key(fine, "revoke", "backend", "--ops-listen", ops)
	contains(t, "revoke of a key of the operator's", stdout, "Key backend is revoked in "+managed+".\n"+line("backend")+" has no effect any more")
	stdout, _ = key(fine, "list")
	if strings.Contains(stdout, "backend") || strings.Contains(stdout, "jobs") {
		t.Errorf("list shows revoked keys:\n%s", stdout)
	}
	_, stderr = runs(t, fine, "check", "--config", path, "--data", filepath.Dir(managed))
	contains(t, "check", stderr, line("backend")+":9: projects[0].keys[1]: has no effect")
	if after, err := os.ReadFile(path); err != nil || string(after) != string(operators) {
		t.Errorf("the operator's file was changed (%v):\n%s", err, after)
	}
	if info, err := os.Stat(managed); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode: got %v, %v, want 0600", info.Mode(), err)
	}
}

// The environment names the data directory for key as it does for serve.
func TestKeyDataEnvironment(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "t.yaml")
	runs(t, fine, "init", "--config", path)
	t.Setenv("TRACKWAY_DATA", filepath.Join(dir, "elsewhere"))
	stdout, _ := runs(t, fine, "key", "add", "x", "--kind", "public", "--config", path, "--ops-listen", "127.0.0.1:1")
	contains(t, "add", stdout, filepath.Join(dir, "elsewhere", "managed.yaml"))
	t.Setenv("TRACKWAY_DATA", "")
	stdout, _ = runs(t, fine, "key", "list", "--config", path)
	if strings.Contains(stdout, " x ") {
		t.Errorf("the key of another data directory is there:\n%s", stdout)
	}
}

// A command that fails says why, and changes nothing. A command whose reload
// fails says that too.
func TestKeyFailures(t *testing.T) {
	t.Parallel()
	path := configure(t, "", "secret_env: TRACKWAY_NOWHERE")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, want string
		status     int
	}{
		{"add x", "--kind", misuse},
		{"add x --kind odd", "--kind must be one of", misuse},
		{"rotate", "<name>", misuse},
		{"add back --kind private", `project "demo" has a key "back" already`, failed},
		{"add x --kind public --permission admin", `permissions[0] "admin": is for private keys`, failed},
		{"add x --kind private --project shop", `there is no project "shop"; there are: demo`, failed},
		{"revoke x", `project "demo" has no key "x"; it has: back`, failed},
		{"rotate back", "secret_env", failed},
		{"rotate back --overlap 25h", "--overlap 25h0m0s: must be from 0 to 24h", failed},
		{"rotate back --overlap=-1s", "--overlap -1s: must be from 0 to 24h", failed},
	} {
		_, stderr := runs(t, c.status, append([]string{"key"}, append(strings.Fields(c.args), "--config", path)...)...)
		contains(t, c.args, stderr, c.want)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed (%v):\n%s", err, after)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "trackway-data", "managed.yaml")); err == nil {
		t.Error("a key was written")
	}

	ops, _ := opsListener(t, http.StatusBadRequest, path+":1:1: wrong\n")
	_, stderr := runs(t, failed, "key", "add", "x", "--kind", "public", "--config", path, "--reload", "--ops-listen", ops)
	contains(t, "a refused reload", stderr, "the file is changed, but not in force: the server refuses it: "+path+":1:1: wrong")
	_, stderr = runs(t, failed, "key", "revoke", "x", "--config", path, "--reload", "--ops-listen", "127.0.0.1:1")
	contains(t, "no server", stderr, "the file is changed, but not in force: no answer from http://127.0.0.1:1: ")
	stdout, _ := runs(t, fine, "key", "revoke", "back", "--config", path, "--ops-listen", "127.0.0.1:1")
	contains(t, "no server", stdout, "No server was found at http://127.0.0.1:1 that uses ")
	_, stderr = runs(t, failed, "key", "list", "--config", path+".absent")
	contains(t, "no file", stderr, "read configuration: ")
	write(t, path, "projects: []\n")
	_, stderr = runs(t, failed, "key", "list", "--config", path)
	contains(t, "a wrong file", stderr, path+":1:11: projects: needs at least one project")
}

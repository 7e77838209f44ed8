package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	adaPassword = "ada-password-5d1f"
	joePassword = "joe-password-77ac"
)

// user runs `trackway user` on the files of a running server.
func (s *server) user(t *testing.T, password string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"user"}, args...)...)
	cmd.Env = append(os.Environ(), "TRACKWAY_CONFIG="+s.config, "TRACKWAY_DATA="+filepath.Join(filepath.Dir(s.config), "data"))
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// enter signs a user in, and returns the value of a Cookie field.
func (s *server) enter(t *testing.T, name, password string) string {
	t.Helper()
	res := s.do(t, request{path: "/grid/session", auth: "none", body: encode(t, map[string]string{"name": name, "password": password})})
	if res.status != http.StatusOK {
		t.Fatalf("%s: got %v", name, res)
	}
	cookie, _, _ := strings.Cut(res.header.Get("Set-Cookie"), ";")
	s.log.private(cookie, password)
	return cookie
}

// TestUsers: users that a command or the page changes are in force at once, in
// streams too. Nothing else of the configuration is. The one password can be
// switched off, but not without an admin. No session opens a route of the API.
func TestUsers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := gridConfig(pagesPassword, wideLimits)
	s := startIn(t, dir, config)
	run := func(password string, args ...string) {
		t.Helper()
		if out, err := s.user(t, password, args...); err != nil || !strings.Contains(out, "The running server uses it.") {
			t.Fatalf("user %v: %v: %s", args, err, out)
		}
	}
	run(adaPassword, "add", "ada", "--role", "admin")
	run(joePassword, "add", "joe", "--role", "viewer:"+projectToken)
	ada, joe := s.enter(t, "ada", adaPassword), s.enter(t, "joe", joePassword)
	if res := s.grid(t, joe, "users"); res.status != http.StatusForbidden {
		t.Errorf("a viewer gets the users: %v", res)
	}
	if out, err := s.user(t, "", "list"); err != nil || !strings.Contains(out, "viewer:") {
		t.Errorf("got %v: %s", err, out)
	}
	for _, path := range []string{"/api/limits/usage", "/api/projects/{token}/customers", "/api/projects/{token}/events", "/api/projects/{token}/usage"} {
		res := s.do(t, request{path: path, method: http.MethodGet, auth: "none", header: map[string]string{"Cookie": ada}})
		if res.status != http.StatusUnauthorized {
			t.Errorf("%s: a session opens it: %v", path, res)
		}
	}

	// The operator's file has a change that nobody has put in force yet.
	onlyUsers := strings.Replace(config, "dashboard: {", "dashboard: {users_only: true, ", 1)
	s.configure(t, onlyUsers)
	stream := s.watch(t, joe, "", "")
	put := s.do(t, request{
		path: "/grid/users", method: http.MethodPut, auth: "none", header: map[string]string{"Cookie": ada}, body: encode(t, map[string]any{"name": "joe", "roles": []string{"analyst"}}),
	})
	if put.status != http.StatusOK {
		t.Fatal(put)
	}
	for range stream {
		continue // until the stream ends
	}
	if res := s.grid(t, joe, "start"); res.status != http.StatusUnauthorized {
		t.Errorf("other roles: the session goes on: %v", res)
	}
	s.signIn(t, pagesPassword) // still in force

	s.reload(t, http.StatusOK, "")
	res := s.do(t, request{path: "/grid/session", auth: "none", body: encode(t, map[string]string{"password": pagesPassword})})
	if res.status != http.StatusForbidden {
		t.Errorf("the one password is switched off: %v", res)
	}
	remove := s.do(t, request{path: "/grid/users?name=ada", method: http.MethodDelete, auth: "none", header: map[string]string{"Cookie": ada}})
	if remove.status != http.StatusForbidden || !strings.Contains(string(remove.body), "one admin has to stay") {
		t.Errorf("the last admin: %v", remove)
	}
	if out, err := s.user(t, "", "remove", "ada"); err == nil || !strings.Contains(out, "while no user is an admin") {
		t.Errorf("the last admin: %v: %s", err, out)
	}

	joe = s.enter(t, "joe", joePassword)
	run("another-password-91", "password", "joe")
	if res := s.grid(t, joe, "start"); res.status != http.StatusUnauthorized {
		t.Errorf("another password: the session goes on: %v", res)
	}
	joe = s.enter(t, "joe", "another-password-91")
	if out, err := s.user(t, "", "sign-out", "joe"); err != nil || !strings.Contains(out, "that ended: 1") {
		t.Errorf("sign out: %v: %s", err, out)
	}
	if res := s.grid(t, joe, "start"); res.status != http.StatusUnauthorized {
		t.Errorf("signed out: the session goes on: %v", res)
	}
	run("", "remove", "joe")
	if s.grid(t, ada, "start").status != http.StatusOK {
		t.Error("ada's session has ended too")
	}
	s.stop(t)
	s = startIn(t, dir, onlyUsers)
	if res := s.grid(t, ada, "start"); res.status != http.StatusUnauthorized {
		t.Errorf("a restart: the session goes on: %v", res)
	}
	s.enter(t, "ada", adaPassword)
}

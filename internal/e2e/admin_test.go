package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"trackway/internal/scale"
	"trackway/internal/sleep"
)

const (
	adminKey    = "ci-id"
	adminSecret = "ci-secret-5d1f77ac9e"
	admins      = "admin_keys: [{name: ci, kind: private, id: " + adminKey + ", secret: " + adminSecret + "}]\n"
)

// admin calls the admin API.
func (s *server) admin(t *testing.T, method, path, body string, status int, want string) response {
	t.Helper()
	r := request{method: method, path: "/api/admin/" + path, auth: "none", header: map[string]string{"Authorization": basic("Basic", adminKey, adminSecret)}}
	if body != "" {
		r.body = []byte(body)
	}
	res := s.do(t, r)
	if res.status != status || !strings.Contains(string(res.body), want) {
		t.Errorf("%s %s: got %v, want %d with %s", method, path, res, status, want)
	}
	return res
}

// TestAdmin: changes by the admin API are in force when the answer comes, and
// after a restart. A change that cannot be put in force changes nothing.
func TestAdmin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := gridConfig(pagesPassword, wideLimits) + admins
	s := startIn(t, dir, config)
	s.log.private(adminSecret, "hidden-secret-1", adaPassword)
	const shop = "22345678-1234-1234-1234-123456789abc"
	s.admin(t, "PUT", "projects/shop", `{"token": "`+shop+`"}`, 201, shop)
	var key struct{ ID, Secret string }
	if err := json.Unmarshal(s.admin(t, "POST", "projects/shop/keys", `{"name": "be", "kind": "private"}`, 201, "secret").body, &key); err != nil {
		t.Fatal(err)
	}
	s.log.private(key.Secret)
	stats := func(s *server, secret string) int {
		return s.do(t, request{path: "/api/projects/" + shop + "/stats", auth: "none", header: map[string]string{"Authorization": basic("Basic", key.ID, secret)}}).status
	}
	if got := stats(s, key.Secret); got != http.StatusOK {
		t.Errorf("the new key: got %d", got)
	}
	first := key.Secret
	if err := json.Unmarshal(s.admin(t, "POST", "projects/shop/keys/be/rotate", `{"overlap": "0s"}`, 200, "secret").body, &key); err != nil {
		t.Fatal(err)
	}
	s.log.private(key.Secret)
	if old, now := stats(s, first), stats(s, key.Secret); old != http.StatusForbidden || now != http.StatusOK {
		t.Errorf("after a rotation: got %d and %d", old, now)
	}
	s.admin(t, "PUT", "limits/strict", `{"paths": ["/api/projects/`+shop+`/stats"], "limit": 2, "window": "3600s"}`, 201, "strict")
	entries := func() int {
		text, err := os.ReadFile(filepath.Join(dir, "data", "audit.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "\n")
	}
	before := entries()
	s.admin(t, "PUT", "limits/strict", `{"paths": ["/api/projects/`+shop+`/stats"], "limit": 2, "window": "3600s"}`, 200, "strict")
	if got := entries(); got != before {
		t.Errorf("a call that changes nothing: got %d entries of the audit log, want %d", got, before)
	}
	want := []int{200, 200, 429}
	for i := range want {
		if got := stats(s, key.Secret); got != want[i] {
			t.Errorf("call %d under the new limit: got %d, want %d", i, got, want[i])
		}
	}
	s.admin(t, "PUT", "overrides/more", `{"policy": "strict", "project": "shop", "unlimited": true}`, 201, "more")
	s.admin(t, "DELETE", "limits/strict", "", 422, "overrides.more") // the override needs it
	if got := stats(s, key.Secret); got != 200 {
		t.Errorf("with an override: got %d", got)
	}
	s.admin(t, "PUT", "destinations/hook", `{"kind": "webhook", "url": "https://127.0.0.1:9/", "secret": "hidden-secret-1", "paused": true}`, 201, `"secrets":["url","secret"]`)
	s.admin(t, "PUT", "destinations/bad", `{"kind": "postgres", "url": "no address", "columns": [{"property": "a", "as": "nonsense"}]}`, 422, "")
	if out, err := s.onFiles(t, "destinations", "list"); err != nil || !strings.Contains(out, "hook") {
		t.Errorf("got %v: %s", err, out)
	}
	s.admin(t, "PUT", "users/ada", `{"roles": ["admin"], "password": "`+adaPassword+`"}`, 201, "ada")
	ada := s.enter(t, "ada", adaPassword)
	s.admin(t, "GET", "users/ada/sessions", "", 200, `"seen"`)
	s.admin(t, "DELETE", "users/ada/sessions", "", 200, `{"ended":1}`)
	if res := s.grid(t, ada, "users"); res.status != http.StatusUnauthorized {
		t.Errorf("after the sessions have ended: got %v", res)
	}
	// The operator has changed a setting that only a restart can change.
	s.configure(t, config+"memory: {max_mb: 700}\n")
	s.admin(t, "PUT", "limits/late", `{"paths": ["/api/late"], "limit": 2, "window": "60s"}`, 409, "only a restart can change memory")
	s.admin(t, "GET", "limits/late", "", 404, "")
	s.configure(t, config)
	said := s.admin(t, "GET", "limits", "", 200, "strict").body
	if out, err := s.onFiles(t, "check"); err != nil || !strings.Contains(out, "Projects: 2, limits: 4, overrides: 1, destinations: 1.") {
		t.Errorf("check: got %v: %s", err, out)
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("got exit status %d", status)
	}
	again := launch(t, dir, "--config", filepath.Join(dir, "trackway.yaml"), "--data", filepath.Join(dir, "data"))
	again.awaitReady(t)
	if got := again.admin(t, "GET", "limits", "", 200, "strict").body; string(got) != string(said) {
		t.Errorf("after a restart: got %s, want %s", got, said)
	}
	if got := stats(again, key.Secret); got != 200 {
		t.Errorf("after a restart: got %d", got)
	}
}

// onFiles runs a command on the files of the server.
func (s *server) onFiles(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Env = append(os.Environ(), "TRACKWAY_CONFIG="+s.config, "TRACKWAY_DATA="+filepath.Join(filepath.Dir(s.config), "data"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestAdminKilled: a server that is killed while the admin API changes limits
// starts again, with everything that was acknowledged.
func TestAdminKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startIn(t, dir, baseConfig+wideLimits+admins)
	limit := regexp.MustCompile(`"limit":(\d+),"paths":\["/x/`)
	acknowledged := 0
	for round := range scale.Of(6, 2) {
		done := make(chan int)
		go func(s *server, n int) {
			for {
				r := request{
					method: "PUT", path: "/api/admin/limits/x", auth: "none", header: map[string]string{"Authorization": basic("Basic", adminKey, adminSecret)},
					body: fmt.Appendf(nil, `{"paths": ["/x/"], "limit": %d, "window": "60s"}`, n+1),
				}
				if res, err := s.try(t.Context(), r); err != nil || res.status > 201 {
					done <- n
					return
				}
				n++
			}
		}(s, acknowledged)
		_ = sleep.For(t.Context(), time.Duration(rand.IntN(300))*time.Millisecond)
		s.kill(t)
		acknowledged = <-done
		s = launch(t, dir, "--config", filepath.Join(dir, "trackway.yaml"), "--data", filepath.Join(dir, "data"))
		s.awaitReady(t)
		got := 0
		if found := limit.FindSubmatch(s.admin(t, "GET", "limits", "", 200, "").body); found != nil {
			_, _ = fmt.Sscan(string(found[1]), &got)
		}
		if got != acknowledged && got != acknowledged+1 {
			t.Fatalf("round %d: got the limit %d, and %d was acknowledged", round, got, acknowledged)
		}
		acknowledged = got
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("got exit status %d", status)
	}
}

package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"trackway"
	"trackway/internal/api/administered"
	"trackway/internal/config"
	"trackway/internal/people"
)

const operated = `projects:
  - {name: demo, token: 12345678-1234-1234-1234-123456789abc, keys: [{name: web, kind: public, token: public-token}]}
limits:
  - {name: track, paths: [/track/], limit: 7000, window: 60s}
overrides:
  - {policy: track, address: 203.0.113.7, limit: 1}
destinations:
  - {name: out, kind: webhook, url: "https://u:hidden-pw@example.com/", secret: hidden-secret-1}
`

// fixture is a server of the admin API on files of its own.
type fixture struct {
	t    *testing.T
	mux  *http.ServeMux
	path string
	use  func() error // puts a change in force
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{t: t, mux: http.NewServeMux(), path: filepath.Join(dir, "t.yaml"), use: func() error { return nil }}
	if err := os.WriteFile(f.path, []byte(operated), 0o600); err != nil {
		t.Fatal(err)
	}
	s := New(Config{
		Read: func() (*config.Keys, error) { return config.ReadKeys(f.path, config.Flags{}) },
		Change: func(do func(*config.Keys) error) error {
			_, err := config.Change(f.path, config.Flags{}, do, f.use)
			return err
		},
		Sessions: func() []people.Session { return []people.Session{{User: "ada"}, {User: "oidc:eve"}} },
		SignOut:  func(string) int { return 1 },
		Caller:   func(*http.Request) string { return "ci" },
	})
	for _, rt := range administered.Routes() {
		h := s.Handler(rt.Method + " " + rt.Path)
		if h == nil {
			t.Fatalf("%s %s has no handler", rt.Method, rt.Path)
		}
		f.mux.HandleFunc(rt.Method+" "+rt.Path, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r, netip.Addr{}, func() {}); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = io.WriteString(w, err.Error())
			}
		})
	}
	if len(s.routes) != len(administered.Routes()) {
		t.Errorf("%d routes have handlers, and %d are listed", len(s.routes), len(administered.Routes()))
	}
	return f
}

// call makes a call below /api/admin/, and checks status and a part of the
// answer.
func (f *fixture) call(method, path, body string, status int, want string, header ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(method, administered.Path+path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.mux.ServeHTTP(w, r)
	if w.Code != status || !strings.Contains(w.Body.String(), want) {
		f.t.Errorf("%s %s: got %d %s, want %d with %s", method, path, w.Code, w.Body, status, want)
	}
	if strings.Contains(w.Body.String(), "hidden-") {
		f.t.Errorf("%s %s: a secret in %s", method, path, w.Body)
	}
	return w
}

func TestThings(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct{ path, body, settings string }{
		{"projects/shop", `{"token": "22345678-1234-1234-1234-123456789abc", "personal": ["email"]}`, `"personal":["email"]`},
		{"limits/reports", `{"paths": ["/data/"], "limit": 5, "window": "60s"}`, `"settings":{"limit":5,"paths":["/data/"],"window":"60s"}`},
		{"overrides/partner", `{"policy": "reports", "project": "shop", "limit": 50}`, `"settings":{"limit":50,"policy":"reports","project":"shop"}`},
		{"destinations/hook", `{"kind": "webhook", "url": "https://example.com/hidden-2", "secret": "hidden-secret-3"}`, `"secrets":["url","secret"],"settings":{"kind":"webhook"}`},
	} {
		kind, _, _ := strings.Cut(c.path, "/")
		f.call("GET", c.path, "", 404, "There is no such")
		made := f.call("PUT", c.path, c.body, 201, c.settings).Header().Get("Etag")
		again := f.call("PUT", c.path, c.body, 200, c.settings).Header().Get("Etag")
		if made == "" || made != again {
			t.Errorf("%s: the same call gets %q and %q", c.path, made, again)
		}
		f.call("GET", kind, "", 200, c.settings)
		f.call("PUT", c.path, c.body, 412, "others have changed it", "If-None-Match", "*")
		f.call("PUT", c.path, c.body, 412, "others have changed it", "If-Match", `"x"`)
		f.call("PUT", c.path, c.body, 200, "", "If-Match", made)
	}
	// An entity tag changes with a secret, and says nothing about it.
	before := f.call("GET", "destinations/hook", "", 200, "").Header().Get("Etag")
	after := f.call("PUT", "destinations/hook", `{"kind": "webhook", "url": "https://example.com/hidden-2", "secret": "hidden-secret-4"}`, 200, "").Header().Get("Etag")
	if before == after {
		t.Error("the entity tag stays")
	}
	for _, path := range []string{"destinations/hook", "overrides/partner", "limits/reports", "projects/shop"} {
		f.call("DELETE", path, "", 412, "", "If-Match", `"x"`)
		f.call("DELETE", path, "", 204, "")
		f.call("DELETE", path, "", 404, "There is no such")
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PUT", "limits/track", `{"paths": ["/x/"], "limit": 1, "window": "1s"}`, 409, f.path + ":4, which the program never changes"},
		{"DELETE", "limits/track", "", 409, f.path + ":4, which"},
		{"DELETE", "destinations/out", "", 409, f.path + ":8, which"},
		{"DELETE", "projects/demo", "", 409, f.path + ":2, which"},
		{"PUT", "limits/a", `{"paths": ["/x/"], "limit": 1, "window": "60"}`, 422, `{"field":"window","message":"\"60\": must be a duration`},
		{"PUT", "limits/a", `{"paths": ["/x/"]}`, 422, `{"field":"limits.a","message":"needs a limit`},
		{"PUT", "limits/a", `{"x": 1}`, 422, `"field":"x","message":"unknown key`},
		{"PUT", "destinations/a", `{"kind": "webhook", "url_file": "/etc/shadow", "secret": "s"}`, 422, `"field":"url_file"`},
		{"PUT", "destinations/a", `{"kind": "postgres", "url": {"hidden-x": 1}}`, 422, `"field":"url","message":"must be one text`},
		{"PUT", "limits/a", `[]`, 400, "must be a JSON object"},
		{"PUT", "limits/a", `{"a": 1} x`, 400, "must be a JSON object"},
		{"PUT", "limits/a", `{"limit": 1, "window": "1s", "paths": ["/x/"], "limit": 1000}`, 400, `"field":"limit","message":"must be given once`},
		{"PUT", "destinations/a", `{"kind": "webhook", "batch": {"every": "1s", "rows": 1, "\u0065very": "2s"}}`, 400, `"field":"batch.every","message":"must be given once`},
		{"PUT", "projects/a", `{"contracts": [{"type": "a", "schema": {"type": "object", "type": "string"}}]}`, 400, `"field":"contracts.schema.type"`},
		{"PUT", "limits/a", ``, 400, "must be a JSON object"},
		{"PUT", "limits/a", `{"paths": ` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, 422, "nested too deep"},
		{"PUT", "limits/a%20b", `{"paths": ["/x/"], "limit": 1, "window": "60s"}`, 422, `"field":"name"`},
		{"POST", "projects/none/keys", `{"name": "a", "kind": "public"}`, 404, "no such project"},
		{"POST", "projects/demo/keys", `{"name": "web", "kind": "public"}`, 409, "of this name already"},
		{"POST", "projects/demo/keys", `{"name": "a", "kind": "secret"}`, 422, "public or private"},
		{"POST", "projects/demo/keys", `{"name": "a b", "kind": "public"}`, 422, `"field":"name","message":"\"a b\": must name the key`},
		{"POST", "projects/demo/keys", `{"name": "a", "kind": "public", "permissions": ["gdpr"]}`, 422, `"field":"permissions[0]","message":"\"gdpr\": is for private keys`},
		{"POST", "projects/demo/keys", `{"name": 1, "kind": "public"}`, 400, `"field":"name"`},
		{"POST", "projects/demo/keys", `{"name": "a", "kind": "public", "permissions": null}`, 400, `"field":"permissions"`},
		{"POST", "projects/demo/keys", `{"name": "a", "kind": "public", "secret": "mine"}`, 400, "unknown"},
		{"POST", "projects/demo/keys/none/rotate", ``, 404, "no such key"},
		{"POST", "projects/demo/keys/web/rotate", `{"overlap": "25h"}`, 422, `"field":"overlap"`},
		{"DELETE", "projects/demo/keys/none", ``, 404, "no such key"},
		{"PUT", "users/ada", `{"roles": ["admin"]}`, 422, `"field":"password"`},
		{"PUT", "users/ada", `{"roles": ["king"], "password": "a good password"}`, 422, `"field":"roles"`},
		{"PUT", "users/ada", `{"roles": ["viewer:none"], "password": "a good password"}`, 422, `"field":"roles"`},
		{"PUT", "users/Ada", `{"roles": ["admin"], "password": "a good password"}`, 422, `"field":"name"`},
		{"PUT", "users/ada", `{"roles": ["admin"], "password": "short"}`, 422, `"field":"password"`},
		{"GET", "users/none", "", 404, "no such user"},
		{"DELETE", "users/none", "", 404, "no such user"},
		{"GET", "users/none/sessions", "", 404, "no such user"},
		{"DELETE", "users/none/sessions", "", 404, "no such user"},
	} {
		f.call(c.method, c.path, c.body, c.status, c.want)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(f.path), "trackway-data", config.ManagedFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
	f.use = func() error { return &trackway.Error{Code: trackway.Conflict, Msg: "not now"} }
	f.call("PUT", "limits/a", `{"paths": ["/x/"], "limit": 1, "window": "60s"}`, 409, "not now")
	f.call("GET", "limits/a", "", 404, "")
	f.use = func() error { return errors.New("the disk has failed") }
	f.call("PUT", "limits/a", `{"paths": ["/x/"], "limit": 1, "window": "60s"}`, 500, "")
	if err := os.WriteFile(f.path, []byte("projects: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	f.call("PUT", "limits/a", `{"paths": ["/x/"], "limit": 1, "window": "60s"}`, 409, "wrong already")
	f.call("GET", "limits", "", 409, "wrong already")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var key struct{ ID, Secret string }
	w := f.call("POST", "projects/demo/keys", `{"name": "jobs", "kind": "private", "permissions": ["events:get:a b", "gdpr"]}`, 201, `"secret":`)
	if err := json.Unmarshal(w.Body.Bytes(), &key); err != nil || key.Secret == "" {
		t.Fatalf("got %s", w.Body)
	}
	w = f.call("GET", "projects/12345678-1234-1234-1234-123456789ABC/keys/jobs", "", 200, `"permissions":["events:get:a b","gdpr"],"previous_until":null,"managed":true`)
	if strings.Contains(w.Body.String(), key.Secret) {
		t.Errorf("got the secret in %s", w.Body)
	}
	tag := w.Header().Get("Etag")
	f.call("POST", "projects/demo/keys/jobs/rotate", ``, 200, `"previous_until":"`, "If-Match", tag)
	f.call("POST", "projects/demo/keys/jobs/rotate", ``, 412, "", "If-Match", tag)
	f.call("POST", "projects/demo/keys/web/rotate", `{"overlap": "0s"}`, 200, `"unused":"`+f.path+`:2"`)
	f.call("GET", "projects/demo/keys", "", 200, `"name":"web"`)
	f.call("DELETE", "projects/demo/keys/web", "", 200, `"unused":""`)
	f.call("DELETE", "projects/demo/keys/jobs", "", 200, `"unused":""`)
	f.call("GET", "projects/demo/keys", "", 200, `{"keys":[]}`)
	f.call("GET", "keys", "", 200, `{"keys":[]}`)
	f.call("PUT", "projects/new", `{}`, 201, `"token":"`)
	f.call("POST", "projects/new/keys", `{"name": "web", "kind": "public"}`, 201, `"id":"`)
	f.call("DELETE", "projects/new", "", 204, "")
	f.call("PUT", "projects/new", `{}`, 201, `"token":"`)
	f.call("GET", "projects/new/keys", "", 200, `{"keys":[]}`)
}

func TestUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("PUT", "users/ada", `{"roles": ["admin"], "password": "hidden-password"}`, 201, `{"name":"ada","roles":["admin"],"sessions":1}`)
	tag := f.call("PUT", "users/ada", `{"roles": ["admin"]}`, 200, "").Header().Get("Etag")
	if got := f.call("GET", "users/ada", "", 200, `"admin"`).Header().Get("Etag"); got != tag {
		t.Errorf("got %q and %q", got, tag)
	}
	f.call("PUT", "users/ada", `{"roles": ["viewer:demo"]}`, 200, `"roles":["viewer:12345678-1234-1234-1234-123456789abc"]`, "If-Match", tag)
	f.call("PUT", "users/ada", `{"roles": ["viewer:demo"], "password": "hidden-password-2"}`, 412, "", "If-Match", tag)
	f.call("GET", "users", "", 200, `{"users":[{"name":"ada"`)
	f.call("GET", "users/ada/sessions", "", 200, `{"sessions":[{"since":`)
	f.call("DELETE", "users/ada/sessions", "", 200, `{"ended":1}`)
	f.call("DELETE", "users/ada", "", 204, "")
}

// Of many changes that begin from the same version, one succeeds; changes of
// different things all do.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const many = 8
	limit := func(n int) string { return fmt.Sprintf(`{"paths": ["/x%d/"], "limit": %d, "window": "60s"}`, n, n) }
	tag := f.call("PUT", "limits/a", limit(100), 201, "").Header().Get("Etag")
	statuses := make([]int, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			r := httptest.NewRequest(http.MethodPut, administered.Path+"limits/a", strings.NewReader(limit(i+1)))
			r.Header.Set("If-Match", tag)
			w := httptest.NewRecorder()
			f.mux.ServeHTTP(w, r)
			statuses[i] = w.Code
		})
		all.Go(func() { f.call("PUT", fmt.Sprintf("limits/b%d", i), limit(1000+i), 201, "") })
	}
	all.Wait()
	slices.Sort(statuses)
	want := append([]int{200}, slices.Repeat([]int{412}, many-1)...)
	if !slices.Equal(statuses, want) {
		t.Errorf("got %v, want %v", statuses, want)
	}
	for i := range many {
		f.call("GET", fmt.Sprintf("limits/b%d", i), "", 200, "")
	}
}

// TestSessions checks that the sessions of an account of a provider can be
// ended, also while the configuration is wrong.
func TestSessions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, text := range []string{operated, "nonsense: 1\n"} {
		if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"GET", "DELETE"} {
			w := httptest.NewRecorder()
			f.mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/api/admin/users/oidc:eve/sessions", nil))
			if w.Code != http.StatusOK {
				t.Errorf("%s with %.10q: got %d: %s", method, text, w.Code, w.Body)
			}
		}
	}
}
